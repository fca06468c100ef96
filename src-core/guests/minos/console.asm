; The console: a 16550 UART at 3F8H (115200 baud, 8N1). Output is polled; input arrives by interrupt 4 into a ring, or is
; polled when there is no I/O APIC to route it. All routines keep all registers but RAX.

UART            equ 0x3f8
UART_VECTOR     equ 0x24
RING            equ 256                 ; bytes of the input ring: one byte is its index

section .text
bits 64

console_init:
    push    rdx
    mov     dx, UART + 1                ; IER: no interrupts yet
    xor     eax, eax
    out     dx, al
    mov     dx, UART + 3                ; LCR.DLAB: the divisor latch is at +0, +1
    mov     al, 0x80
    out     dx, al
    mov     dx, UART
    mov     al, 1
    out     dx, al
    mov     dx, UART + 1
    xor     eax, eax
    out     dx, al
    mov     dx, UART + 3                ; 8 bits, no parity, 1 stop bit
    mov     al, 3
    out     dx, al
    mov     dx, UART + 2                ; FCR: FIFOs on and empty, trigger at 1 byte
    mov     al, 7
    out     dx, al
    mov     dx, UART + 4                ; MCR: DTR, RTS, and OUT2, which lets the interrupt line out
    mov     al, 0x0b
    out     dx, al
    pop     rdx
    ret

; Route the UART's interrupt to this processor, if ACPI named an I/O APIC. Without one, input stays polled.
console_interrupts:
    push    rdx
    mov     eax, UART_VECTOR
    mov     edx, 4                      ; ISA interrupt 4
    call    route_isa_interrupt
    test    eax, eax
    jz      .done
    mov     byte [console_by_interrupt], 1
    mov     dx, UART + 1                ; IER: received data
    mov     al, 1
    out     dx, al
.done:
    pop     rdx
    ret

; AL: a byte to send. A UART that never becomes ready loses the byte rather than stopping the kernel.
put_byte:
    push    rdx
    push    rcx
    push    rax
    mov     ecx, 100000
    mov     dx, UART + 5
.wait:
    in      al, dx
    test    al, 0x20                    ; LSR.THRE
    jnz     .send
    dec     ecx
    jnz     .wait
.send:
    mov     rax, [rsp]
    mov     dx, UART
    out     dx, al
    pop     rax
    pop     rcx
    pop     rdx
    ret

; AL: a character; a line feed is sent as carriage return and line feed.
put_char:
    cmp     al, 10
    jne     put_byte
    push    rax
    mov     al, 13
    call    put_byte
    pop     rax
    jmp     put_byte

; RSI: a text that ends with 0.
put_string:
    push    rsi
    push    rax
.next:
    lodsb
    test    al, al
    jz      .done
    call    put_char
    jmp     .next
.done:
    pop     rax
    pop     rsi
    ret

; The text behind the call instruction; execution goes on behind the text. See the macro `print`.
print_text:
    xchg    rsi, [rsp]
    push    rax
.next:
    lodsb
    test    al, al
    jz      .done
    call    put_char
    jmp     .next
.done:
    pop     rax
    xchg    rsi, [rsp]
    ret

new_line:
    push    rax
    mov     al, 10
    call    put_char
    pop     rax
    ret

; ECX: how many spaces.
put_spaces:
    push    rcx
    push    rax
    mov     al, ' '
.next:
    dec     ecx
    js      .done
    call    put_byte
    jmp     .next
.done:
    pop     rax
    pop     rcx
    ret

; RAX: a number, in decimal.
put_decimal:
    push    rcx
    xor     ecx, ecx
    call    put_decimal_in
    pop     rcx
    ret

; RAX: a number in decimal, at the right of a field of ECX characters.
put_decimal_in:
    push    rax
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    sub     rsp, 32
    lea     rsi, [rsp + 31]
    mov     byte [rsi], 0
    mov     ebx, 10
.digit:
    xor     edx, edx
    div     rbx
    add     dl, '0'
    dec     rsi
    dec     ecx
    mov     [rsi], dl
    test    rax, rax
    jnz     .digit
    call    put_spaces
    call    put_string
    add     rsp, 32
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    ret

; RAX: a number, as 16 hexadecimal digits.
put_hex:
    push    rcx
    mov     ecx, 16
    call    put_hex_digits
    pop     rcx
    ret

; RAX: a number, as its ECX lowest hexadecimal digits.
put_hex_digits:
    push    rax
    push    rcx
    push    rdx
    mov     rdx, rax
    neg     ecx
    add     ecx, 16
    shl     ecx, 2
    shl     rdx, cl                     ; the first digit wanted is now on top
    neg     ecx
    add     ecx, 64
    shr     ecx, 2
.digit:
    rol     rdx, 4
    mov     eax, edx
    and     eax, 15
    cmp     al, 10
    jb      .decimal
    add     al, 'a' - 10 - '0'
.decimal:
    add     al, '0'
    call    put_byte
    dec     ecx
    jnz     .digit
    pop     rdx
    pop     rcx
    pop     rax
    ret

; Interrupt 4: everything the UART holds goes into the ring. What does not fit is lost.
console_interrupt:
    push    rax
    push    rcx
    push    rdx
    mov     ecx, RING                   ; a UART that claims data for ever must not hold us
.next:
    mov     dx, UART + 5
    in      al, dx
    test    al, 1                       ; LSR.DR
    jz      .done
    mov     dx, UART
    in      al, dx
    cmp     al, 3                       ; Ctrl-C also ends a command that is willing
    jne     .keep
    mov     byte [break_wanted], 1
.keep:
    movzx   edx, byte [ring_tail]
    inc     dl
    cmp     dl, [ring_head]
    je      .full
    dec     dl
    mov     [ring + rdx], al
    inc     byte [ring_tail]
.full:
    dec     ecx
    jnz     .next
.done:
    pop     rdx
    pop     rcx
    pop     rax
    ret

; Next input byte in EAX, or -1 when there is none.
try_byte:
    push    rdx
    cmp     byte [console_by_interrupt], 0
    jne     .ring
    mov     dx, UART + 5
    in      al, dx
    test    al, 1
    jz      .none
    mov     dx, UART
    in      al, dx
    movzx   eax, al
    pop     rdx
    ret
.ring:
    movzx   edx, byte [ring_head]
    cmp     dl, [ring_tail]
    je      .none
    movzx   eax, byte [ring + rdx]
    inc     byte [ring_head]
    pop     rdx
    ret
.none:
    mov     eax, -1
    pop     rdx
    ret

; Wait for an input byte: in EAX. Between STI and HLT no interrupt can slip in (SDM volume 2, STI), so none is slept through.
get_byte:
    cli
    call    try_byte
    test    eax, eax
    jns     .done
    cmp     byte [console_by_interrupt], 0
    je      .poll
    sti
    hlt
    jmp     get_byte
.poll:
    sti
    pause
    jmp     get_byte
.done:
    sti
    ret

section .bss
ring:                   resb RING
ring_head:              resb 1
ring_tail:              resb 1
console_by_interrupt:   resb 1
break_wanted:           resb 1
