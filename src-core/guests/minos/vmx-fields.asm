; The VMCS of Minos's guest: 64-bit code at CPL 0 with Minos's paging and segments (SDM volume 3, chapter 24, appendix B).
; An interrupt table of no length: an exception in the guest is a triple fault, and so a VM exit.

PIN_CONTROLS            equ 0x4000
PRIMARY_CONTROLS        equ 0x4002
EXIT_CONTROLS           equ 0x400c
ENTRY_CONTROLS          equ 0x4012
SECONDARY_CONTROLS      equ 0x401e
EPT_POINTER             equ 0x201a
LINK_POINTER            equ 0x2800
GUEST_PHYSICAL          equ 0x2400      ; exit information
VM_INSTRUCTION_ERROR    equ 0x4400
EXIT_REASON             equ 0x4402
EXIT_LENGTH             equ 0x440c
EXIT_QUALIFICATION      equ 0x6400
GUEST_LINEAR            equ 0x640a
GUEST_CR0               equ 0x6800
GUEST_CR3               equ 0x6802
GUEST_CR4               equ 0x6804
GUEST_RIP               equ 0x681e
GUEST_RFLAGS            equ 0x6820
HOST_CS                 equ 0x0c02
HOST_CR0                equ 0x6c00
HOST_CR3                equ 0x6c02
HOST_CR4                equ 0x6c04
HOST_RSP                equ 0x6c14

HLT_EXITING             equ 1 << 7      ; primary (24.6.2)
USE_SECONDARY           equ 1 << 31
ENABLE_EPT              equ 1 << 1      ; secondary
HOST_64_BIT             equ 1 << 9      ; exit (24.7.1)
GUEST_64_BIT            equ 1 << 9      ; entry (24.8.1)

UNUSABLE                equ 1 << 16     ; access rights of a segment that is not there (24.4.1)

section .text
bits 64

; ECX: a control's MSR, EAX: bits wanted. EAX: with all that must be 1, without what cannot be.
vmx_adjust:
    push    rdx
    push    rbx
    mov     ebx, eax
    rdmsr
    or      eax, ebx
    and     eax, edx
    pop     rbx
    pop     rdx
    ret

; EBX: primary controls wanted, R8D: secondary controls wanted, where USE_SECONDARY is among EBX. ZF: all was written.
vmx_write_controls:
    mov     dword [vmx_answer], 0
    mov     ecx, MSR_VMX_PIN
    xor     eax, eax
    call    vmx_adjust
    mov     edx, PIN_CONTROLS
    call    vmx_write
    mov     ecx, MSR_VMX_PRIMARY
    mov     eax, ebx
    call    vmx_adjust
    mov     edx, PRIMARY_CONTROLS
    call    vmx_write
    test    ebx, ebx
    jns     .exit
    mov     ecx, MSR_VMX_SECONDARY
    mov     eax, r8d
    call    vmx_adjust
    mov     edx, SECONDARY_CONTROLS
    call    vmx_write
.exit:
    mov     ecx, MSR_VMX_EXIT
    mov     eax, HOST_64_BIT
    call    vmx_adjust
    mov     edx, EXIT_CONTROLS
    call    vmx_write
    mov     ecx, MSR_VMX_ENTRY
    mov     eax, GUEST_64_BIT
    call    vmx_adjust
    mov     edx, ENTRY_CONTROLS
    call    vmx_write
    mov     esi, fields_controls
    jmp     vmx_write_table

vmx_write_host:
    mov     dword [vmx_answer], 0
    mov     rax, cr0
    mov     edx, HOST_CR0
    call    vmx_write
    mov     rax, cr3
    mov     edx, HOST_CR3
    call    vmx_write
    mov     rax, cr4
    mov     edx, HOST_CR4
    call    vmx_write
    mov     esi, fields_host
    jmp     vmx_write_table

; RBX: where the guest begins. Its general registers begin as 0.
vmx_write_guest:
    mov     dword [vmx_answer], 0
    xor     eax, eax
    mov     [guest_rax], rax
    mov     [guest_rbx], rax
    mov     [guest_rcx], rax
    mov     [guest_rdx], rax
    mov     rax, cr0
    mov     edx, GUEST_CR0
    call    vmx_write
    mov     rax, cr3
    mov     edx, GUEST_CR3
    call    vmx_write
    mov     rax, cr4
    mov     edx, GUEST_CR4
    call    vmx_write
    mov     rax, rbx
    mov     edx, GUEST_RIP
    call    vmx_write
    mov     esi, fields_guest

; RSI: pairs of encoding and value, up to an encoding of -1. ZF: nothing has failed since [vmx_answer] was cleared.
vmx_write_table:
    mov     rdx, [rsi]
    cmp     rdx, -1
    je      .end
    mov     rax, [rsi + 8]
    call    vmx_write
    add     rsi, 16
    jmp     vmx_write_table
.end:
    cmp     dword [vmx_answer], 0
    ret

section .rodata
align 8
fields_controls:                        ; no exception exits but by the guest's own fault, no MSR lists, nothing injected
    dq      0x4004, 0, 0x4006, 0, 0x4008, 0, 0x400a, 0 ; exception bitmap, page-fault mask and match, CR3 targets
    dq      0x400e, 0, 0x4010, 0, 0x4014, 0, 0x4016, 0 ; MSR counts: exit store, exit load, entry load; interruption
    dq      0x6000, 0, 0x6002, 0, 0x6004, 0, 0x6006, 0 ; CR0 and CR4: guest/host masks, read shadows
    dq      -1
fields_host:                            ; selectors ES CS SS DS FS GS TR
    dq      0x0c00, KERNEL_DATA, HOST_CS, KERNEL_CODE, 0x0c04, KERNEL_DATA, 0x0c06, KERNEL_DATA
    dq      0x0c08, 0, 0x0c0a, 0, 0x0c0c, TASK_STATE
    dq      0x6c06, 0, 0x6c08, 0, 0x6c0a, task_state, 0x6c0c, gdt, 0x6c0e, idt ; bases FS GS TR GDTR IDTR
    dq      0x4c00, 0, 0x6c10, 0, 0x6c12, 0 ; SYSENTER CS, ESP, EIP
    dq      0x6c16, vmx_exited          ; RIP
    dq      -1
fields_guest:                           ; selectors ES CS SS DS FS GS LDTR TR, then limits, rights and bases
    dq      0x0800, KERNEL_DATA, 0x0802, KERNEL_CODE, 0x0804, KERNEL_DATA, 0x0806, KERNEL_DATA
    dq      0x0808, 0, 0x080a, 0, 0x080c, 0, 0x080e, TASK_STATE
    dq      0x4800, 0xffffffff, 0x4802, 0xffffffff, 0x4804, 0xffffffff, 0x4806, 0xffffffff
    dq      0x4808, 0, 0x480a, 0, 0x480c, 0, 0x480e, 103
    dq      0x4814, 0xc093, 0x4816, 0xa09b, 0x4818, 0xc093, 0x481a, 0xc093
    dq      0x481c, UNUSABLE, 0x481e, UNUSABLE, 0x4820, UNUSABLE, 0x4822, 0x8b
    dq      0x6806, 0, 0x6808, 0, 0x680a, 0, 0x680c, 0, 0x680e, 0, 0x6810, 0, 0x6812, 0, 0x6814, task_state
    dq      0x4810, gdt_end - gdt - 1, 0x6816, gdt, 0x4812, 0, 0x6818, idt ; GDTR and IDTR
    dq      0x4824, 0, 0x4826, 0, 0x6822, 0 ; interruptibility, activity, pending debug exceptions
    dq      0x482a, 0, 0x6824, 0, 0x6826, 0 ; SYSENTER CS, ESP, EIP
    dq      0x2802, 0, 0x681a, 0x400    ; IA32_DEBUGCTL, DR7
    dq      0x681c, guest_stack_top, GUEST_RFLAGS, 2
    dq      LINK_POINTER, -1            ; no shadow VMCS
    dq      -1
