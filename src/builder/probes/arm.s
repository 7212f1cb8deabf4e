@ The emulation probe for armv6l-linux and armv7l-linux; aarch64.s says what it does. It takes the instructions of
@ older ones, which all of them know.
	.arch	armv5te
	.syntax	unified
	.arm
	.text
	.globl _start
_start:
	ldr	r0, [sp]
	add	r1, sp, #8
	add	r1, r1, r0, lsl #2
next:
	ldr	r2, [r1], #4
	cmp	r2, #0
	beq	missing
	ldrb	r3, [r2]
	cmp	r3, #'o'
	ldrbeq	r3, [r2, #1]
	cmpeq	r3, #'u'
	ldrbeq	r3, [r2, #2]
	cmpeq	r3, #'t'
	ldrbeq	r3, [r2, #3]
	cmpeq	r3, #'='
	bne	next
	add	r0, r2, #4
	mov	r1, #0700
	orr	r1, r1, #055
	mov	r7, #39			@ mkdir
	svc	#0
	rsb	r0, r0, #0
	b	leave
missing:
	mov	r0, #9
leave:
	mov	r7, #1			@ exit
	svc	#0
