; The other processors: INIT, start-up, and a trampoline below 1 MiB that takes them from real mode to 64-bit code
; (SDM volume 3, 9.4 multiple-processor initialization).

TRAMPOLINE      equ 0x8000              ; page-aligned: its page number is the start-up vector
STACK_BYTES     equ 4096

section .text
bits 64

; Start every processor of the MADT but this one; wait until each has reported, or time is up.
processors_init:
    push    rax
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    cmp     byte [want_x2apic], 0
    je      .mode
    call    apic_init                   ; some id needs more than 8 bits
.mode:
    cmp     dword [processor_count], 2
    jb      .done
    call    trampoline_fits
    jz      .no_room
    mov     esi, trampoline
    mov     edi, TRAMPOLINE
    mov     ecx, trampoline_end - trampoline
    rep     movsb

    mov     edx, 0x4500                 ; INIT, assert
    call    send_to_others
    mov     eax, 200                    ; the 10 ms of the MP protocol are for the 82489DX; see SDM volume 3, 9.4.4.1
    call    delay_us
    mov     edx, 0x4600 | TRAMPOLINE >> 12
    call    send_to_others
    mov     eax, 200
    call    delay_us
    call    count_online
    cmp     eax, [processor_count]
    je      .done
    call    send_to_others              ; a processor that runs already ignores the second start-up
    mov     ebx, 1000                   ; at most 100 ms
.wait:
    call    count_online
    cmp     eax, [processor_count]
    je      .done
    mov     eax, 100
    call    delay_us
    dec     ebx
    jnz     .wait
    print   `Some processors did not start.\n`
    jmp     .done
.no_room:
    print   `No RAM at 8000H for the trampoline: the other processors stay off.\n`
.done:
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    ret

; ZF clear: the trampoline's page is RAM.
trampoline_fits:
    push    rbx
    push    rsi
    xor     ebx, ebx
.map:
    cmp     ebx, [map_count]
    jae     .no
    imul    esi, ebx, 24
    add     rsi, memory_map
    inc     ebx
    cmp     dword [rsi + 16], 1
    jne     .map
    mov     rax, [rsi]
    cmp     rax, TRAMPOLINE
    ja      .map
    add     rax, [rsi + 8]
    cmp     rax, TRAMPOLINE + PAGE
    jb      .map
    or      eax, 1
    pop     rsi
    pop     rbx
    ret
.no:
    xor     eax, eax
    pop     rsi
    pop     rbx
    ret

; EDX: low half of the interrupt command, for every listed processor that is not online.
; ICR (SDM volume 3, 11.6.1): 63..56 (x2APIC 63..32) destination | 14 assert | 12 pending | 10..8 kind | 7..0 vector
send_to_others:
    push    rax
    push    rbx
    push    rcx
    push    rsi
    xor     ebx, ebx
.next:
    cmp     ebx, [processor_count]
    jae     .done
    cmp     byte [processor_online + rbx], 0
    jne     .skip
    mov     esi, [processor_apic + rbx * 4]
    cmp     byte [x2apic], 0
    je      .mmio
    push    rdx
    mov     eax, edx
    mov     edx, esi
    mov     ecx, 0x830
    wrmsr
    pop     rdx
    jmp     .skip
.mmio:
    mov     eax, esi
    shl     eax, 24
    mov     ecx, APIC_ICR_HIGH
    call    apic_write
    mov     eax, edx
    mov     ecx, APIC_ICR
    call    apic_write
    mov     esi, 100000
.pending:
    call    apic_read
    test    eax, 1 << 12
    jz      .skip
    pause
    dec     esi
    jnz     .pending
.skip:
    inc     ebx
    jmp     .next
.done:
    pop     rsi
    pop     rcx
    pop     rbx
    pop     rax
    ret

; Processors that have reported, in EAX.
count_online:
    push    rcx
    xor     eax, eax
    xor     ecx, ecx
.next:
    cmp     ecx, [processor_count]
    jae     .done
    cmp     byte [processor_online + rcx], 1
    sbb     eax, -1                     ; + 1 unless the compare borrowed
    inc     ecx
    jmp     .next
.done:
    pop     rcx
    ret

; ---- where the others begin --------------------------------------------------------------------------------------

; Copied to TRAMPOLINE; entered in real mode with CS = TRAMPOLINE >> 4, IP = 0.
bits 16
trampoline:
    cli
    mov     ax, cs
    mov     ds, ax
    o32 lgdt [trampoline_gdt - trampoline]
    mov     eax, cr0
    and     eax, 0x9fffffff             ; INIT leaves CD and NW set (SDM volume 3, table 9-1)
    or      eax, 1
    mov     cr0, eax
    jmp     dword 8:TRAMPOLINE + (trampoline_32 - trampoline)
bits 32
trampoline_32:
    mov     eax, 16
    mov     ds, eax
    mov     es, eax
    mov     ss, eax
    mov     eax, 1
    lock xadd [next_stack], eax         ; a stack for each
    cmp     eax, MOST_PROCESSORS
    jae     trampoline_stop
    inc     eax
    shl     eax, 12
    add     eax, other_stacks
    mov     esp, eax
    mov     eax, enter_long_mode_32     ; by register: this copy has moved, and a near CALL is relative
    call    eax
    lgdt    [gdt_pointer]
    jmp     KERNEL_CODE:other_64
trampoline_stop:
    hlt
    jmp     trampoline_stop
align 8
trampoline_table:                       ; flat 32-bit code and data
    dq      0, 0x00cf9a000000ffff, 0x00cf92000000ffff
trampoline_gdt:
    dw      trampoline_gdt - trampoline_table - 1
    dd      TRAMPOLINE + (trampoline_table - trampoline)
trampoline_end:

bits 64
other_64:
    mov     eax, KERNEL_DATA
    mov     ds, eax
    mov     es, eax
    mov     ss, eax
    lidt    [idt_pointer]
    call    apic_init
    call    apic_id
    xor     ecx, ecx
.find:
    cmp     [processor_apic + rcx * 4], eax
    je      .found
    inc     ecx
    cmp     ecx, [processor_count]
    jb      .find
    jmp     .rest
.found:
    mov     byte [processor_online + rcx], 1
.rest:
    sti
    hlt
    jmp     .rest

section .bss
alignb 16
other_stacks:   resb MOST_PROCESSORS * STACK_BYTES
next_stack:     resd 1
