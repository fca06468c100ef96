// Entered by Multiboot 1 in flat 32-bit protected mode (EBX → information); goes to long mode (SDM vol. 3, 10.8.5)
// with the low 4 GiB mapped one to one by 2 MiB pages, user-accessible, SSE enabled, interrupts off.
        .section .multiboot, "a"
        .balign 4
        .long 0x1badb002, 0, -0x1badb002

        .section .text
        .code32
        .globl start
start:  cli
        cld
        mov     $pd, %edi
        mov     $0x87, %eax             // P RW US PS
        mov     $2048, %ecx
1:      mov     %eax, (%edi)
        add     $0x200000, %eax
        add     $8, %edi
        dec     %ecx
        jnz     1b
        movl    $pdpt + 7, pml4
        movl    $pd + 0x0007, pdpt
        movl    $pd + 0x1007, pdpt + 8
        movl    $pd + 0x2007, pdpt + 16
        movl    $pd + 0x3007, pdpt + 24
        mov     $0x620, %eax            // PAE OSFXSR OSXMMEXCPT
        mov     %eax, %cr4
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx       // EFER: SCE LME
        rdmsr
        or      $0x101, %eax
        wrmsr
        mov     $0x80010033, %eax       // PG WP NE ET MP PE
        mov     %eax, %cr0
        lgdt    gdt_limits
        ljmp    $0x08, $long_mode

        .code64
long_mode:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $stack_top, %rsp
        fninit
        mov     %ebx, %edi
        call    kernel_main

        .section .data
        .balign 16
        .globl gdt
gdt:    .quad 0
        .quad 0x00af9b000000ffff        // 08 code, 64-bit
        .quad 0x00cf93000000ffff        // 10 data
        .quad 0x00cff3000000ffff        // 18 user data
        .quad 0x00affb000000ffff        // 20 user code, 64-bit
        .quad 0, 0                      // 28 TSS
gdt_limits:
        .word gdt_limits - gdt - 1
        .quad gdt

        .section .bss
        .balign 4096
pml4:   .skip 4096
pdpt:   .skip 4096
        .globl pd
pd:     .skip 4 * 4096
        .skip 65536
stack_top:
