; The shell on the serial line: line editing, words, commands.

LINE_BYTES      equ 120

section .text
bits 64

; Never returns. A command may use all registers but RSP; after an exception, execution comes back here.
shell:
    sti
    call    new_line
.prompt:
    print   "minos> "
    call    read_line
    mov     esi, line
    call    next_word
    jz      .prompt
    mov     [argument], rdi
    mov     ebx, commands
.find:
    mov     rdi, [rbx]
    test    rdi, rdi
    jz      .unknown
    call    same_word
    je      .run
    add     rbx, 32
    jmp     .find
.run:
    call    [rbx + 8]
    jmp     .prompt
.unknown:
    print   "There is no command '"
    call    put_string
    print   `'; type help for the commands.\n`
    jmp     .prompt

; Read a line into `line`, ended by 0. Backspace erases, Ctrl-U erases all, Ctrl-C begins anew.
read_line:
    xor     ebx, ebx
.next:
    call    get_byte
    cmp     al, 13
    je      .end
    cmp     al, 10
    je      .feed
    mov     [last_byte], al
    cmp     al, 3                       ; Ctrl-C
    je      .break
    cmp     al, 21                      ; Ctrl-U
    je      .kill
    cmp     al, 8
    je      .back
    cmp     al, 127
    je      .back
    cmp     al, ' '
    jb      .next
    cmp     al, 126
    ja      .next
    cmp     ebx, LINE_BYTES - 1
    jae     .full
    mov     [line + rbx], al
    inc     ebx
    call    put_byte
    jmp     .next
.full:
    mov     al, 7                       ; bell
    call    put_byte
    jmp     .next
.back:
    call    .erase
    jmp     .next
.kill:
    test    ebx, ebx
    jz      .next
    call    .erase
    jmp     .kill
.erase:
    test    ebx, ebx
    jz      .nothing
    dec     ebx
    print   `\b \b`
.nothing:
    ret
.break:
    print   `^C\nminos> `
    jmp     read_line
.feed:                                  ; CR LF is one line end
    cmp     byte [last_byte], 13
    mov     [last_byte], al
    je      .next
.end:
    mov     [last_byte], al
    mov     byte [line + rbx], 0
    jmp     new_line

; RSI: text. Out: RSI the next word, cut off by a 0; RDI what follows. ZF: there was none.
next_word:
    cmp     byte [rsi], ' '
    jne     .begin
    inc     rsi
    jmp     next_word
.begin:
    mov     rdi, rsi
.scan:
    mov     al, [rdi]
    test    al, al
    jz      .end
    cmp     al, ' '
    je      .cut
    inc     rdi
    jmp     .scan
.cut:
    mov     byte [rdi], 0
    inc     rdi
.end:
    cmp     byte [rsi], 0
    ret

; RSI, RDI: words. ZF: they are the same.
same_word:
    push    rsi
    push    rdi
.next:
    mov     al, [rsi]
    cmp     al, [rdi]
    jne     .done
    inc     rsi
    inc     rdi
    test    al, al
    jnz     .next
.done:
    pop     rdi
    pop     rsi
    ret

; The command's next argument as a number in RAX: decimal, or hexadecimal after 0x. SF: it is missing or wrong, and was said so.
number_argument:
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    mov     rsi, [argument]
    call    next_word
    mov     [argument], rdi
    jz      .missing
    mov     rdi, rsi
    mov     edx, 10
    cmp     word [rsi], '0x'
    jne     .digits
    add     rsi, 2
    mov     edx, 16
.digits:
    xor     ecx, ecx
    cmp     byte [rsi], 0
    je      .wrong
.next:
    movzx   eax, byte [rsi]
    test    al, al
    jz      .done
    inc     rsi
    sub     eax, '0'
    cmp     eax, 10
    jb      .digit
    or      eax, 0x20
    sub     eax, 'a' - '0' - 10
    cmp     eax, 10
    jb      .wrong
.digit:
    cmp     eax, edx
    jae     .wrong
    imul    rcx, rdx
    add     rcx, rax
    bt      rcx, 40                     ; no argument of ours is that large
    jnc     .next
.wrong:
    print   "'"
    mov     rsi, rdi
    call    put_string
    print   `' is not a number that fits here\n`
    jmp     .bad
.missing:
    print   `An argument is missing; type help.\n`
.bad:
    mov     rcx, -1
.done:
    mov     rax, rcx
    test    rax, rax
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    ret

; The next argument as the number of a node. SF as above.
node_argument:
    call    number_argument
    js      .done
    cmp     eax, [node_count]
    jae     .none
    test    rax, rax
.done:
    ret
.none:
    print   "There is no node "
    call    put_decimal
    print   "; the nodes are 0 to "
    mov     eax, [node_count]
    dec     eax
    call    put_decimal
    call    new_line
    mov     rax, -1
    test    rax, rax
    ret

command_help:
    mov     ebx, commands
.next:
    cmp     qword [rbx], 0
    je      .done
    print   "  "
    mov     rsi, [rbx + 16]
    call    put_string
    call    new_line
    add     rbx, 32
    jmp     .next
.done:
    ret

; `peek ADDRESS`: the eight bytes there; a page fault where nothing is mapped.
command_peek:
    call    number_argument
    js      .done
    mov     rax, [rax]
    call    put_hex
    call    new_line
.done:
    ret

command_int3:
    int3
    print   `Back behind the INT3.\n`
    ret

; `irq`: run the timer at 100 Hz for half a second (Ctrl-C ends it), then list every vector that has occurred.
command_irq:
    mov     qword [ticks], 0
    mov     byte [break_wanted], 0
    call    timer_start
    test    rax, rax
    jz      .unknown
    print   "Timer at 100 Hz: "
    mov     ebx, 10
.wait:
    cli
    cmp     byte [break_wanted], 0
    jne     .stop
    mov     rax, [ticks]
    cmp     rax, rbx
    jae     .show
    sti
    hlt
    jmp     .wait
.show:
    sti
    call    put_decimal
    print   " "
    add     ebx, 10
    cmp     ebx, 50
    jbe     .wait
.stop:
    sti
    call    timer_stop
    print   `ticks\n`
    jmp     .list
.unknown:
    print   `The timer's rate is unknown; it stays off.\n`
.list:
    print   `Vector  count\n`
    xor     ebx, ebx
.vector:
    mov     rdx, [interrupt_counts + rbx * 8]
    test    rdx, rdx
    jz      .next
    mov     eax, ebx
    mov     ecx, 6
    call    put_decimal_in
    mov     rax, rdx
    mov     ecx, 7
    call    put_decimal_in
    print   "  "
    mov     esi, text_timer
    cmp     ebx, TIMER_VECTOR
    je      .name
    mov     esi, text_serial
    cmp     ebx, UART_VECTOR
    je      .name
    mov     esi, text_device
    cmp     ebx, 32
    jae     .name
    mov     rsi, [exception_names + rbx * 8]
.name:
    call    put_string
    call    new_line
.next:
    inc     ebx
    cmp     ebx, 256
    jb      .vector
    ret

; `cpu`: who made it, what it can, how fast it counts, and who is online.
command_cpu:
    xor     eax, eax
    cpuid
    mov     [line], ebx
    mov     [line + 4], edx
    mov     [line + 8], ecx
    mov     byte [line + 12], 0
    mov     esi, line
    call    put_string
    print   ", "
    mov     eax, 0x80000000
    cpuid
    cmp     eax, 0x80000004
    jb      .features
    xor     edi, edi
.brand:
    mov     eax, edi
    add     eax, 0x80000002             ; 48 characters in three leaves
    cpuid
    mov     r8d, edi
    shl     r8d, 4
    mov     [line + r8], eax
    mov     [line + r8 + 4], ebx
    mov     [line + r8 + 8], ecx
    mov     [line + r8 + 12], edx
    inc     edi
    cmp     edi, 3
    jb      .brand
    mov     byte [line + 48], 0
    mov     esi, line
.trim:
    cmp     byte [rsi], ' '
    jne     .named
    inc     rsi
    jmp     .trim
.named:
    call    put_string
.features:
    print   `\nFeatures:`
    mov     eax, 1
    cpuid
    mov     [feature_words], edx
    mov     [feature_words + 4], ecx
    xor     ebx, ebx
    cmp     dword [largest_leaf], 7
    jb      .seven
    mov     eax, 7
    xor     ecx, ecx
    cpuid
.seven:
    mov     [feature_words + 8], ebx
    mov     eax, 0x80000001
    cpuid
    mov     [feature_words + 12], edx
    mov     esi, feature_names
.feature:
    movzx   eax, byte [rsi]             ; word * 32 + bit
    inc     rsi
    cmp     eax, 255
    je      .clock
    bt      [feature_words], eax
    jnc     .skip
    print   " "
    call    put_string
.skip:
    inc     rsi
    cmp     byte [rsi - 1], 0
    jne     .skip
    jmp     .feature
.clock:
    print   `\nTime-stamp counter: `
    mov     rax, [tsc_hz]
    test    rax, rax
    jz      .unclocked
    xor     edx, edx
    mov     ecx, 1000000
    div     rcx
    call    put_decimal
    print   " MHz, "
    mov     rsi, [tsc_source]
    call    put_string
    jmp     .online
.unclocked:
    print   "of unknown rate"
.online:
    print   `\nProcessors:\n`
    xor     ebx, ebx
.processor:
    print   "  "
    mov     eax, ebx
    mov     ecx, 2
    call    put_decimal_in
    print   "  APIC id "
    mov     eax, [processor_apic + rbx * 4]
    mov     ecx, 3
    call    put_decimal_in
    print   "  node "
    movzx   eax, byte [processor_node + rbx]
    call    put_decimal
    cmp     byte [processor_online + rbx], 0
    jne     .up
    print   "  off"
    jmp     .state
.up:
    print   "  online"
    mov     eax, [processor_apic + rbx * 4]
    cmp     eax, [boot_apic_id]
    jne     .state
    print   ", this one"
.state:
    call    new_line
    inc     ebx
    cmp     ebx, [processor_count]
    jb      .processor
    ret

section .rodata
align 8
; a command: its word, its code, its help, 0
commands:
    dq      word_help, command_help, help_help, 0
    dq      word_cpu, command_cpu, help_cpu, 0
    dq      word_numa, command_numa, help_numa, 0
    dq      word_mem, command_mem, help_mem, 0
    dq      word_touch, command_touch, help_touch, 0
    dq      word_release, command_release, help_release, 0
    dq      word_chase, command_chase, help_chase, 0
    dq      word_irq, command_irq, help_irq, 0
    dq      word_int3, command_int3, help_int3, 0
    dq      word_peek, command_peek, help_peek, 0
    dq      word_vmx_steps, command_vmx_steps, help_vmx_steps, 0
    dq      word_ept, command_ept, help_ept, 0
    dq      word_reboot, command_reboot, help_reboot, 0
    dq      word_poweroff, command_poweroff, help_poweroff, 0
    dq      0
word_help       db "help", 0
word_cpu        db "cpu", 0
word_numa       db "numa", 0
word_mem        db "mem", 0
word_touch      db "touch", 0
word_release    db "release", 0
word_chase      db "chase", 0
word_irq        db "irq", 0
word_int3       db "int3", 0
word_peek       db "peek", 0
word_reboot     db "reboot", 0
word_poweroff   db "poweroff", 0
help_help       db "help              this list", 0
help_cpu        db "cpu               vendor, features, clock, processors", 0
help_numa       db "numa              nodes, their processors and memory, distances", 0
help_mem        db "mem               memory map, pages free and used per node", 0
help_touch      db "touch NODE PAGES  take pages of a node and write each, in cycles per page", 0
help_release    db "release NODE      give back what touch took", 0
help_chase      db "chase NODE        latency of a node's memory, by following pointers", 0
help_irq        db "irq               timer at 100 Hz for half a second, interrupts per vector", 0
help_int3       db "int3              raise a breakpoint exception and show its frame", 0
help_peek       db "peek ADDRESS      show the 8 bytes at an address; try one that is not mapped", 0
help_reboot     db "reboot            reset the machine", 0
help_poweroff   db "poweroff          switch the machine off", 0
text_timer      db "local APIC timer", 0
text_serial     db "serial port", 0
text_device     db "device", 0

; CPUID.1:EDX is word 0, CPUID.1:ECX word 1, CPUID.7.0:EBX word 2, CPUID.80000001H:EDX word 3
feature_names:
    db      0, "fpu", 0, 4, "tsc", 0, 5, "msr", 0, 6, "pae", 0, 9, "apic", 0, 13, "pge", 0, 16, "pat", 0
    db      23, "mmx", 0, 24, "fxsr", 0, 25, "sse", 0, 26, "sse2", 0
    db      32, "sse3", 0, 32 + 1, "pclmulqdq", 0, 32 + 3, "monitor", 0, 32 + 5, "vmx", 0, 32 + 9, "ssse3", 0
    db      32 + 13, "cx16", 0, 32 + 17, "pcid", 0, 32 + 19, "sse4.1", 0, 32 + 20, "sse4.2", 0, 32 + 21, "x2apic", 0
    db      32 + 23, "popcnt", 0, 32 + 24, "tsc-deadline", 0, 32 + 26, "xsave", 0, 32 + 28, "avx", 0, 32 + 31, "hypervisor", 0
    db      64, "fsgsbase", 0, 64 + 5, "avx2", 0, 64 + 7, "smep", 0, 64 + 20, "smap", 0
    db      96 + 11, "syscall", 0, 96 + 20, "nx", 0, 96 + 26, "1g-pages", 0, 96 + 27, "rdtscp", 0, 96 + 29, "lm", 0
    db      255

section .bss
alignb 8
argument:       resq 1
feature_words:  resd 4
line:           resb LINE_BYTES
last_byte:      resb 1
alignb 4096
kernel_end:
