; `ept`: a guest under extended page tables that map every address to itself, one page left out; its first access exits, the
; page is put back, the access is made again (SDM volume 3, 28.2; violations 27.2.1, table 27-7).
;
; EPT entry:    51..12 page frame or table | 8 accessed | 7 2 MiB page | 5..3 memory type of a page | 2 X | 1 W | 0 R
; EPT pointer:  51..12 first table | 6 accessed and dirty flags | 5..3 levels - 1 | 2..0 memory type of the tables

EPT_TABLE       equ 7                   ; R, W, X
EPT_PAGE        equ 7 | 6 << 3          ; and write-back
EPT_DEVICE      equ 7                   ; and uncached
EPT_LARGE       equ 1 << 7
EPT_WANTED      equ 1 << 6 | 1 << 14 | 1 << 16 ; IA32_VMX_EPT_VPID_CAP: 4 levels, write-back tables, 2 MiB pages
EPT_VALUE       equ 0x123456789abcdef0 ; what the guest writes

section .text
bits 64

command_ept:
    call    vmx_leave
    mov     byte [vmx_gate], 0
    mov     byte [step_count], 0
    call    vmx_present
    jz      .done
    call    ept_present
    jz      .none
    call    vmx_permit
    jne     .locked
    call    vmx_begin
    jne     .refused
    step    `VMXON, VMCLEAR, VMPTRLD: in VMX root operation, with a current VMCS\n`
    call    ept_map
    call    ept_fields
    mov     esi, name_vmwrite
    jne     .refused
    call    ept_run
    jmp     .end
.none:
    print   `This processor's VT-x has no EPT with 4 levels, write-back tables and 2 MiB pages.\n`
    ret
.locked:
    print   `IA32_FEATURE_CONTROL is locked by the firmware, without VMX.\n`
    ret
.refused:
    call    vmx_refused
.end:
    call    vmx_leave
    jne     .done
    step    `VMXOFF, CR4.VMXE = 0: out of VMX operation\n`
.done:
    ret

; ZF: no EPT as this program wants it (appendices A.3.2, A.3.3, A.10).
ept_present:
    mov     ecx, MSR_VMX_PRIMARY
    rdmsr
    bt      edx, 31
    jnc     .none
    mov     ecx, MSR_VMX_SECONDARY
    rdmsr
    test    edx, ENABLE_EPT
    jz      .none
    mov     ecx, MSR_VMX_EPT
    rdmsr
    and     eax, EPT_WANTED
    cmp     eax, EPT_WANTED
    jne     .none
    or      eax, 1
    ret
.none:
    xor     eax, eax
    ret

; The first 4 GiB by pages of 2 MiB; the one that holds `ept_page` by pages of 4 KiB, `ept_page` absent.
ept_map:
    mov     qword [ept_pml4], ept_pdpt + EPT_TABLE
    mov     edi, ept_pdpt
    mov     eax, ept_directories + EPT_TABLE
    mov     ecx, 4
.pdpt:
    mov     [rdi], rax
    add     rdi, 8
    add     rax, PAGE
    dec     ecx
    jnz     .pdpt
    mov     edi, ept_directories
    mov     eax, EPT_PAGE | EPT_LARGE
    xor     ecx, ecx
.directory:
    cmp     ecx, 0x7f0                  ; FE000000H and up: APICs and devices
    jne     .cached
    xor     eax, EPT_PAGE ^ EPT_DEVICE
.cached:
    mov     [rdi + rcx * 8], rax
    add     rax, 0x200000
    inc     ecx
    cmp     ecx, 4 * 512
    jb      .directory
    mov     ecx, ept_page
    shr     ecx, 21
    mov     qword [rdi + rcx * 8], ept_table + EPT_TABLE
    mov     eax, ecx
    shl     eax, 21
    or      eax, EPT_PAGE
    mov     edi, ept_table
    mov     ecx, 512
.table:
    mov     [rdi], rax
    add     rdi, 8
    add     rax, PAGE
    dec     ecx
    jnz     .table
    call    ept_slot
    mov     qword [rdx], 0
    mov     qword [ept_page], 0
    step    `EPT: 4 GiB mapped to themselves, by 2047 pages of 2 MiB and 511 of 4 KiB; absent is `
    mov     eax, ept_page
    call    put_hex
    call    new_line
    ret

; RDX: where the entry for `ept_page` is.
ept_slot:
    mov     edx, ept_page
    shr     edx, 12
    and     edx, 511
    lea     rdx, [ept_table + rdx * 8]
    ret

ept_fields:
    mov     ebx, HLT_EXITING | USE_SECONDARY
    mov     r8d, ENABLE_EPT
    call    vmx_write_controls
    jne     .done
    mov     edx, EPT_POINTER
    mov     eax, ept_pml4 + 3 * 8 + 6   ; 4 levels, write-back
    call    vmx_write
    call    vmx_write_host
    jne     .done
    mov     ebx, ept_program
    call    vmx_write_guest
    jne     .done
    step    `VMWRITE: controls (HLT exits, EPT on), host, guest, and fields of EPT:\n`
    mov     ebx, shown_ept
    call    show_fields
    xor     eax, eax
.done:
    ret

; What is launched.
ept_program:
    mov     rbx, EPT_VALUE
    mov     [ept_page], rbx             ; exits: the page is absent
    mov     rcx, [ept_page]             ; does not
    vmcall                              ; RCX: what is there now
    hlt
    jmp     ept_program

ept_run:
    mov     edi, do_vmlaunch
    mov     esi, name_vmlaunch
.enter:
    call    vmx_try
    jne     vmx_step_refused
    call    step_exit
    jne     .done
    cmp     ebx, REASON_EPT
    je      .violation
    cmp     ebx, REASON_VMCALL
    je      .vmcall
    cmp     ebx, REASON_HLT
    jne     .done
    print   "      The guest has halted; it is done. In the page the monitor finds "
    mov     rax, [ept_page]
    call    put_hex
    call    new_line
    ret
.violation:
    call    show_violation
    mov     edx, GUEST_PHYSICAL
    call    vmx_read
    and     rax, -PAGE
    mov     edx, ept_page
    cmp     rax, rdx
    jne     .done                       ; not the page that was taken away
    call    ept_slot
    cmp     qword [rdx], 0
    jne     .done                       ; it is there, and still it exits
    or      rax, EPT_PAGE
    mov     [rdx], rax                  ; an entry that was not present is in no TLB: no INVEPT (28.3.3.1)
    step    "The page is put back: EPT entry "
    call    put_hex
    print   `; RIP stays, the instruction is made again\n`
    jmp     .resume
.vmcall:
    print   "      The guest calls: it read "
    mov     rax, [guest_rcx]
    call    put_hex
    call    new_line
    call    step_advance
.resume:
    mov     edi, do_vmresume
    mov     esi, name_vmresume
    jmp     .enter
.done:
    ret

; The exit qualification of an EPT violation, bit by bit, and its addresses.
show_violation:
    print   "      qualification "
    mov     edx, EXIT_QUALIFICATION
    call    vmx_read
    mov     r8, rax
    call    put_hex
    print   `:\n`
    mov     ecx, MSR_VMX_EPT
    rdmsr
    mov     r9d, 0x1bf                  ; bits to tell: 8, 7, 5..0
    bt      eax, 22                     ; advanced information: 11..9 too
    jnc     .bits
    mov     r9d, 0xfbf
.bits:
    mov     ebx, violation_bits
.bit:
    movzx   ecx, byte [rbx]
    cmp     ecx, 255
    je      .addresses
    bt      r9d, ecx
    jnc     .skip
    print   "        bit "
    mov     eax, ecx
    call    put_decimal
    print   " is "
    xor     eax, eax
    bt      r8, rcx
    setc    al
    call    put_decimal
    print   ": "
    lea     rsi, [rbx + 1]
    call    put_string
    call    new_line
.skip:
    inc     rbx
    cmp     byte [rbx], 0
    jne     .skip
    inc     rbx
    jmp     .bit
.addresses:
    mov     ebx, shown_violation
    jmp     show_fields

section .rodata
word_ept        db "ept", 0
help_ept        db "ept               a guest under extended page tables, one page absent and put back", 0
; table 27-7
violation_bits  db 0, "a read", 0, 1, "a write", 0, 2, "an instruction fetch", 0, 3, "EPT allowed reads", 0, 4, "EPT allowed writes", 0
                db 5, "EPT allowed fetches", 0, 7, "the linear address is valid", 0, 8, "the access itself, not the guest's page walk", 0
                db 9, "for the guest, a user-mode page", 0, 10, "for the guest, a writable page", 0
                db 11, "for the guest, a page not to execute", 0, 255
align 8
shown_ept:      dq SECONDARY_CONTROLS, text_secondary, EPT_POINTER, text_pointer, 0
shown_violation: dq GUEST_PHYSICAL, text_physical, GUEST_LINEAR, text_linear, GUEST_RIP, text_rip, 0
text_secondary  db "secondary processor-based controls", 0
text_pointer    db "EPT pointer: 4 levels, write-back", 0
text_physical   db "guest-physical address", 0
text_linear     db "guest-linear address", 0

section .bss
alignb 4096
ept_pml4:       resb PAGE
ept_pdpt:       resb PAGE
ept_directories: resb 4 * PAGE
ept_table:      resb PAGE
ept_page:       resb PAGE
