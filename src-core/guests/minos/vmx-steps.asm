; `vmx-steps`: into VMX operation, a guest launched, three exits of it, and out again, each step told on the console.
; `vmx-steps without GATE` removes one precondition and tells what the processor answers (SDM volume 3, 23 to 27 and 31.5).

REASON_CPUID    equ 10                  ; basic exit reasons (appendix C)
REASON_HLT      equ 12
REASON_VMCALL   equ 18
REASON_EPT      equ 48
ENTRY_FAILED    equ 31                  ; bit of the exit reason (24.9.1)

; A line of the story, with its number.
%macro step 1
    call    step_number
    print   %1
%endmacro

section .text
bits 64

command_vmx_steps:
    call    vmx_leave                   ; an exception may have broken off what was before
    mov     byte [step_count], 0
    call    gate_argument
    js      .done
    call    vmx_present
    jz      .done
    step    `CPUID.1:ECX[5] is 1: the processor has VT-x\n`
    call    step_permit
    jne     .end
    call    step_fixed
    call    step_vmxon
    jne     .end
    call    step_vmcs
    jne     .end
    call    step_fields
    jne     .end
    call    step_guest
.end:
    call    vmx_leave
    jne     .done
    step    `VMXOFF, CR4.VMXE = 0: out of VMX operation\n`
.done:
    ret

; ZF of each step: go on.
step_permit:
    cmp     byte [vmx_gate], GATE_LOCK
    je      .without
    call    vmx_permit
    jne     .refused
    step    "IA32_FEATURE_CONTROL is "
    mov     eax, [vmx_permission]
    call    put_hex
    print   `: locked, VMX outside SMX allowed\n`
    xor     eax, eax
    ret
.refused:
    step    "IA32_FEATURE_CONTROL is "
    mov     eax, [vmx_permission]
    call    put_hex
    print   `: locked by the firmware, without VMX\n`
    or      eax, 1
    ret
.without:
    mov     ecx, MSR_FEATURE_CONTROL
    rdmsr
    mov     [vmx_permission], eax
    step    "IA32_FEATURE_CONTROL is "
    call    put_hex
    test    byte [vmx_permission], 1
    jnz     .locked
    print   `: not locked\n`
    xor     eax, eax
    ret
.locked:
    print   `: locked already\n`
    step    `WRMSR to clear the lock\n`
    and     dword [vmx_permission], ~1
    mov     edi, do_permit
    call    vmx_try
    mov     esi, name_wrmsr
    mov     byte [vmx_gate], 0          ; another reason than the gate's
    call    vmx_refused
    print   `  Why: bit 0 of IA32_FEATURE_CONTROL, once 1, locks it until reset (SDM 3C 23.7).\n`
    print   `  To see VMXON without it: reboot, then vmx-steps without lock before any other use of VT-x.\n`
    or      eax, 1
    ret

; CR0 and CR4 beside the bits that VMX operation fixes.
step_fixed:
    step    "CR0 "
    mov     rax, cr0
    mov     ecx, MSR_VMX_CR0_FIXED0
    call    .show
    mov     rax, cr4
    bts     rax, 13
    cmp     byte [vmx_gate], GATE_VMXE
    jne     .enable
    btr     rax, 13
.enable:
    mov     cr4, rax
    step    "CR4 "
    mov     rax, cr4
    mov     ecx, MSR_VMX_CR4_FIXED0
    call    .show
    ret
.show:                                  ; RAX: the register, ECX: its FIXED0 MSR
    mov     rbx, rax
    call    put_short
    print   ": must have "
    rdmsr
    mov     esi, eax
    call    put_short
    print   ", may have "
    inc     ecx
    rdmsr
    mov     edi, eax
    call    put_short
    not     edi
    and     edi, ebx                    ; bits that are 1 and may not be
    not     ebx
    and     esi, ebx                    ; bits that are 0 and must be 1
    or      esi, edi
    jnz     .wrong
    print   `: as it must be\n`
    ret
.wrong:
    print   `: not as it must be\n`
    ret

step_vmxon:
    mov     edi, vmxon_page
    call    vmx_region
    cmp     byte [vmx_gate], GATE_REVISION
    jne     .revision
    xor     dword [vmxon_page], 1
.revision:
    cmp     byte [vmx_gate], GATE_ALIGN
    jne     .align
    add     qword [vmx_pointer], 8
.align:
    step    "VMXON region at "
    mov     rax, [vmx_pointer]
    call    put_hex
    print   ", revision identifier "
    mov     eax, [vmxon_page]
    call    put_short
    call    new_line
    cmp     byte [vmx_gate], GATE_VMXON
    je      .skip
    mov     rbx, cr0
    cmp     byte [vmx_gate], GATE_CR0
    jne     .try
    mov     rax, rbx
    btr     rax, 5                      ; NE
    mov     cr0, rax
    step    "CR0 is now "
    call    put_short
    call    new_line
.try:
    mov     esi, name_vmxon
    mov     edi, do_vmxon
    call    vmx_try
    mov     cr0, rbx
    jne     vmx_step_refused
    mov     byte [vmx_on], 1
    step    `VMXON: in VMX root operation\n`
    xor     eax, eax
.skip:
    ret
vmx_step_refused:                       ; RSI: instruction
    call    step_number
    call    put_string
    call    new_line
    call    vmx_refused
    or      eax, 1
    ret

step_vmcs:
    mov     edi, vmcs_page
    call    vmx_region
    mov     esi, name_vmclear
    mov     edi, do_vmclear
    call    vmx_try
    jne     vmx_step_refused
    step    "VMCLEAR "
    mov     rax, [vmx_pointer]
    call    put_hex
    print   `: launch state 'clear'\n`
    cmp     byte [vmx_gate], GATE_LOAD
    je      .done
    mov     esi, name_vmptrld
    mov     edi, do_vmptrld
    call    vmx_try
    jne     vmx_step_refused
    step    `VMPTRLD: this VMCS is the current one\n`
.done:
    xor     eax, eax
    ret

step_fields:
    mov     esi, name_vmwrite
    mov     ebx, HLT_EXITING
    call    vmx_write_controls
    mov     esi, name_vmwrite
    jne     vmx_step_refused
    step    `VMWRITE, controls:\n`
    mov     ebx, shown_controls
    call    show_fields
    call    vmx_write_host
    mov     esi, name_vmwrite
    jne     vmx_step_refused
    step    `VMWRITE, the host's state, to which an exit returns:\n`
    mov     ebx, shown_host
    call    show_fields
    mov     ebx, guest_program
    call    vmx_write_guest
    mov     esi, name_vmwrite
    jne     vmx_step_refused
    step    `VMWRITE, the guest's state, in which it begins:\n`
    mov     ebx, shown_guest
    call    show_fields
    call    gate_field
    xor     eax, eax
    ret

; RBX: encodings and names of fields, up to 0. One line for each.
show_fields:
    mov     edx, [rbx]
    test    edx, edx
    jz      .done
    print   "      "
    mov     eax, edx
    mov     ecx, 4
    call    put_hex_digits
    print   "  "
    call    vmx_read
    call    put_hex
    print   "  "
    mov     rsi, [rbx + 8]
    call    put_string
    call    new_line
    add     rbx, 16
    jmp     show_fields
.done:
    ret

; RAX: a number, its lowest 8 digits.
put_short:
    push    rcx
    mov     ecx, 8
    call    put_hex_digits
    pop     rcx
    ret

; Keeps all registers.
step_number:
    push    rax
    push    rcx
    inc     byte [step_count]
    movzx   eax, byte [step_count]
    mov     ecx, 2
    call    put_decimal_in
    print   "  "
    pop     rcx
    pop     rax
    ret

section .rodata
name_wrmsr      db "WRMSR", 0
word_vmx_steps  db "vmx-steps", 0
help_vmx_steps  db "vmx-steps         a guest launched with VT-x, step by step; without GATE: one step left out", 0
align 8
shown_controls:
    dq      PIN_CONTROLS, text_pin, PRIMARY_CONTROLS, text_primary, EXIT_CONTROLS, text_exit, ENTRY_CONTROLS, text_entry, 0
shown_host:
    dq      HOST_CR0, text_cr0, HOST_CR3, text_cr3, HOST_CR4, text_cr4, HOST_CS, text_cs, 0x6c16, text_rip, 0
shown_guest:
    dq      GUEST_CR0, text_cr0, GUEST_CR3, text_cr3, GUEST_CR4, text_cr4, 0x0802, text_cs, 0x4816, text_rights
    dq      GUEST_RIP, text_rip, GUEST_RFLAGS, text_rflags, LINK_POINTER, text_link, 0
text_pin        db "pin-based controls", 0
text_primary    db "primary processor-based controls: HLT exits", 0
text_exit       db "exit controls: the host is 64-bit code", 0
text_entry      db "entry controls: the guest is in IA-32e mode", 0
text_cr0        db "CR0", 0
text_cr3        db "CR3", 0
text_cr4        db "CR4", 0
text_cs         db "CS", 0
text_rights     db "CS, access rights", 0
text_rip        db "RIP", 0
text_rflags     db "RFLAGS", 0
text_link       db "VMCS link pointer", 0

section .bss
step_count:     resb 1
