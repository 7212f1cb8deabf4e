! The emulation probe for sparc-linux; aarch64.s says what it does.
	.text
	.globl _start
_start:
	ld	[%sp + 64], %g1
	add	%g1, 1, %g1
	sll	%g1, 2, %g1
	add	%sp, 68, %g3
	add	%g3, %g1, %g3
next:
	ld	[%g3], %g2
	cmp	%g2, 0
	be	missing
	 add	%g3, 4, %g3
	ldub	[%g2], %g1
	cmp	%g1, 'o'
	bne	next
	 nop
	ldub	[%g2 + 1], %g1
	cmp	%g1, 'u'
	bne	next
	 nop
	ldub	[%g2 + 2], %g1
	cmp	%g1, 't'
	bne	next
	 nop
	ldub	[%g2 + 3], %g1
	cmp	%g1, '='
	bne	next
	 nop
	add	%g2, 4, %o0
	mov	0755, %o1
	mov	136, %g1		! mkdir
	ta	0x10
	bcs	leave
	 nop
	ba	leave
	 mov	0, %o0
missing:
	mov	9, %o0
leave:
	mov	1, %g1			! exit
	ta	0x10
