; ACPI: from the RSDP that the loader hands over to the tables that describe processors, memory and power
; (ACPI 6.4, 5.2.5 RSDP, 5.2.8 XSDT, 5.2.9 FADT, 5.2.12 MADT).

section .text
bits 64

; Find the tables, then read the MADT. Tables that are absent or whose sum is wrong stay 0.
acpi_init:
    push    rax
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    xor     ecx, ecx                    ; without overrides, ISA interrupt n is global interrupt n
.identity:
    mov     [isa_to_gsi + rcx * 4], ecx
    inc     ecx
    cmp     ecx, 16
    jb      .identity
    call    apic_id
    mov     [boot_apic_id], eax

    mov     ebx, [start_info]
    mov     rsi, [rbx + 32]             ; hvm_start_info.rsdp_paddr
    test    rsi, rsi
    jz      .no_tables
    mov     rax, 'RSD PTR '
    cmp     [rsi], rax
    jne     .no_tables
    mov     ecx, 20
    call    sum_of
    jnz     .no_tables
    mov     edx, 4                      ; RSDT: 32-bit pointers
    mov     ebx, [rsi + 16]
    cmp     byte [rsi + 15], 2          ; revision 2 has an XSDT: 64-bit pointers
    jb      .root
    mov     rax, [rsi + 24]
    test    rax, rax
    jz      .root
    mov     edx, 8
    mov     rbx, rax
.root:
    mov     ecx, [rbx + 4]              ; length of the root table
    cmp     ecx, 36
    jb      .no_tables
    cmp     ecx, 36 + 8 * 256
    ja      .no_tables
    lea     rdi, [rbx + rcx]            ; its end
    add     rbx, 36
.entry:
    lea     rax, [rbx + rdx]
    cmp     rax, rdi
    ja      .listed
    mov     esi, [rbx]
    cmp     edx, 4
    je      .look
    mov     rsi, [rbx]
.look:
    mov     rbx, rax
    call    keep_table
    jmp     .entry
.listed:
    call    read_madt
    jmp     .done
.no_tables:
    print   `No ACPI tables: one processor, uniform memory.\n`
.done:
    call    list_boot_processor
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    ret

; ZF: the ECX bytes at RSI sum to 0.
sum_of:
    push    rcx
    push    rsi
    xor     eax, eax
.next:
    add     al, [rsi]
    inc     rsi
    dec     ecx
    jnz     .next
    test    al, al
    pop     rsi
    pop     rcx
    ret

; RSI: a table. Remember it if it is one we use and its checksum is right.
keep_table:
    push    rcx
    push    rdx
    test    rsi, rsi
    jz      .done
    xor     edx, edx
.name:
    mov     eax, [table_names + rdx * 4]
    test    eax, eax
    jz      .done
    cmp     eax, [rsi]
    je      .found
    inc     edx
    jmp     .name
.found:
    mov     ecx, [rsi + 4]
    cmp     ecx, 36
    jb      .done
    cmp     ecx, 0x100000
    ja      .done
    call    sum_of
    jnz     .done
    mov     [tables + rdx * 8], rsi
.done:
    pop     rdx
    pop     rcx
    ret

; MADT (5.2.12): processors, the I/O APIC, interrupt overrides.
read_madt:
    mov     rsi, [table_madt]
    test    rsi, rsi
    jz      .done
    mov     ecx, [rsi + 4]
    lea     rdi, [rsi + rcx]
    add     rsi, 44
.entry:
    lea     rax, [rsi + 2]
    cmp     rax, rdi
    ja      .done
    movzx   ecx, byte [rsi + 1]         ; length of this entry
    cmp     ecx, 2
    jb      .done
    lea     rdx, [rsi + rcx]
    cmp     rdx, rdi
    ja      .done
    movzx   eax, byte [rsi]
    cmp     eax, 0                      ; processor local APIC: +3 id, +4 flags
    jne     .x2
    test    byte [rsi + 4], 1           ; enabled
    jz      .next
    movzx   eax, byte [rsi + 3]
    call    add_processor
    jmp     .next
.x2:
    cmp     eax, 9                      ; processor local x2APIC: +4 id, +8 flags
    jne     .ioapic
    test    byte [rsi + 8], 1
    jz      .next
    mov     eax, [rsi + 4]
    call    add_processor
    jmp     .next
.ioapic:
    cmp     eax, 1                      ; I/O APIC: +4 address, +8 first global interrupt
    jne     .override
    cmp     qword [ioapic_base], 0      ; the first one serves the ISA interrupts
    jne     .next
    mov     eax, [rsi + 4]
    mov     [ioapic_base], rax
    mov     eax, [rsi + 8]
    mov     [ioapic_first], eax
    jmp     .next
.override:
    cmp     eax, 2                      ; +3 ISA interrupt, +4 global interrupt, +8 flags
    jne     .next
    movzx   eax, byte [rsi + 3]
    cmp     eax, 16
    jae     .next
    mov     ecx, [rsi + 4]
    mov     [isa_to_gsi + rax * 4], ecx
    mov     cx, [rsi + 8]
    mov     [isa_flags + rax * 2], cx
.next:
    mov     rsi, rdx
    jmp     .entry
.done:
    ret

; EAX: the APIC id of an enabled processor. A second entry for the same id changes nothing.
add_processor:
    push    rcx
    push    rdx
    cmp     eax, 255
    jb      .list
    mov     byte [want_x2apic], 1       ; the xAPIC's ids have 8 bits, and 255 means all
.list:
    mov     ecx, [processor_count]
    xor     edx, edx
.known:
    cmp     edx, ecx
    jae     .new
    cmp     [processor_apic + rdx * 4], eax
    je      .done
    inc     edx
    jmp     .known
.new:
    cmp     ecx, MOST_PROCESSORS
    jae     .done
    mov     [processor_apic + rcx * 4], eax
    inc     dword [processor_count]
.done:
    pop     rdx
    pop     rcx
    ret

; Whatever the tables say, the processor that runs this exists, and is online.
list_boot_processor:
    mov     eax, [boot_apic_id]
    call    add_processor
    xor     ecx, ecx
.find:
    cmp     [processor_apic + rcx * 4], eax
    je      .found
    inc     ecx
    cmp     ecx, [processor_count]
    jb      .find
    ret
.found:
    mov     byte [processor_online + rcx], 1
    ret

section .rodata
align 4
table_names:    dd 'FACP', 'APIC', 'SRAT', 'SLIT', 'HMAT', 0

section .bss
alignb 8
tables:
table_fadt:     resq 1
table_madt:     resq 1
table_srat:     resq 1
table_slit:     resq 1
table_hmat:     resq 1
ioapic_base:    resq 1
ioapic_first:   resd 1
isa_to_gsi:     resd 16
isa_flags:      resw 16
processor_count:    resd 1
processor_apic:     resd MOST_PROCESSORS
processor_online:   resb MOST_PROCESSORS
processor_node:     resb MOST_PROCESSORS
