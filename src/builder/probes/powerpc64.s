# The emulation probe for powerpc64-linux and powerpc64le-linux; aarch64.s says what it does.
	.abiversion 2		# of the two ABIs of 64 bits, the one whose entry is code
	.text
	.globl _start
_start:
	ld	4, 0(1)
	addi	5, 1, 16
	sldi	4, 4, 3
	add	5, 5, 4
next:
	ld	6, 0(5)
	addi	5, 5, 8
	cmpdi	6, 0
	beq	missing
	lbz	7, 0(6)
	cmpwi	7, 'o'
	bne	next
	lbz	7, 1(6)
	cmpwi	7, 'u'
	bne	next
	lbz	7, 2(6)
	cmpwi	7, 't'
	bne	next
	lbz	7, 3(6)
	cmpwi	7, '='
	bne	next
	addi	3, 6, 4
	li	4, 0755
	li	0, 39			# mkdir
	sc
	b	leave
missing:
	li	3, 9
leave:
	li	0, 1			# exit
	sc
