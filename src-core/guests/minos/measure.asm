; What memory costs, by the time-stamp counter: `touch` writes fresh pages, `chase` follows pointers in an order that no
; cache or prefetcher can guess.

LINE            equ 64
CHASE_STEPS     equ 200000
CHASE_LINES     equ 1 << 19             ; 32 MiB: beyond a last-level cache of 16 MiB

section .text
bits 64

; RAX: the time-stamp counter, after everything before it is done (SDM volume 2, RDTSC). Destroys RDX.
stamp:
    lfence
    rdtsc
    lfence
    shl     rdx, 32
    or      rax, rdx
    ret

; `touch NODE PAGES`: take pages of that node and write each once. They stay in use until `release`.
command_touch:
    call    node_argument
    js      .done
    mov     edi, eax
    call    number_argument
    js      .done
    test    rax, rax
    jz      .zero
    mov     r8, rax                     ; pages wanted
    call    node_pages
    cmp     r8, rdx
    ja      .few
    mov     r9, r8                      ; pages still to touch
    xor     r10d, r10d                  ; cycles
    xor     ecx, ecx
.range:
    cmp     ecx, [range_count]
    jae     .show
    cmp     [range_node + rcx], dil
    jne     .next
    mov     rsi, [range_next + rcx * 8]
    mov     rbx, [range_end + rcx * 8]
    sub     rbx, rsi
    shr     rbx, 12
    cmp     rbx, r9
    cmova   rbx, r9
    test    rbx, rbx
    jz      .next
    sub     r9, rbx
    call    stamp
    sub     r10, rax
.write:
    mov     [rsi], rsi
    add     rsi, PAGE
    dec     rbx
    jnz     .write
    call    stamp
    add     r10, rax
    mov     [range_next + rcx * 8], rsi
.next:
    inc     ecx
    test    r9, r9
    jnz     .range
.show:
    print   "node "
    mov     eax, edi
    call    put_decimal
    print   ": "
    mov     rax, r8
    call    put_decimal
    print   " pages written, "
    mov     rax, r10
    xor     edx, edx
    div     r8
    call    put_decimal
    print   ` cycles per page\n`
.done:
    ret
.zero:
    print   `touch: PAGES must be at least 1\n`
    ret
.few:
    print   "touch: node "
    mov     eax, edi
    call    put_decimal
    print   " has only "
    mov     rax, rdx
    call    put_decimal
    print   ` free pages; release NODE gives back what touch took\n`
    ret

; `release NODE`: all pages of the node are free again (page tables of ours lie at the ranges' start and stay).
command_release:
    call    node_argument
    js      .done
    mov     edi, eax
    xor     ecx, ecx
.range:
    cmp     ecx, [range_count]
    jae     .done
    cmp     [range_node + rcx], dil
    jne     .next
    mov     rax, [range_first + rcx * 8]
    mov     [range_next + rcx * 8], rax
.next:
    inc     ecx
    jmp     .range
.done:
    ret

; `chase NODE`: link the lines of a free piece of that node into one cycle, then walk it.
; The order is the sequence x -> 1664525 * x + c modulo the number of lines, which for odd c visits every line (Hull and
; Dobell). The low bits of x are the page, the high ones the line in it. The low bits have full period by themselves:
; every page is visited once before any comes again.
command_chase:
    call    node_argument
    js      .done
    mov     edi, eax
    xor     ecx, ecx                    ; the range with most free space
    xor     ebx, ebx
    xor     r8d, r8d
.range:
    cmp     ecx, [range_count]
    jae     .found
    cmp     [range_node + rcx], dil
    jne     .next
    mov     rax, [range_end + rcx * 8]
    sub     rax, [range_next + rcx * 8]
    cmp     rax, rbx
    jbe     .next
    mov     rbx, rax
    mov     r8, [range_next + rcx * 8]
.next:
    inc     ecx
    jmp     .range
.found:
    mov     r9d, CHASE_LINES
    shr     rbx, 6                      ; lines there are
.size:
    cmp     r9, rbx
    jbe     .fits
    shr     r9, 1
    cmp     r9, 1024
    jae     .size
    print   `chase: that node has no 64 KiB of free memory in one piece\n`
    ret
.fits:
    cmp     r9, CHASE_LINES
    je      .link
    print   `The node's free memory is small; a cache may hold much of this chase.\n`
.link:
    lea     r10, [r9 - 1]               ; mask of x
    mov     r12, r9
    shr     r12, 6
    bsf     rcx, r12                    ; bits of x that are the page
    dec     r12                         ; and their mask
    mov     r11, r9
    xor     eax, eax                    ; x, and RBX its line
    mov     rbx, r8
.each:
    imul    rax, rax, 1664525           ; = 1 modulo 4
    add     rax, 1013904223             ; odd
    and     rax, r10
    mov     rdx, rax
    shr     rdx, cl
    shl     rdx, 6
    mov     rsi, rax
    and     rsi, r12
    shl     rsi, 12
    add     rdx, rsi
    add     rdx, r8
    mov     [rbx], rdx
    mov     rbx, rdx
    dec     r11
    jnz     .each

    mov     ecx, CHASE_STEPS
    mov     rsi, r8
    call    stamp
    mov     r11, rax
.step:
    mov     rsi, [rsi]
    dec     ecx
    jnz     .step
    call    stamp
    sub     rax, r11
    mov     r11, rax

    print   "node "
    mov     eax, edi
    call    put_decimal
    print   ": "
    mov     rax, r9
    shr     rax, 4
    call    put_decimal
    print   " KiB, "
    mov     eax, CHASE_STEPS
    call    put_decimal
    print   " steps, "
    mov     rax, r11
    xor     edx, edx
    mov     ecx, CHASE_STEPS
    div     rcx
    call    put_decimal
    print   " cycles"
    mov     rcx, [tsc_hz]
    test    rcx, rcx
    jz      .end
    print   " = "
    mov     rax, r11
    mov     edx, 1000000000 / CHASE_STEPS * 10 ; tenths of ns
    mul     rdx
    div     rcx
    xor     edx, edx
    mov     ecx, 10
    div     rcx
    call    put_decimal
    print   "."
    mov     eax, edx
    call    put_decimal
    print   " ns"
.end:
    print   ` a step\n`
.done:
    ret
