; The guest of `vmx-steps`, and its monitor: what ends each stay in the guest, and how it goes on (SDM volume 3, 25.1, 27.2).

section .text
bits 64

; What is launched. CPUID and VMCALL exit in any case (25.1.2), HLT because its control is 1.
guest_program:
    xor     eax, eax
    cpuid
    vmcall                              ; here is what CPUID gave: EBX, EDX, ECX
    hlt
    jmp     guest_program

; Launch, answer the exits, resume, up to HLT.
step_guest:
    mov     edi, do_vmlaunch
    mov     esi, name_vmlaunch
    cmp     byte [vmx_gate], GATE_LAUNCH
    jne     .enter
    mov     edi, do_vmresume
    mov     esi, name_vmresume
.enter:                                 ; RDI: the entry, RSI: its name
    call    vmx_try
    jne     vmx_step_refused
    call    step_exit
    jne     .done
    cmp     ebx, REASON_CPUID
    je      .cpuid
    cmp     ebx, REASON_VMCALL
    je      .vmcall
    cmp     ebx, REASON_HLT
    jne     .done
    print   `      The guest has halted; it is done.\n`
    ret
.cpuid:                                 ; the monitor says what processor this is
    mov     dword [guest_rax], 0
    mov     dword [guest_rbx], 'Mino'
    mov     dword [guest_rdx], 'sMon'
    mov     dword [guest_rcx], 'itor'
    print   `      The monitor answers CPUID leaf 0 with a name of its own\n`
    jmp     .next
.vmcall:
    print   "      The guest calls: CPUID told it "
    mov     eax, [guest_rbx]
    mov     [line], eax
    mov     eax, [guest_rdx]
    mov     [line + 4], eax
    mov     eax, [guest_rcx]
    mov     [line + 8], eax
    mov     byte [line + 12], 0
    mov     esi, line
    call    put_string
    call    new_line
.next:
    call    step_advance
    mov     edi, do_vmresume
    mov     esi, name_vmresume
    cmp     byte [vmx_gate], GATE_CLEAR
    jne     .enter
    mov     edi, do_vmlaunch
    mov     esi, name_vmlaunch
    jmp     .enter
.done:
    ret

; RSI: the entry's name. Whether the guest has run, and why it has exited. EBX: the exit reason. ZF: one of those expected here;
; all others are told in full.
step_exit:
    call    step_number
    call    put_string
    mov     edx, EXIT_REASON
    call    vmx_read
    mov     ebx, eax
    bt      eax, ENTRY_FAILED
    jc      .failed
    print   `: the guest runs\n`
    step    "VM exit, reason "
    mov     eax, ebx
    call    put_decimal
    print   " "
    call    exit_name
    call    put_string
    cmp     ebx, REASON_CPUID
    je      .instruction
    cmp     ebx, REASON_VMCALL
    je      .instruction
    cmp     ebx, REASON_HLT
    je      .instruction
    cmp     ebx, REASON_EPT
    je      .told
    print   ", qualification "
    mov     edx, EXIT_QUALIFICATION
    call    vmx_read
    call    put_hex
    print   `: not expected here\n`
    or      eax, 1
    ret
.instruction:
    print   ", instruction length "
    mov     edx, EXIT_LENGTH
    call    vmx_read
    call    put_decimal
    print   ", RIP "
    mov     edx, GUEST_RIP
    call    vmx_read
    call    put_hex
.told:
    call    new_line
    xor     eax, eax
    ret
.failed:
    print   `: the checks of controls and host are passed\n`
    step    "VM exit, reason "
    mov     eax, ebx
    call    put_short
    print   "H: the VM entry failed, "
    call    exit_name
    call    put_string
    print   ", qualification "
    mov     edx, EXIT_QUALIFICATION
    call    vmx_read
    call    put_decimal
    call    new_line
    call    gate_reason
    or      eax, 1
    ret

; EBX: an exit reason. RSI: its name.
exit_name:
    movzx   ecx, bx
    mov     edx, exit_names
.find:
    mov     rsi, [rdx + 8]
    cmp     dword [rdx], -1
    je      .found
    cmp     ecx, [rdx]
    je      .found
    add     rdx, 16
    jmp     .find
.found:
    ret

; Behind the instruction that has exited.
step_advance:
    mov     edx, EXIT_LENGTH
    call    vmx_read
    mov     rbx, rax
    mov     edx, GUEST_RIP
    call    vmx_read
    add     rax, rbx
    mov     dword [vmx_answer], 0
    call    vmx_write
    print   "      RIP advanced to "
    call    vmx_read
    call    put_hex
    call    new_line
    ret

section .rodata
align 8
exit_names:
    dq      0, exit_exception, 1, exit_interrupt, 2, exit_triple, REASON_CPUID, exit_cpuid, REASON_HLT, exit_hlt
    dq      REASON_VMCALL, exit_vmcall, 33, exit_state, 34, exit_msr, REASON_EPT, exit_ept, 49, exit_misconfigured
    dq      -1, exit_other
exit_exception  db "exception or NMI", 0
exit_interrupt  db "external interrupt", 0
exit_triple     db "triple fault", 0
exit_cpuid      db "CPUID", 0
exit_hlt        db "HLT", 0
exit_vmcall     db "VMCALL", 0
exit_state      db "invalid guest state (33)", 0
exit_msr        db "MSR loading (34)", 0
exit_ept        db "EPT violation", 0
exit_misconfigured db "EPT misconfiguration", 0
exit_other      db "other (SDM 3D appendix C)", 0
