// Interrupt entries, the INT 80h system call and the way to user mode and back, 32-bit (SDM vol. 3, 6.12).
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
        push    %eax
        push    %ecx
        push    %edx
        cld
        pushl   5 * 4(%esp)             // EIP
        pushl   5 * 4(%esp)             // error code
        pushl   5 * 4(%esp)             // vector
        call    on_interrupt
        add     $12, %esp
        pop     %edx
        pop     %ecx
        pop     %eax
        add     $8, %esp
        iret

// EAX number (0: leave user mode), EDI and ESI arguments
        .weak   on_system_call          // only the workload that makes system calls has it
        .globl system_call
system_call:
        test    %eax, %eax
        jz      leave_user
        push    %ecx
        push    %edx
        push    %eax
        push    %esi
        push    %edi
        call    on_system_call
        add     $12, %esp
        pop     %edx
        pop     %ecx
        iret

        .globl enter_user
enter_user:
        mov     4(%esp), %ecx
        mov     8(%esp), %edx
        push    %ebx
        push    %ebp
        push    %esi
        push    %edi
        mov     %esp, kernel_stack
        mov     %edx, user_stack_top - 12
        mov     $0x1b, %eax
        mov     %eax, %ds
        mov     %eax, %es
        push    $0x1b
        push    $user_stack_top - 16
        push    $0x02
        push    $0x23
        push    %ecx
        iret
leave_user:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     kernel_stack, %esp
        pop     %edi
        pop     %esi
        pop     %ebp
        pop     %ebx
        ret

        .section .bss
        .balign 16
kernel_stack: .skip 16
        .skip 16384
        .globl system_stack_top
system_stack_top:
        .skip 16384
user_stack_top:
