// Interrupt entries, SYSCALL entry and the way to user mode and back, 64-bit (SDM vol. 3, 6.14; vol. 2, SYSCALL).
        .section .text
        .balign 16
        .globl vectors
vectors:
        .set    v, 0
        .rept   256
        .balign 16
        .if v != 8 && (v < 10 || v > 14) && v != 17 && v != 21 // these push an error code themselves
        push    $0
        .endif
        push    $v
        jmp     interrupt
        .set    v, v + 1
        .endr

        .balign 16
interrupt:
        push    %rax
        push    %rcx
        push    %rdx
        push    %rsi
        push    %rdi
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        cld
        mov     9 * 8(%rsp), %rdi
        mov     10 * 8(%rsp), %rsi
        mov     11 * 8(%rsp), %rdx
        call    on_interrupt
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rdi
        pop     %rsi
        pop     %rdx
        pop     %rcx
        pop     %rax
        add     $16, %rsp
        iretq

// EAX number (0: leave user mode), EDI and ESI arguments; RCX, R11 from SYSCALL
        .weak   on_system_call          // only the workload that makes system calls has it
        .globl system_call
system_call:
        mov     %rsp, user_stack
        mov     $system_stack_top, %rsp
        test    %eax, %eax
        jz      leave_user
        push    %rcx
        push    %r11
        mov     %eax, %edx
        call    on_system_call
        pop     %r11
        pop     %rcx
        mov     user_stack, %rsp
        sysretq

        .globl enter_user
enter_user:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, kernel_stack
        push    $0x1b
        push    $user_stack_top - 8
        push    $0x02
        push    $0x23
        push    %rdi
        mov     %rsi, %rdi
        iretq
leave_user:
        mov     kernel_stack, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .section .bss
        .balign 16
kernel_stack: .skip 8
user_stack:   .skip 8
        .skip 16384
        .globl system_stack_top
system_stack_top:
        .skip 16384
user_stack_top:
