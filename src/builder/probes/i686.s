# The emulation probe for i386-linux to i686-linux; aarch64.s says what it does.
	.text
	.globl _start
_start:
	mov	(%esp), %eax
	lea	8(%esp,%eax,4), %esi
next:
	lodsl
	test	%eax, %eax
	jz	missing
	cmpl	$0x3d74756f, (%eax)	# "out="
	jne	next
	lea	4(%eax), %ebx
	mov	$0755, %ecx
	mov	$39, %eax		# mkdir
	int	$0x80
	neg	%eax
	mov	%eax, %ebx
	jmp	leave
missing:
	mov	$9, %ebx
leave:
	mov	$1, %eax		# exit
	int	$0x80
