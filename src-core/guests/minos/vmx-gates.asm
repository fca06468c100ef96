; `vmx-steps without GATE`: what each gate removes and why the processor refuses; what its answers mean
; (SDM volume 3, 23.7 and 23.8, 24.11, 26.1 to 26.3, 30.2 to 30.4).

GATE_LOCK       equ 1                   ; in the order of the table
GATE_CR0        equ 2
GATE_VMXE       equ 3
GATE_REVISION   equ 4
GATE_ALIGN      equ 5
GATE_VMXON      equ 6
GATE_LOAD       equ 7
GATE_CONTROLS   equ 8
GATE_HOST       equ 9
GATE_GUEST      equ 10
GATE_LINK       equ 11
GATE_LAUNCH     equ 12
GATE_CLEAR      equ 13
GATE_BYTES      equ 32

section .text
bits 64

; The command's words: none, or `without` and a gate. [vmx_gate] is its number. SF: they are wrong, and that was said.
gate_argument:
    mov     byte [vmx_gate], 0
    mov     rsi, [argument]
    call    next_word
    jz      .good
    mov     rdx, rdi
    mov     edi, word_without
    call    same_word
    jne     .usage
    mov     rsi, rdx
    call    next_word
    jz      .usage
    mov     ebx, gates
.find:
    mov     rdi, [rbx]
    test    rdi, rdi
    jz      .usage
    inc     byte [vmx_gate]
    call    same_word
    je      .found
    add     rbx, GATE_BYTES
    jmp     .find
.found:
    mov     [gate_entry], rbx
    print   "Without "
    mov     rsi, [rbx + 8]
    call    put_string
    print   `:\n`
.good:
    xor     eax, eax
    ret
.usage:
    print   `vmx-steps, or vmx-steps without GATE, which is one of:\n`
    mov     ebx, gates
.list:
    mov     rsi, [rbx]
    test    rsi, rsi
    jz      .bad
    print   "  "
    call    put_string
    print   ": "
    mov     rsi, [rbx + 8]
    call    put_string
    call    new_line
    add     rbx, GATE_BYTES
    jmp     .list
.bad:
    or      eax, -1
    ret

; Gates that make one field of a complete VMCS 0.
gate_field:
    cmp     byte [vmx_gate], 0
    je      .done
    mov     rbx, [gate_entry]
    mov     rdx, [rbx + 24]
    test    rdx, rdx
    jz      .done
    step    "VMWRITE, for the gate: field "
    mov     eax, edx
    mov     ecx, 4
    call    put_hex_digits
    print   ` becomes 0\n`
    mov     dword [vmx_answer], 0
    xor     eax, eax
    call    vmx_write
.done:
    ret

; RSI: the instruction's name. Prints what the processor answered, by [vmx_answer], then why, when a gate is removed.
vmx_refused:
    print   "  The processor refuses "
    call    put_string
    print   ": "
    mov     eax, [vmx_answer]
    cmp     eax, 6
    je      .ud
    cmp     eax, 13
    je      .gp
    test    eax, ANSWER_VALID
    jnz     .valid
    print   `VMfailInvalid (CF = 1), for there is no current VMCS to hold an error number\n`
    jmp     gate_reason
.ud:
    print   `#UD invalid opcode\n`
    jmp     gate_reason
.gp:
    print   `#GP(0) general protection\n`
    jmp     gate_reason
.valid:
    print   "VMfailValid (ZF = 1), error "
    movzx   eax, al
    call    put_decimal
    print   ": "
    mov     ebx, vmx_errors
.find:
    mov     rsi, [rbx + 8]
    cmp     dword [rbx], 0
    je      .name
    cmp     eax, [rbx]
    je      .name
    add     rbx, 16
    jmp     .find
.name:
    call    put_string
    call    new_line
gate_reason:
    cmp     byte [vmx_gate], 0
    je      .done
    print   "  Why: "
    mov     rbx, [gate_entry]
    mov     rsi, [rbx + 16]
    call    put_string
    call    new_line
.done:
    ret

section .rodata
word_without    db "without", 0
align 8
; a gate: its word, what is removed, why that fails, and the field to clear or 0
gates:
    dq      gate_lock, what_lock, why_lock, 0
    dq      gate_cr0, what_cr0, why_cr0, 0
    dq      gate_vmxe, what_vmxe, why_vmxe, 0
    dq      gate_revision, what_revision, why_revision, 0
    dq      gate_align, what_align, why_align, 0
    dq      gate_vmxon, what_vmxon, why_vmxon, 0
    dq      gate_load, what_load, why_load, 0
    dq      gate_controls, what_controls, why_controls, PIN_CONTROLS
    dq      gate_host, what_host, why_host, HOST_CS
    dq      gate_guest, what_guest, why_guest, GUEST_RFLAGS
    dq      gate_link, what_link, why_link, LINK_POINTER
    dq      gate_launch, what_launch, why_launch, 0
    dq      gate_clear, what_clear, why_clear, 0
    dq      0
gate_lock       db "lock", 0
gate_cr0        db "cr0", 0
gate_vmxe       db "vmxe", 0
gate_revision   db "revision", 0
gate_align      db "align", 0
gate_vmxon      db "vmxon", 0
gate_load       db "load", 0
gate_controls   db "controls", 0
gate_host       db "host", 0
gate_guest      db "guest", 0
gate_link       db "link", 0
gate_launch     db "launch", 0
gate_clear      db "clear", 0
what_lock       db "the lock in IA32_FEATURE_CONTROL", 0
what_cr0        db "CR0.NE, one of the fixed bits", 0
what_vmxe       db "CR4.VMXE", 0
what_revision   db "the right revision identifier in the VMXON region", 0
what_align      db "a VMXON region at a 4 KiB boundary", 0
what_vmxon      db "VMXON before the other instructions", 0
what_load       db "VMPTRLD, so that no VMCS is current", 0
what_controls   db "the pin-based controls that must be 1", 0
what_host       db "a code segment for the host", 0
what_guest      db "bit 1 of the guest's RFLAGS", 0
what_link       db "the VMCS link pointer's value FFFFFFFFFFFFFFFF", 0
what_launch     db "VMLAUNCH first: VMRESUME in its place", 0
what_clear      db "VMCLEAR between two VMLAUNCHes", 0
why_lock        db "VMXON wants bits 0 (lock) and 2 (VMX outside SMX) of IA32_FEATURE_CONTROL (SDM 3C 23.7).", 0
why_cr0         db "a bit that IA32_VMX_CR0_FIXED0 has must be 1 in CR0 at VMXON (SDM 3C 23.8).", 0
why_vmxe        db "as long as CR4.VMXE is 0, VMXON is no instruction (SDM 3C 23.7).", 0
why_revision    db "the region's first four bytes must be bits 30:0 of IA32_VMX_BASIC (SDM 3C 24.11.5).", 0
why_align       db "bits 11:0 of the region's address must be 0 (SDM 3C 30.3, VMXON).", 0
why_vmxon       db "outside VMX operation, VMCLEAR is no instruction (SDM 3C 30.3).", 0
why_load        db "VMWRITE goes to the current VMCS; VMPTRLD makes one current (SDM 3C 24.11.1).", 0
why_controls    db "some bits must be 1: those of IA32_VMX_PINBASED_CTLS 31:0 that are default1 (SDM 3C 26.2.1.1, A.3.1).", 0
why_host        db "the host's CS selector must not be 0 (SDM 3C 26.2.3).", 0
why_guest       db "bit 1 of RFLAGS is reserved and must be 1 (SDM 3C 26.3.1.4); what fails here is a VM exit (26.8).", 0
why_link        db "it must be FFFFFFFFFFFFFFFF, or lead to a VMCS; qualification 4 names this check (SDM 3C 26.3.1.5, 26.8).", 0
why_launch      db "VMRESUME wants the launch state 'launched', which VMLAUNCH alone makes of 'clear' (SDM 3C 24.1, 26.1).", 0
why_clear       db "a launched VMCS is entered by VMRESUME, or cleared by VMCLEAR first (SDM 3C 24.1, 26.1).", 0
align 8
vmx_errors:                             ; SDM volume 3, 30.4
    dq      2, error_2, 3, error_3, 4, error_4, 5, error_5, 7, error_7, 8, error_8, 9, error_9
    dq      10, error_10, 11, error_11, 12, error_12, 0, error_other
error_2         db "VMCLEAR with an invalid address", 0
error_3         db "VMCLEAR of the VMXON region", 0
error_4         db "VMLAUNCH of a VMCS that is not clear", 0
error_5         db "VMRESUME of a VMCS that is not launched", 0
error_7         db "VM entry with invalid control fields", 0
error_8         db "VM entry with invalid host-state fields", 0
error_9         db "VMPTRLD with an invalid address", 0
error_10        db "VMPTRLD of the VMXON region", 0
error_11        db "VMPTRLD of a region with another revision identifier", 0
error_12        db "a VMCS field that this processor does not have", 0
error_other     db "see SDM 3C 30.4", 0

section .bss
alignb 8
gate_entry:     resq 1
vmx_gate:       resb 1
