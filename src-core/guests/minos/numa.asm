; NUMA: which processors and which memory belong together (ACPI 6.4, 5.2.16 SRAT), how far apart the nodes are
; (5.2.17 SLIT), and what that distance means (5.2.28 HMAT). Nodes are numbered in the order the SRAT names their domains.

section .text
bits 64

; Read the SRAT. Without one, all processors and all memory are node 0.
numa_init:
    push    rax
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    call    read_srat
    cmp     dword [affinity_count], 0
    jne     .done
    mov     dword [node_count], 1
    mov     dword [affinity_count], 1
    mov     qword [affinity_base], 0
    mov     qword [affinity_end], -1
    mov     byte [affinity_node], 0
    mov     ecx, MOST_PROCESSORS
    mov     edi, processor_node
    xor     eax, eax
    rep     stosb
    mov     byte [uniform], 1
.done:
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    ret

read_srat:
    mov     rsi, [table_srat]
    test    rsi, rsi
    jz      .done
    mov     ecx, [rsi + 4]
    lea     rdi, [rsi + rcx]
    add     rsi, 48
.entry:
    lea     rax, [rsi + 2]
    cmp     rax, rdi
    ja      .done
    movzx   ecx, byte [rsi + 1]
    cmp     ecx, 2
    jb      .done
    lea     rbx, [rsi + rcx]
    cmp     rbx, rdi
    ja      .done
    movzx   eax, byte [rsi]
    cmp     eax, 0                      ; processor local APIC: +2 domain 7..0, +3 id, +4 flags, +9 domain 31..8
    jne     .memory
    test    byte [rsi + 4], 1
    jz      .next
    mov     eax, [rsi + 8]
    mov     al, [rsi + 2]
    movzx   edx, byte [rsi + 3]
    call    place_processor
    jmp     .next
.memory:
    cmp     eax, 1                      ; memory: +2 domain, +8 base, +16 length, +28 flags
    jne     .x2
    test    byte [rsi + 28], 1
    jz      .next
    mov     ecx, [affinity_count]
    cmp     ecx, MOST_RANGES
    jae     .next
    mov     eax, [rsi + 2]
    call    node_of_domain
    js      .next
    mov     [affinity_node + rcx], al
    mov     rax, [rsi + 8]
    mov     [affinity_base + rcx * 8], rax
    add     rax, [rsi + 16]
    mov     [affinity_end + rcx * 8], rax
    inc     dword [affinity_count]
    jmp     .next
.x2:
    cmp     eax, 2                      ; processor local x2APIC: +4 domain, +8 id, +12 flags
    jne     .next
    test    byte [rsi + 12], 1
    jz      .next
    mov     eax, [rsi + 4]
    mov     edx, [rsi + 8]
    call    place_processor
.next:
    mov     rsi, rbx
    jmp     .entry
.done:
    ret

; EAX: domain, EDX: APIC id.
place_processor:
    push    rcx
    call    node_of_domain
    js      .done
    xor     ecx, ecx
.find:
    cmp     ecx, [processor_count]
    jae     .done
    cmp     [processor_apic + rcx * 4], edx
    je      .found
    inc     ecx
    jmp     .find
.found:
    mov     [processor_node + rcx], al
.done:
    pop     rcx
    ret

; EAX: a proximity domain, made its node number; SF set when there are too many.
node_of_domain:
    push    rcx
    xor     ecx, ecx
.find:
    cmp     ecx, [node_count]
    jae     .new
    cmp     [node_domain + rcx * 4], eax
    je      .done
    inc     ecx
    jmp     .find
.new:
    cmp     ecx, MOST_NODES
    jae     .many
    mov     [node_domain + rcx * 4], eax
    inc     dword [node_count]
.done:
    mov     eax, ecx
    test    eax, eax
    pop     rcx
    ret
.many:
    mov     eax, -1
    test    eax, eax
    pop     rcx
    ret

; EBX, ECX: nodes. EAX: their SLIT distance, 0 when unknown.
node_distance:
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    mov     rsi, [table_slit]
    test    rsi, rsi
    jz      .unknown
    mov     edx, [rsi + 36]             ; number of localities; the matrix begins at +44
    mov     ebx, [node_domain + rbx * 4]
    mov     ecx, [node_domain + rcx * 4]
    cmp     ebx, edx
    jae     .unknown
    cmp     ecx, edx
    jae     .unknown
    imul    rbx, rdx
    add     rbx, rcx
    add     rbx, 44
    mov     eax, [rsi + 4]
    cmp     rbx, rax
    jae     .unknown
    movzx   eax, byte [rsi + rbx]
    jmp     .done
.unknown:
    xor     eax, eax
.done:
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    ret

; The whole picture: printed at boot and by `numa`.
show_topology:
    cmp     byte [uniform], 0
    je      .nodes
    print   `Uniform memory: there is no SRAT.\n`
.nodes:
    mov     eax, [node_count]
    call    put_decimal
    print   ` node(s), `
    mov     eax, [processor_count]
    call    put_decimal
    print   ` processor(s), `
    call    count_online
    call    put_decimal
    print   ` online\n`
    xor     edi, edi
.node:
    cmp     edi, [node_count]
    jae     .matrix
    call    show_node
    inc     edi
    jmp     .node
.matrix:
    cmp     qword [table_slit], 0
    je      .latency
    print   `Distances (SLIT):\n     `
    xor     ecx, ecx
.head:
    mov     eax, ecx
    push    rcx
    mov     ecx, 5
    call    put_decimal_in
    pop     rcx
    inc     ecx
    cmp     ecx, [node_count]
    jb      .head
    call    new_line
    xor     ebx, ebx
.row:
    mov     eax, ebx
    mov     ecx, 4
    call    put_decimal_in
    print   ":"
    xor     ecx, ecx
.column:
    call    node_distance
    push    rcx
    mov     ecx, 5
    call    put_decimal_in
    pop     rcx
    inc     ecx
    cmp     ecx, [node_count]
    jb      .column
    call    new_line
    inc     ebx
    cmp     ebx, [node_count]
    jb      .row
.latency:
    jmp     show_hmat

; EDI: a node. Its processors and its memory.
show_node:
    print   "  node "
    mov     eax, edi
    call    put_decimal
    print   ": processors"
    xor     ecx, ecx
    xor     edx, edx
.processor:
    cmp     ecx, [processor_count]
    jae     .memory
    cmp     [processor_node + rcx], dil
    jne     .other
    print   " "
    mov     eax, ecx
    call    put_decimal
    inc     edx
.other:
    inc     ecx
    jmp     .processor
.memory:
    test    edx, edx
    jnz     .some
    print   " none"
.some:
    call    new_line
    xor     ebx, ebx
.range:
    cmp     ebx, [affinity_count]
    jae     .done
    cmp     [affinity_node + rbx], dil
    jne     .next
    cmp     byte [uniform], 0
    jne     .next
    print   "    memory "
    mov     rax, [affinity_base + rbx * 8]
    call    put_hex
    print   " .. "
    mov     rax, [affinity_end + rbx * 8]
    dec     rax
    call    put_hex
    mov     rax, [affinity_end + rbx * 8]
    sub     rax, [affinity_base + rbx * 8]
    shr     rax, 10
    mov     ecx, 10
    call    put_decimal_in
    print   ` KiB\n`
.next:
    inc     ebx
    jmp     .range
.done:
    ret

; HMAT structure type 1 (5.2.28.4): +8 flags, +9 data type, +12 initiators, +16 targets, +24 unit, +32 lists, 16-bit entries.
; Data types 0 to 2 are latencies in units of picoseconds, 3 to 5 are bandwidths in units of MB/s.
show_hmat:
    mov     rsi, [table_hmat]
    test    rsi, rsi
    jz      .done
    mov     ecx, [rsi + 4]
    lea     rdi, [rsi + rcx]
    add     rsi, 40
.structure:
    lea     rax, [rsi + 32]
    cmp     rax, rdi
    ja      .done
    mov     eax, [rsi + 4]
    cmp     eax, 8
    jb      .done
    lea     rbx, [rsi + rax]
    cmp     rbx, rdi
    ja      .done
    cmp     word [rsi], 1
    jne     .next
    cmp     byte [rsi + 9], 5
    ja      .next
    mov     r8d, [rsi + 12]             ; initiators: rows
    mov     r9d, [rsi + 16]             ; targets: columns
    cmp     r8d, MOST_NODES
    ja      .next
    cmp     r9d, MOST_NODES
    ja      .next
    mov     eax, r8d                    ; do the lists and the entries lie inside the structure?
    imul    eax, r9d
    lea     ecx, [r8 + r9]
    lea     eax, [rax + rcx * 2]
    lea     eax, [rax * 2 + 32]
    cmp     eax, [rsi + 4]
    ja      .next
    movzx   eax, byte [rsi + 9]
    push    rsi
    mov     rsi, [hmat_names + rax * 8]
    call    put_string
    pop     rsi
    lea     r10, [r8 + r9]
    lea     r10, [rsi + r10 * 4 + 32]   ; first entry
    xor     edx, edx
.row:
    cmp     edx, r8d
    jae     .next
    mov     eax, [rsi + rdx * 4 + 32]
    mov     ecx, 4
    call    put_decimal_in
    print   ":"
    xor     ecx, ecx
.column:
    cmp     ecx, r9d
    jae     .row_end
    movzx   eax, word [r10]
    add     r10, 2
    push    rcx
    push    rdx
    cmp     eax, 0xffff                 ; not reachable
    jne     .value
    print   "       -"
    jmp     .printed
.value:
    mul     qword [rsi + 24]
    cmp     byte [rsi + 9], 3
    jae     .show
    add     rax, 500                    ; to the nearest
    xor     edx, edx
    mov     ecx, 1000
    div     rcx
.show:
    mov     ecx, 8
    call    put_decimal_in
.printed:
    pop     rdx
    pop     rcx
    inc     ecx
    jmp     .column
.row_end:
    call    new_line
    inc     edx
    jmp     .row
.next:
    mov     rsi, rbx
    jmp     .structure
.done:
    ret

command_numa equ show_topology

section .rodata
align 8
hmat_names:
    dq      hmat_0, hmat_1, hmat_2, hmat_3, hmat_4, hmat_5
hmat_0  db "Access latency, ns (HMAT):", 10, 0
hmat_1  db "Read latency, ns (HMAT):", 10, 0
hmat_2  db "Write latency, ns (HMAT):", 10, 0
hmat_3  db "Access bandwidth, MB/s (HMAT):", 10, 0
hmat_4  db "Read bandwidth, MB/s (HMAT):", 10, 0
hmat_5  db "Write bandwidth, MB/s (HMAT):", 10, 0

section .bss
alignb 8
affinity_base:  resq MOST_RANGES
affinity_end:   resq MOST_RANGES
affinity_node:  resb MOST_RANGES
node_domain:    resd MOST_NODES
node_count:     resd 1
affinity_count: resd 1
uniform:        resb 1
