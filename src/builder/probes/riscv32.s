# The emulation probe for riscv32-linux; aarch64.s says what it does.
	.text
	.globl _start
_start:
	lw	a0, 0(sp)
	addi	a1, sp, 8
	slli	a0, a0, 2
	add	a1, a1, a0
next:
	lw	a2, 0(a1)
	addi	a1, a1, 4
	beqz	a2, missing
	lbu	a3, 0(a2)
	li	a4, 'o'
	bne	a3, a4, next
	lbu	a3, 1(a2)
	li	a4, 'u'
	bne	a3, a4, next
	lbu	a3, 2(a2)
	li	a4, 't'
	bne	a3, a4, next
	lbu	a3, 3(a2)
	li	a4, '='
	bne	a3, a4, next
	addi	a1, a2, 4
	li	a0, -100		# AT_FDCWD
	li	a2, 0755
	li	a7, 34			# mkdirat
	ecall
	neg	a0, a0
	j	leave
missing:
	li	a0, 9
leave:
	li	a7, 93			# exit
	ecall
