; Interrupts and exceptions in 64-bit mode (SDM volume 3, 6.14) and the local APIC (SDM volume 3, chapter 11).
;
; All 256 vectors enter by a table of equal CALLs: the return address that a CALL leaves tells which it was.
; What `interrupt_common` builds, from low addresses to high:
FRAME_R15       equ 0
FRAME_RAX       equ 14 * 8
FRAME_VECTOR    equ 15 * 8
FRAME_ERROR     equ 16 * 8
FRAME_RIP       equ 17 * 8
FRAME_CS        equ 18 * 8
FRAME_RFLAGS    equ 19 * 8
FRAME_RSP       equ 20 * 8
FRAME_SS        equ 21 * 8

SPURIOUS_VECTOR equ 0xff
STUB_BYTES      equ 5                   ; a near CALL

; Local APIC registers as MMIO offsets; the x2APIC's MSR is 800H + offset/16 (SDM volume 3, 11.12.1.2)
APIC_ID         equ 0x20
APIC_EOI        equ 0xb0
APIC_SPURIOUS   equ 0xf0
APIC_ICR        equ 0x300
APIC_ICR_HIGH   equ 0x310

; Exceptions that push an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX
WITH_ERROR      equ 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30

section .text
bits 64

; Fill the IDT, load it and a task state whose IST1 is the double-fault stack; silence the 8259s; switch the local APIC on.
interrupts_init:
    push    rax
    push    rcx
    push    rdx
    push    rdi
    mov     rdi, idt
    mov     eax, interrupt_stubs
    xor     ecx, ecx
;   gate: 63..48 offset 31..16 | 47 P | 46..45 DPL | 43..40 type E: interrupt gate | 34..32 IST | 31..16 selector | offset 15..0
.gate:
    mov     [rdi], ax
    mov     word [rdi + 2], KERNEL_CODE
    mov     word [rdi + 4], 0x8e00
    cmp     ecx, 8
    jne     .no_stack
    mov     byte [rdi + 4], 1           ; #DF: IST1
.no_stack:
    mov     edx, eax
    shr     edx, 16
    mov     [rdi + 6], dx
    mov     dword [rdi + 8], 0
    mov     dword [rdi + 12], 0
    add     rdi, 16
    add     eax, STUB_BYTES
    inc     ecx
    cmp     ecx, 256
    jb      .gate

    mov     rax, fault_stack_top
    mov     [task_state + 36], rax      ; TSS.IST1
    mov     word [task_state + 102], 104 ; no I/O permission map
    mov     eax, task_state             ; the descriptor: base in three pieces, limit 103, type 9
    mov     word [gdt_task], 103
    mov     [gdt_task + 2], ax
    shr     eax, 16
    mov     [gdt_task + 4], al
    mov     byte [gdt_task + 5], 0x89
    mov     [gdt_task + 7], ah
    lidt    [idt_pointer]
    mov     eax, TASK_STATE
    ltr     ax

    mov     al, 0xff                    ; 8259s: every line masked
    out     0x21, al
    out     0xa1, al
    call    apic_init
    pop     rdi
    pop     rdx
    pop     rcx
    pop     rax
    ret

; Learn where the local APIC is and whether it is an x2APIC already; switch it on. For every processor.
apic_init:
    push    rax
    push    rcx
    push    rdx
    mov     ecx, MSR_APIC_BASE
    rdmsr
    bt      eax, 10                     ; EXTD
    jc      .x2
    cmp     byte [want_x2apic], 0
    je      .mmio
    or      eax, 0xc00                  ; EN and EXTD
    wrmsr
.x2:
    mov     byte [x2apic], 1
    mov     byte [want_x2apic], 1       ; the others follow
    jmp     .on
.mmio:
    or      eax, 0x800                  ; EN
    wrmsr
    shl     rdx, 32
    and     eax, 0xfffff000
    or      rax, rdx
    mov     [apic_base], rax
.on:
    mov     ecx, APIC_SPURIOUS
    mov     eax, 0x100 | SPURIOUS_VECTOR ; software enable
    call    apic_write
    pop     rdx
    pop     rcx
    pop     rax
    ret

; ECX: register offset; the value is in EAX.
apic_write:
    push    rcx
    push    rdx
    cmp     byte [x2apic], 0
    jne     .msr
    mov     rdx, [apic_base]
    mov     [rdx + rcx], eax
    pop     rdx
    pop     rcx
    ret
.msr:
    shr     ecx, 4
    add     ecx, 0x800
    xor     edx, edx
    wrmsr
    pop     rdx
    pop     rcx
    ret

apic_read:
    push    rcx
    push    rdx
    cmp     byte [x2apic], 0
    jne     .msr
    mov     rdx, [apic_base]
    mov     eax, [rdx + rcx]
    pop     rdx
    pop     rcx
    ret
.msr:
    shr     ecx, 4
    add     ecx, 0x800
    rdmsr
    pop     rdx
    pop     rcx
    ret

; This processor's APIC id, in EAX.
apic_id:
    push    rcx
    mov     ecx, APIC_ID
    call    apic_read
    cmp     byte [x2apic], 0
    jne     .done
    shr     eax, 24                     ; xAPIC: bits 31..24
.done:
    pop     rcx
    ret

; Vector EAX for ISA interrupt EDX, edge-triggered, to this processor. EAX: 1, or 0 if no I/O APIC serves it.
; Redirection entry (82093AA datasheet 3.2.4): 63..56 destination | 16 mask | 15 level | 13 low | 7..0 vector
route_isa_interrupt:
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    mov     ebx, eax
    mov     ecx, [isa_to_gsi + rdx * 4]
    mov     rsi, [ioapic_base]
    test    rsi, rsi
    jz      .none
    sub     ecx, [ioapic_first]
    js      .none
    movzx   eax, word [isa_flags + rdx * 2] ; MADT 5.2.12.5: polarity 3 low, trigger 3 level
    mov     edx, eax
    and     edx, 3
    cmp     edx, 3
    jne     .high
    or      ebx, 1 << 13
.high:
    and     eax, 0x0c
    cmp     eax, 0x0c
    jne     .edge
    or      ebx, 1 << 15
.edge:
    lea     ecx, [rcx * 2 + 0x11]       ; IOREDTBL[n], upper half
    mov     [rsi], ecx
    call    apic_id
    shl     eax, 24
    mov     [rsi + 0x10], eax
    dec     ecx
    mov     [rsi], ecx
    mov     [rsi + 0x10], ebx
    mov     eax, 1
    jmp     .done
.none:
    xor     eax, eax
.done:
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    ret

; ---- entry and exit ----------------------------------------------------------------------------------------------

interrupt_stubs:
    times 256 call near interrupt_common

interrupt_common:
    push    rax                         ; RAX | return address | error code or RIP
    mov     eax, [rsp + 8]
    sub     eax, interrupt_stubs + STUB_BYTES
    imul    eax, eax, 52429             ; divided by 5, exact for what can occur: 52429 = (2^18 + 1) / 5
    shr     eax, 18
    cmp     eax, 32
    jae     .no_error
    push    rcx
    mov     ecx, WITH_ERROR
    bt      ecx, eax
    pop     rcx
    jc      .even
.no_error:
    push    qword [rsp]                 ; one place down, so that every frame has an error code
    mov     qword [rsp + 16], 0
.even:
    mov     [rsp + 8], rax
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    push    rbp
    push    r8
    push    r9
    push    r10
    push    r11
    push    r12
    push    r13
    push    r14
    push    r15
    cld
    mov     rdi, rsp
    lock inc qword [interrupt_counts + rax * 8]
    cmp     eax, 32
    jae     .device
    call    exception
    jmp     .leave
.device:
    cmp     eax, SPURIOUS_VECTOR        ; wants no end of interrupt (SDM volume 3, 11.9)
    je      .leave
    cmp     eax, UART_VECTOR
    jne     .timer
    call    console_interrupt
.timer:
    cmp     eax, TIMER_VECTOR
    jne     .end
    inc     qword [ticks]
    call    timer_again
.end:
    mov     ecx, APIC_EOI
    xor     eax, eax
    call    apic_write
.leave:
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     r11
    pop     r10
    pop     r9
    pop     r8
    pop     rbp
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    add     rsp, 16
    iretq

; RDI: frame. #BP is shown and returns to the code; anything else is shown and ends the command.
exception:
    cmp     byte [in_exception], 0
    jne     .twice
    mov     byte [in_exception], 1
    call    show_frame
    mov     byte [in_exception], 0
    cmp     dword [rdi + FRAME_VECTOR], 3
    je      .done
    call    apic_id
    cmp     eax, [boot_apic_id]
    jne     .stop                       ; another processor: nothing to return to
    print   `Back to the shell.\n`
    mov     rsp, boot_stack_top
    sti
    jmp     shell
.done:
    ret
.twice:
    print   `\nMinos: an exception while showing one; stopped.\n`
.stop:
    cli
    hlt
    jmp     .stop

; RDI: frame. Prints it with the exception's name.
show_frame:
    push    rax
    push    rbx
    push    rcx
    push    rsi
    mov     ebx, [rdi + FRAME_VECTOR]
    print   `\nException `
    mov     eax, ebx
    call    put_decimal
    print   " "
    mov     rsi, [exception_names + rbx * 8]
    call    put_string
    print   `, error code `
    mov     rax, [rdi + FRAME_ERROR]
    mov     ecx, 8
    call    put_hex_digits
    cmp     ebx, 14
    jne     .where
    print   ", address CR2 "
    mov     rax, cr2
    call    put_hex
.where:
    print   `\n  RIP `
    mov     rax, [rdi + FRAME_RIP]
    call    put_hex
    print   "  CS "
    mov     rax, [rdi + FRAME_CS]
    mov     ecx, 4
    call    put_hex_digits
    print   "  RFLAGS "
    mov     rax, [rdi + FRAME_RFLAGS]
    call    put_hex
    print   `\n  RSP `
    mov     rax, [rdi + FRAME_RSP]
    call    put_hex
    print   "  SS "
    mov     rax, [rdi + FRAME_SS]
    mov     ecx, 4
    call    put_hex_digits
    print   "  CR2    "
    mov     rax, cr2
    call    put_hex
    xor     ebx, ebx
.register:
    test    ebx, 1
    jnz     .same_line
    call    new_line
.same_line:
    print   "  "
    lea     rsi, [register_names + rbx * 4]
    call    put_string
    print   " "
    mov     ecx, 14                     ; the frame holds RAX highest
    sub     ecx, ebx
    mov     rax, [rdi + rcx * 8]
    call    put_hex
    inc     ebx
    cmp     ebx, 15
    jb      .register
    call    new_line
    pop     rsi
    pop     rcx
    pop     rbx
    pop     rax
    ret

section .rodata
register_names:
    db      "RAX", 0, "RBX", 0, "RCX", 0, "RDX", 0, "RSI", 0, "RDI", 0, "RBP", 0, "R8 ", 0
    db      "R9 ", 0, "R10", 0, "R11", 0, "R12", 0, "R13", 0, "R14", 0, "R15", 0
align 8
exception_names:
    dq      name_de, name_db, name_nmi, name_bp, name_of, name_br, name_ud, name_nm
    dq      name_df, name_9, name_ts, name_np, name_ss, name_gp, name_pf, name_reserved
    dq      name_mf, name_ac, name_mc, name_xm, name_ve, name_cp, name_reserved, name_reserved
    dq      name_reserved, name_reserved, name_reserved, name_reserved, name_hv, name_vc, name_sx, name_reserved
name_de db "#DE divide error", 0
name_db db "#DB debug", 0
name_nmi db "NMI non-maskable interrupt", 0
name_bp db "#BP breakpoint", 0
name_of db "#OF overflow", 0
name_br db "#BR bound range exceeded", 0
name_ud db "#UD invalid opcode", 0
name_nm db "#NM device not available", 0
name_df db "#DF double fault", 0
name_9  db "coprocessor segment overrun", 0
name_ts db "#TS invalid TSS", 0
name_np db "#NP segment not present", 0
name_ss db "#SS stack-segment fault", 0
name_gp db "#GP general protection", 0
name_pf db "#PF page fault", 0
name_mf db "#MF x87 floating-point error", 0
name_ac db "#AC alignment check", 0
name_mc db "#MC machine check", 0
name_xm db "#XM SIMD floating-point exception", 0
name_ve db "#VE virtualization exception", 0
name_cp db "#CP control protection", 0
name_hv db "#HV hypervisor injection", 0
name_vc db "#VC VMM communication", 0
name_sx db "#SX security exception", 0
name_reserved db "reserved", 0

section .data
align 8
idt_pointer:
    dw      256 * 16 - 1
    dq      idt

section .bss
alignb 16
idt:                resb 256 * 16
interrupt_counts:   resq 256
task_state:         resb 104
alignb 16
fault_stack:        resb PAGE
fault_stack_top:
apic_base:          resq 1
boot_apic_id:       resd 1
x2apic:             resb 1
want_x2apic:        resb 1
in_exception:       resb 1
