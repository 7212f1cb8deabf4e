# The emulation probe for mips-linux and mipsel-linux; aarch64.s says what it does.
	.set	noreorder
	.text
	.globl __start
__start:
	lw	$8, 0($sp)
	nop
	sll	$8, $8, 2
	addu	$8, $sp, $8
	addiu	$8, $8, 8
next:
	lw	$4, 0($8)
	addiu	$8, $8, 4
	beqz	$4, missing
	 nop
	lbu	$9, 0($4)
	li	$10, 'o'
	bne	$9, $10, next
	 nop
	lbu	$9, 1($4)
	li	$10, 'u'
	bne	$9, $10, next
	 nop
	lbu	$9, 2($4)
	li	$10, 't'
	bne	$9, $10, next
	 nop
	lbu	$9, 3($4)
	li	$10, '='
	bne	$9, $10, next
	 nop
	addiu	$4, $4, 4
	li	$5, 0755
	li	$2, 4039		# mkdir
	syscall
	bnez	$7, leave
	 move	$4, $2
	b	leave
	 move	$4, $0
missing:
	li	$4, 9
leave:
	li	$2, 4001		# exit
	syscall
