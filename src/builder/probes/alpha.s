# The emulation probe for alpha-linux; aarch64.s says what it does.
	.set	noat
	.text
	.globl _start
_start:
	ldq	$1, 0($30)
	s8addq	$1, $30, $1
	lda	$1, 16($1)
next:
	ldq	$16, 0($1)
	lda	$1, 8($1)
	beq	$16, missing
	ldq_u	$2, 0($16)
	extbl	$2, $16, $2
	subq	$2, 'o', $2
	bne	$2, next
	lda	$3, 1($16)
	ldq_u	$2, 0($3)
	extbl	$2, $3, $2
	subq	$2, 'u', $2
	bne	$2, next
	lda	$3, 2($16)
	ldq_u	$2, 0($3)
	extbl	$2, $3, $2
	subq	$2, 't', $2
	bne	$2, next
	lda	$3, 3($16)
	ldq_u	$2, 0($3)
	extbl	$2, $3, $2
	subq	$2, '=', $2
	bne	$2, next
	lda	$16, 4($16)
	lda	$17, 0755
	lda	$0, 136			# mkdir
	call_pal 0x83
	mov	$0, $16
	bne	$19, leave
	clr	$16
	br	leave
missing:
	lda	$16, 9
leave:
	lda	$0, 1			# exit
	call_pal 0x83
