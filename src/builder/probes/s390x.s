# The emulation probe for s390x-linux; aarch64.s says what it does.
	.text
	.globl _start
_start:
	lg	%r1, 0(%r15)
	sllg	%r1, %r1, 3
	la	%r4, 16(%r1,%r15)
next:
	lg	%r5, 0(%r4)
	la	%r4, 8(%r4)
	ltgr	%r5, %r5
	je	missing
	cli	0(%r5), 'o'
	jne	next
	cli	1(%r5), 'u'
	jne	next
	cli	2(%r5), 't'
	jne	next
	cli	3(%r5), '='
	jne	next
	la	%r2, 4(%r5)
	lghi	%r3, 0755
	svc	39			# mkdir
	lcgr	%r2, %r2
	j	leave
missing:
	lghi	%r2, 9
leave:
	svc	1			# exit
