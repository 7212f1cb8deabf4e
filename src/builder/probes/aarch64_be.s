// The emulation probe for aarch64_be-linux; aarch64.s says what it does. (Only the text in the comparison differs.)
	.text
	.globl _start
_start:
	ldr	x0, [sp]		// argc
	add	x1, sp, #16		// past argc and argv[0]...
	add	x1, x1, x0, lsl #3	// ...the other arguments and argv's null: the environment
next:
	ldr	x2, [x1], #8
	cbz	x2, missing
	ldr	w3, [x2]
	movz	w4, #0x743d		// "t="
	movk	w4, #0x6f75, lsl #16	// "ou"
	cmp	w3, w4
	b.ne	next
	add	x1, x2, #4
	mov	x0, #-100		// AT_FDCWD
	mov	x2, #0755
	mov	x8, #34			// mkdirat
	svc	#0
	neg	x0, x0
	b	leave
missing:
	mov	x0, #9
leave:
	mov	x8, #93			// exit
	svc	#0
