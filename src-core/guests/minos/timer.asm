; The local APIC's timer (SDM volume 3, 11.5.4): an interrupt 100 times a second, while `irq` runs.

TIMER_VECTOR    equ 0x40

APIC_TIMER      equ 0x320
APIC_INITIAL    equ 0x380
APIC_CURRENT    equ 0x390
APIC_DIVIDE     equ 0x3e0
MSR_DEADLINE    equ 0x6e0

section .text
bits 64

; Start the local APIC timer at 100 Hz: by TSC deadline where the processor has it, else periodic. EAX: 0 if its rate is unknown.
timer_start:
    push    rbx
    push    rcx
    push    rdx
    mov     rax, [tsc_hz]
    test    rax, rax
    jz      .done
    xor     edx, edx
    mov     ecx, 100
    div     rcx
    mov     [timer_period], rax
    mov     eax, 1
    cpuid
    mov     byte [timer_by_deadline], 0
    bt      ecx, 24                     ; CPUID.1:ECX.TSC_Deadline
    jnc     .periodic
    mov     byte [timer_by_deadline], 1
    mov     ecx, APIC_TIMER
    mov     eax, 2 << 17 | TIMER_VECTOR
    call    apic_write
    mfence                              ; SDM volume 3, 11.5.4.1: LVT write before WRMSR, in xAPIC mode
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    mov     [timer_next], rax
    call    timer_again
    mov     eax, 1
    jmp     .done
.periodic:
    mov     ecx, APIC_DIVIDE
    mov     eax, 3                      ; by 16
    call    apic_write
    mov     ecx, APIC_TIMER
    mov     eax, 1 << 16                ; masked, one-shot
    call    apic_write
    mov     ecx, APIC_INITIAL
    mov     eax, -1
    call    apic_write
    mov     eax, 10000                  ; its ticks in 10 ms are its ticks in one period
    call    delay_us
    mov     ecx, APIC_CURRENT
    call    apic_read
    not     eax
    mov     ebx, eax
    mov     ecx, APIC_TIMER
    mov     eax, 1 << 17 | TIMER_VECTOR
    call    apic_write
    mov     ecx, APIC_INITIAL
    mov     eax, ebx
    call    apic_write
    mov     eax, ebx
.done:
    pop     rdx
    pop     rcx
    pop     rbx
    ret

; In the timer's interrupt: name the next deadline.
timer_again:
    cmp     byte [timer_by_deadline], 0
    je      .done
    push    rax
    push    rcx
    push    rdx
    mov     rax, [timer_next]
    add     rax, [timer_period]
    mov     [timer_next], rax
    mov     rdx, rax
    shr     rdx, 32
    mov     ecx, MSR_DEADLINE
    wrmsr
    pop     rdx
    pop     rcx
    pop     rax
.done:
    ret

timer_stop:
    push    rcx
    push    rdx
    mov     byte [timer_by_deadline], 0
    mov     ecx, APIC_TIMER
    mov     eax, 1 << 16                ; masked
    call    apic_write
    mov     ecx, APIC_INITIAL
    xor     eax, eax
    call    apic_write
    pop     rdx
    pop     rcx
    ret

section .bss
alignb 8
ticks:              resq 1
timer_period:       resq 1
timer_next:         resq 1
timer_by_deadline:  resb 1
