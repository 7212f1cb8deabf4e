# The emulation probe for x86_64-linux; aarch64.s says what it does.
	.text
	.globl _start
_start:
	mov	(%rsp), %rax
	lea	16(%rsp,%rax,8), %rsi
next:
	lodsq
	test	%rax, %rax
	jz	missing
	cmpl	$0x3d74756f, (%rax)	# "out="
	jne	next
	lea	4(%rax), %rdi
	mov	$0755, %esi
	mov	$83, %eax		# mkdir
	syscall
	neg	%eax
	mov	%eax, %edi
	jmp	leave
missing:
	mov	$9, %edi
leave:
	mov	$60, %eax		# exit
	syscall
