; VT-x, what `vmx-steps` and `ept` share: VMX operation, one VMCS, VM entries and exits, what the processor answers
; (SDM volume 3, chapters 23 to 27 and 30). For the boot processor; its guest runs in Minos's own address space.

MSR_FEATURE_CONTROL     equ 0x3a        ; bit 0 lock, bit 2 VMX outside SMX (SDM volume 3, 23.7)
MSR_VMX_BASIC           equ 0x480       ; 30..0 the VMCS revision identifier (appendix A.1)
MSR_VMX_PIN             equ 0x481       ; and the other controls: 31..0 must be 1, 63..32 may be 1 (A.3 to A.5)
MSR_VMX_PRIMARY         equ 0x482
MSR_VMX_EXIT            equ 0x483
MSR_VMX_ENTRY           equ 0x484
MSR_VMX_CR0_FIXED0      equ 0x486       ; bits that must be 1; the next MSR: bits that may be 1 (A.7)
MSR_VMX_CR4_FIXED0      equ 0x488
MSR_VMX_SECONDARY       equ 0x48b
MSR_VMX_EPT             equ 0x48c

CR4_VMXE                equ 1 << 13

; [vmx_answer]: 0 success, 6 #UD, 13 #GP, or one of these (30.2)
ANSWER_INVALID          equ 0x100       ; CF: VMfailInvalid
ANSWER_VALID            equ 0x200       ; ZF: VMfailValid, with the VM-instruction error number in 7..0

section .text
bits 64

; RDI: a routine that makes one instruction, after which CF and ZF tell how it went. #UD and #GP are caught.
; Out: [vmx_answer]; ZF: success. Keeps all registers but RAX.
vmx_try:
    pushfq
    cli
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    push    rbp
    mov     [vmx_stack], rsp
    mov     dword [vmx_answer], 0
    mov     edx, idt + 6 * 16
    mov     eax, vmx_caught_ud
    call    vmx_set_gate
    mov     edx, idt + 13 * 16
    mov     eax, vmx_caught_gp
    call    vmx_set_gate
    test    rsp, rsp                    ; CF = ZF = 0, for what leaves the flags alone
    call    rdi
    jc      .invalid
    jnz     vmx_tried
    mov     edx, VM_INSTRUCTION_ERROR
    call    vmx_read
    or      eax, ANSWER_VALID
    mov     [vmx_answer], eax
    jmp     vmx_tried
.invalid:
    mov     dword [vmx_answer], ANSWER_INVALID
vmx_tried:
    mov     edx, idt + 6 * 16
    mov     eax, interrupt_stubs + 6 * STUB_BYTES
    call    vmx_set_gate
    mov     edx, idt + 13 * 16
    mov     eax, interrupt_stubs + 13 * STUB_BYTES
    call    vmx_set_gate
    pop     rbp
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    popfq
    cmp     dword [vmx_answer], 0
    ret
vmx_caught_ud:
    mov     dword [vmx_answer], 6
    jmp     vmx_caught
vmx_caught_gp:
    mov     dword [vmx_answer], 13
vmx_caught:                             ; same privilege, interrupts off on both sides: the frame need not be returned through
    mov     rsp, [vmx_stack]
    jmp     vmx_tried

; RDX: an IDT gate, EAX: the code it leads to.
vmx_set_gate:
    mov     [rdx], ax
    shr     eax, 16
    mov     [rdx + 6], ax
    ret

; For `vmx_try`: one instruction each.
do_vmxon:
    vmxon   [vmx_pointer]
    ret
do_vmxoff:
    vmxoff
    ret
do_vmclear:
    vmclear [vmx_pointer]
    ret
do_vmptrld:
    vmptrld [vmx_pointer]
    ret
do_permit:                              ; [vmx_permission]: the new value
    mov     ecx, MSR_FEATURE_CONTROL
    mov     eax, [vmx_permission]
    mov     edx, 0                      ; MOV: the flags stay
    wrmsr
    ret

; A VM entry. After the exit, execution goes on at `vmx_exited`; behind the instruction only when there was no entry.
do_vmlaunch:
    call    vmx_load_guest
    vmlaunch
    ret
do_vmresume:
    call    vmx_load_guest
    vmresume
    ret
vmx_load_guest:
    mov     edx, HOST_RSP
    lea     rax, [rsp + 8]              ; as our caller has it
    vmwrite rdx, rax
    mov     rax, [guest_rax]
    mov     rbx, [guest_rbx]
    mov     rcx, [guest_rcx]
    mov     rdx, [guest_rdx]
    ret
vmx_exited:
    mov     [guest_rax], rax
    mov     [guest_rbx], rbx
    mov     [guest_rcx], rcx
    mov     [guest_rdx], rdx
    lgdt    [gdt_pointer]               ; the exit has set both limits to FFFFH (27.5.2)
    lidt    [idt_pointer]
    test    rsp, rsp                    ; CF = ZF = 0
    ret

; EDX: encoding. RAX: the field's value.
vmx_read:
    xor     eax, eax
    vmread  rax, rdx
    ret

; EDX: encoding, RAX: value. What fails is kept in [vmx_answer], the first time.
vmx_write:
    mov     [field_code], rdx
    mov     [field_value], rax
    push    rdi
    cmp     dword [vmx_answer], 0
    jne     .done
    mov     edi, do_vmwrite
    call    vmx_try
.done:
    pop     rdi
    ret
do_vmwrite:
    mov     rdx, [field_code]
    mov     rax, [field_value]
    vmwrite rdx, rax
    ret

; CPUID.1:ECX[5]. ZF: this processor has no VT-x, and that was said.
vmx_present:
    mov     eax, 1
    cpuid
    bt      ecx, 5
    jc      .yes
    print   `This processor has no VT-x: CPUID.1:ECX[5] is 0.\n`
    xor     eax, eax
    ret
.yes:
    or      eax, 1
    ret

; Read IA32_FEATURE_CONTROL; where the firmware has left it open, allow VMX and lock it. ZF: VMX may be entered.
vmx_permit:
    mov     ecx, MSR_FEATURE_CONTROL
    rdmsr
    mov     [vmx_permission], eax
    test    al, 1
    jnz     .locked
    or      dword [vmx_permission], 5
    mov     edi, do_permit
    call    vmx_try
    jne     .done
.locked:
    mov     eax, [vmx_permission]
    and     eax, 5
    cmp     eax, 5
.done:
    ret

; RDI: a page. It becomes a region with this processor's revision identifier in its first four bytes (24.2).
vmx_region:
    mov     rdx, rdi
    xor     eax, eax
    mov     ecx, PAGE / 8
    rep     stosq
    mov     [vmx_pointer], rdx
    mov     rdi, rdx
    mov     ecx, MSR_VMX_BASIC
    rdmsr
    and     eax, 0x7fffffff
    mov     [rdi], eax
    ret

; Whatever was begun is ended: VMXOFF, and CR4.VMXE off. ZF: VMX operation had begun.
vmx_leave:
    mov     eax, 0
    xchg    al, [vmx_on]
    push    rax
    test    al, al
    jz      .off
    mov     edi, do_vmxoff
    call    vmx_try
.off:
    mov     rax, cr4
    and     rax, ~CR4_VMXE
    mov     cr4, rax
    pop     rax
    cmp     al, 1
    ret

; All of it at once, up to a current VMCS. ZF: done; else [vmx_answer] and RSI, the instruction's name.
vmx_begin:
    mov     rax, cr4
    or      rax, CR4_VMXE
    mov     cr4, rax
    mov     edi, vmxon_page
    call    vmx_region
    mov     esi, name_vmxon
    mov     edi, do_vmxon
    call    vmx_try
    jne     .done
    mov     byte [vmx_on], 1
    mov     edi, vmcs_page
    call    vmx_region
    mov     esi, name_vmclear
    mov     edi, do_vmclear
    call    vmx_try
    jne     .done
    mov     esi, name_vmptrld
    mov     edi, do_vmptrld
    call    vmx_try
.done:
    ret

section .rodata
name_vmxon      db "VMXON", 0
name_vmclear    db "VMCLEAR", 0
name_vmptrld    db "VMPTRLD", 0
name_vmwrite    db "VMWRITE", 0
name_vmlaunch   db "VMLAUNCH", 0
name_vmresume   db "VMRESUME", 0

section .bss
alignb 4096
vmxon_page:     resb PAGE
vmcs_page:      resb PAGE
vmx_pointer:    resq 1
vmx_stack:      resq 1
field_code:     resq 1
field_value:    resq 1
guest_rax:      resq 1
guest_rbx:      resq 1
guest_rcx:      resq 1
guest_rdx:      resq 1
guest_stack:    resb 512
guest_stack_top:
vmx_answer:     resd 1
vmx_permission: resd 1
vmx_on:         resb 1
