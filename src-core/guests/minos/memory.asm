; Memory: the loader's map, cut along the borders of the NUMA nodes into ranges; pages are handed out from each range's
; start. Everything is mapped at its own address by 2 MiB pages.
;
; A range: base and end as found; `first`, the first page that `release` may free; `next`, the first not handed out yet.

section .text
bits 64

; Copy the loader's memory map (hvm_memmap_table_entry: address, size, type, reserved: 24 bytes) to our own memory.
memory_map_init:
    push    rbx
    push    rcx
    push    rsi
    push    rdi
    mov     ebx, [start_info]
    cmp     dword [rbx + 4], 1          ; version 1 brought the map
    jb      .none
    mov     ecx, [rbx + 48]
    cmp     ecx, MOST_MAP
    jbe     .count
    mov     ecx, MOST_MAP
.count:
    mov     [map_count], ecx
    imul    ecx, ecx, 3
    mov     rsi, [rbx + 40]
    mov     edi, memory_map
    rep     movsq
    jmp     .done
.none:
    print   `The loader gave no memory map.\n`
.done:
    pop     rdi
    pop     rsi
    pop     rcx
    pop     rbx
    ret

; Cut each piece of RAM along the node ranges, leaving out what lies below the end of this kernel.
memory_init:
    push    rax
    push    rbx
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    push    r8
    push    r9
    xor     ebx, ebx
.map:
    cmp     ebx, [map_count]
    jae     .mapped
    imul    esi, ebx, 24
    add     rsi, memory_map
    inc     ebx
    cmp     dword [rsi + 16], 1         ; RAM
    jne     .map
    xor     ecx, ecx
.node:
    mov     rax, [rsi]
    mov     rdx, [rsi + 8]
    add     rdx, rax
    jc      .map                        ; a piece that wraps round is no piece
    cmp     ecx, [affinity_count]
    jae     .map
    mov     r8, [affinity_base + rcx * 8]
    mov     r9, [affinity_end + rcx * 8]
    cmp     rax, r8
    cmovb   rax, r8
    cmp     rdx, r9
    cmova   rdx, r9
    mov     r8, kernel_end
    cmp     rax, r8
    cmovb   rax, r8
    add     rax, PAGE - 1
    and     rax, -PAGE
    and     rdx, -PAGE
    mov     r9, 1 << 39                 ; what one page-directory-pointer table reaches
    cmp     rdx, r9
    cmova   rdx, r9
    mov     dil, [affinity_node + rcx]
    inc     ecx
    cmp     rax, rdx
    jae     .node
    mov     r8d, [range_count]
    cmp     r8d, MOST_RANGES
    jae     .node
    mov     [range_base + r8 * 8], rax
    mov     [range_next + r8 * 8], rax
    mov     [range_end + r8 * 8], rdx
    mov     [range_node + r8], dil
    inc     dword [range_count]
    jmp     .node
.mapped:
    call    map_above_4g
    mov     ecx, [range_count]          ; what is taken by now stays taken
    mov     esi, range_next
    mov     edi, range_first
    rep     movsq
    pop     r9
    pop     r8
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rbx
    pop     rax
    ret

; Page directories for every GiB from 4 GiB up to the end of the last range.
map_above_4g:
    xor     ecx, ecx
    xor     ebx, ebx
.top:
    cmp     ecx, [range_count]
    jae     .topped
    mov     rax, [range_end + rcx * 8]
    cmp     rbx, rax
    cmovb   rbx, rax
    inc     ecx
    jmp     .top
.topped:
    mov     rsi, 4 << 30
.directory:
    cmp     rsi, rbx
    jae     .done
    call    low_page
    test    rax, rax
    jz      .short
    mov     rdi, rax
    mov     rdx, rsi
    shr     rdx, 30
    or      rax, 3
    mov     [pdpt + rdx * 8], rax
    mov     rax, rsi
    or      rax, 0x83
    cmp     byte [has_nx], 0
    je      .fill
    bts     rax, 63
.fill:
    mov     ecx, 512
.entry:
    mov     [rdi], rax
    add     rdi, 8
    add     rax, 0x200000
    dec     ecx
    jnz     .entry
    add     rsi, 1 << 30
    jmp     .directory
.short:
    print   `No page for page tables: memory above 4 GiB is not used.\n`
    mov     rax, 4 << 30
    xor     ecx, ecx
.cut:
    cmp     ecx, [range_count]
    jae     .done
    cmp     [range_end + rcx * 8], rax
    jbe     .below
    mov     rdx, [range_next + rcx * 8]
    mov     [range_end + rcx * 8], rdx
.below:
    inc     ecx
    jmp     .cut
.done:
    ret

; A page below 4 GiB in RAX, 0 if none is left.
low_page:
    push    rcx
    push    rdx
    xor     ecx, ecx
.range:
    cmp     ecx, [range_count]
    jae     .none
    mov     rax, [range_next + rcx * 8]
    mov     edx, 0xfffff000
    cmp     rax, rdx
    jae     .next
    cmp     rax, [range_end + rcx * 8]
    jae     .next
    lea     rdx, [rax + PAGE]
    mov     [range_next + rcx * 8], rdx
    jmp     .done
.next:
    inc     ecx
    jmp     .range
.none:
    xor     eax, eax
.done:
    pop     rdx
    pop     rcx
    ret

; EDI: a node. RAX: its pages, RDX: those still free.
node_pages:
    push    rbx
    push    rcx
    xor     eax, eax
    xor     edx, edx
    xor     ecx, ecx
.range:
    cmp     ecx, [range_count]
    jae     .done
    cmp     [range_node + rcx], dil
    jne     .next
    mov     rbx, [range_end + rcx * 8]
    sub     rbx, [range_base + rcx * 8]
    shr     rbx, 12
    add     rax, rbx
    mov     rbx, [range_end + rcx * 8]
    sub     rbx, [range_next + rcx * 8]
    shr     rbx, 12
    add     rdx, rbx
.next:
    inc     ecx
    jmp     .range
.done:
    pop     rcx
    pop     rbx
    ret

; `mem`: the loader's map, then pages per node.
command_mem:
    print   `Memory map:\n`
    xor     ebx, ebx
.map:
    cmp     ebx, [map_count]
    jae     .nodes
    imul    esi, ebx, 24
    add     rsi, memory_map
    print   "  "
    mov     rax, [rsi]
    call    put_hex
    print   " .. "
    mov     rax, [rsi]
    add     rax, [rsi + 8]
    dec     rax
    call    put_hex
    print   "  "
    mov     eax, [rsi + 16]
    mov     esi, text_other
    cmp     eax, 5
    ja      .type
    mov     rsi, [map_types + rax * 8]
.type:
    call    put_string
    call    new_line
    inc     ebx
    jmp     .map
.nodes:
    print   `Pages of 4 KiB:\n  node       total        used        free\n`
    xor     edi, edi
.node:
    cmp     edi, [node_count]
    jae     .done
    mov     eax, edi
    mov     ecx, 6
    call    put_decimal_in
    call    node_pages
    mov     ecx, 12
    call    put_decimal_in
    sub     rax, rdx
    call    put_decimal_in
    mov     rax, rdx
    call    put_decimal_in
    call    new_line
    inc     edi
    jmp     .node
.done:
    ret

section .rodata
align 8
map_types:      dq text_other, text_ram, text_reserved, text_acpi, text_nvs, text_bad
text_other      db "other", 0
text_ram        db "RAM", 0
text_reserved   db "reserved", 0
text_acpi       db "ACPI tables", 0
text_nvs        db "ACPI non-volatile", 0
text_bad        db "unusable", 0

section .bss
alignb 8
memory_map:     resb MOST_MAP * 24
range_base:     resq MOST_RANGES
range_end:      resq MOST_RANGES
range_next:     resq MOST_RANGES
range_first:    resq MOST_RANGES
range_node:     resb MOST_RANGES
map_count:      resd 1
range_count:    resd 1
