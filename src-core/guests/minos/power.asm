; Power-off and reset by the registers that the FADT names (ACPI 6.4, 4.8.3.2 PM1 control, 4.8.3.6 reset, 4.8.3.7 sleep).

section .text
bits 64

command_poweroff:
    mov     rsi, [table_fadt]
    test    rsi, rsi
    jz      .cannot
    call    sleep_type
    mov     ebx, eax
    test    byte [rsi + 114], 0x10      ; FADT.flags bit 20: hardware-reduced ACPI
    jnz     .reduced
    call    acpi_enable
    mov     eax, ebx
    shl     eax, 10                     ; SLP_TYP 12..10, SLP_EN 13
    or      eax, 1 << 13
    mov     edx, [rsi + 64]             ; PM1a_CNT_BLK
    test    edx, edx
    jz      .reduced
    out     dx, ax
    mov     edx, [rsi + 68]             ; PM1b_CNT_BLK
    test    edx, edx
    jz      .off
    out     dx, ax
    jmp     .off
.reduced:
    cmp     dword [rsi + 4], 256        ; SLEEP_CONTROL_REG came with revision 5
    jb      .cannot
    mov     eax, ebx
    shl     eax, 2                      ; SLP_TYP 4..2, SLP_EN 5
    or      eax, 1 << 5
    lea     rdi, [rsi + 244]
    call    write_address
.off:
    mov     eax, 100000
    call    delay_us
.cannot:
    print   `This machine did not power off.\n`
    ret

; \_S5's first element, from the bytes of the DSDT: NameOp '_S5_' PackageOp length count value. EAX: 5 if it is not found.
; RSI: the FADT.
sleep_type:
    push    rcx
    push    rdx
    push    rsi
    mov     eax, [rsi + 40]             ; DSDT
    cmp     dword [rsi + 4], 148
    jb      .found
    mov     rdx, [rsi + 140]            ; X_DSDT
    test    rdx, rdx
    cmovnz  rax, rdx
.found:
    test    rax, rax
    jz      .default
    mov     rsi, rax
    cmp     dword [rsi], 'DSDT'
    jne     .default
    mov     ecx, [rsi + 4]
    cmp     ecx, 36 + 12
    jb      .default
    cmp     ecx, 0x400000
    ja      .default
    sub     ecx, 36 + 11
    add     rsi, 36
.scan:
    cmp     dword [rsi], '_S5_'
    je      .name
    inc     rsi
    dec     ecx
    jnz     .scan
    jmp     .default
.name:
    cmp     byte [rsi + 4], 0x12        ; PackageOp
    jne     .default
    movzx   eax, byte [rsi + 5]         ; length: bits 7..6 say how many bytes follow
    shr     eax, 6
    cmp     eax, ecx
    jae     .default
    movzx   edx, byte [rsi + rax + 7]
    cmp     edx, 1                      ; ZeroOp, OneOp
    jbe     .value
    cmp     edx, 0x0a                   ; BytePrefix
    jne     .default
    movzx   edx, byte [rsi + rax + 8]
.value:
    mov     eax, edx
    and     eax, 7
    jmp     .done
.default:
    mov     eax, 5
.done:
    pop     rsi
    pop     rdx
    pop     rcx
    ret

; Hand power management over from firmware, if it is not ours yet. RSI: the FADT.
acpi_enable:
    push    rcx
    push    rdx
    mov     edx, [rsi + 64]
    test    edx, edx
    jz      .done
    in      ax, dx
    test    al, 1                       ; SCI_EN
    jnz     .done
    mov     edx, [rsi + 48]             ; SMI_CMD
    mov     al, [rsi + 52]              ; ACPI_ENABLE
    test    edx, edx
    jz      .done
    test    al, al
    jz      .done
    out     dx, al
    mov     ecx, 1000
    mov     edx, [rsi + 64]
.wait:
    in      ax, dx
    test    al, 1
    jnz     .done
    mov     eax, 10
    call    delay_us
    dec     ecx
    jnz     .wait
.done:
    pop     rdx
    pop     rcx
    ret

; RDI: a generic address (5.2.3.2: +0 space, +4 address); write the byte AL.
write_address:
    push    rdx
    mov     rdx, [rdi + 4]
    cmp     byte [rdi], 1               ; I/O ports
    je      .port
    cmp     byte [rdi], 0               ; memory
    jne     .done
    test    rdx, rdx
    jz      .done
    mov     [rdx], al
    jmp     .done
.port:
    out     dx, al
.done:
    pop     rdx
    ret

; `reboot`: the FADT's reset register, else the chipset's port CF9H, else the keyboard controller, else a triple fault.
command_reboot:
    mov     rsi, [table_fadt]
    test    rsi, rsi
    jz      .chipset
    test    byte [rsi + 113], 4         ; FADT.flags bit 10: RESET_REG_SUP
    jz      .chipset
    cmp     dword [rsi + 4], 129
    jb      .chipset
    mov     al, [rsi + 128]             ; RESET_VALUE
    lea     rdi, [rsi + 116]            ; RESET_REG
    call    write_address
    mov     eax, 10000
    call    delay_us
.chipset:
    mov     dx, 0xcf9
    mov     al, 6
    out     dx, al
    mov     eax, 10000
    call    delay_us
    mov     al, 0xfe                    ; pulse the reset line
    out     0x64, al
    mov     eax, 10000
    call    delay_us
    push    0                           ; an empty IDT: the next exception cannot be delivered
    push    0
    lidt    [rsp]
    int3
    ret
