; Time: how fast the time-stamp counter runs (SDM volume 3, 18.7.3), and waiting by it.

section .text
bits 64

; tsc_hz from CPUID 15H: crystal * EBX / EAX. Without the crystal, from the base frequency in CPUID 16H. Without either,
; measured against the ACPI power-management timer (ACPI 6.4, 4.8.3.3: 3.579545 MHz). 0 when there is nothing to go by.
time_init:
    push    rax
    push    rbx
    push    rcx
    push    rdx
    xor     eax, eax
    cpuid
    mov     [largest_leaf], eax
    cmp     eax, 0x15
    jb      .measure
    mov     eax, 0x15
    cpuid
    test    eax, eax
    jz      .base
    test    ebx, ebx
    jz      .base
    test    ecx, ecx
    jz      .base
    xchg    rax, rcx
    mul     rbx
    div     rcx
    mov     [tsc_hz], rax
    lea     rax, [text_leaf_15]
    jmp     .known
.base:
    cmp     dword [largest_leaf], 0x16
    jb      .measure
    mov     eax, 0x16
    cpuid
    movzx   eax, ax
    test    eax, eax
    jz      .measure
    imul    rax, rax, 1000000
    mov     [tsc_hz], rax
    lea     rax, [text_leaf_16]
    jmp     .known
.measure:
    call    measure_tsc
    lea     rax, [text_measured]
.known:
    mov     [tsc_source], rax
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    ret

; Count time-stamp ticks over 5 ms of the power-management timer.
measure_tsc:
    push    rsi
    push    rdi
    mov     rsi, [table_fadt]
    test    rsi, rsi
    jz      .done
    mov     edx, [rsi + 76]             ; FADT.PM_TMR_BLK
    test    edx, edx
    jz      .done
    in      eax, dx
    mov     edi, eax
    mov     ebx, edx
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    mov     rsi, rax
    mov     ecx, 10000000               ; a timer that stands still must not hold us
    mov     edx, ebx
.wait:
    in      eax, dx
    sub     eax, edi
    and     eax, 0xffffff               ; 24 bits are sure
    cmp     eax, 17898
    jae     .elapsed
    dec     ecx
    jnz     .wait
    jmp     .done
.elapsed:
    mov     ebx, eax
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    sub     rax, rsi
    mov     ecx, 3579545
    mul     rcx
    div     rbx
    mov     [tsc_hz], rax
.done:
    pop     rdi
    pop     rsi
    ret

; Wait EAX microseconds; when the counter's speed is unknown, as at 3 GHz.
delay_us:
    push    rax
    push    rbx
    push    rcx
    push    rdx
    mov     ecx, eax
    mov     rax, [tsc_hz]
    test    rax, rax
    jnz     .known
    mov     eax, 3000000000
.known:
    mul     rcx
    mov     ecx, 1000000
    div     rcx
    mov     rcx, rax
    rdtsc
    shl     rdx, 32
    lea     rbx, [rax + rdx]
.wait:
    pause
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    sub     rax, rbx
    cmp     rax, rcx
    jb      .wait
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    ret

section .rodata
text_leaf_15    db "CPUID 15H", 0
text_leaf_16    db "CPUID 16H", 0
text_measured   db "measured against the ACPI timer", 0

section .bss
alignb 8
tsc_hz:         resq 1
tsc_source:     resq 1
largest_leaf:   resd 1
