# The emulation probe for loongarch64-linux; aarch64.s says what it does.
	.text
	.globl _start
_start:
	ld.d	$a0, $sp, 0
	slli.d	$a0, $a0, 3
	add.d	$a1, $sp, $a0
	addi.d	$a1, $a1, 16
next:
	ld.d	$a2, $a1, 0
	addi.d	$a1, $a1, 8
	beqz	$a2, missing
	ld.bu	$a3, $a2, 0
	ori	$a4, $zero, 'o'
	bne	$a3, $a4, next
	ld.bu	$a3, $a2, 1
	ori	$a4, $zero, 'u'
	bne	$a3, $a4, next
	ld.bu	$a3, $a2, 2
	ori	$a4, $zero, 't'
	bne	$a3, $a4, next
	ld.bu	$a3, $a2, 3
	ori	$a4, $zero, '='
	bne	$a3, $a4, next
	addi.d	$a1, $a2, 4
	addi.d	$a0, $zero, -100	# AT_FDCWD
	ori	$a2, $zero, 0755
	ori	$a7, $zero, 34		# mkdirat
	syscall	0
	sub.d	$a0, $zero, $a0
	b	leave
missing:
	ori	$a0, $zero, 9
leave:
	ori	$a7, $zero, 93		# exit
	syscall	0
