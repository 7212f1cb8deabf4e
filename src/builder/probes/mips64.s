# The emulation probe for mips64-linux and mips64el-linux; aarch64.s says what it does.
	.set	noreorder
	.text
	.globl __start
__start:
	ld	$8, 0($sp)
	nop
	dsll	$8, $8, 3
	daddu	$8, $sp, $8
	daddiu	$8, $8, 16
next:
	ld	$4, 0($8)
	daddiu	$8, $8, 8
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
	daddiu	$4, $4, 4
	li	$5, 0755
	li	$2, 5081		# mkdir
	syscall
	bnez	$7, leave
	 move	$4, $2
	b	leave
	 move	$4, $0
missing:
	li	$4, 9
leave:
	li	$2, 5058		# exit
	syscall
