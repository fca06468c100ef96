// Entered by Multiboot 1 in flat 32-bit protected mode (EBX → information); turns on paging with the 4 GiB mapped
// one to one by 4 MiB pages (SDM vol. 3, 4.3), user-accessible, SSE enabled, interrupts off.
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
        mov     $1024, %ecx
1:      mov     %eax, (%edi)
        add     $0x400000, %eax
        add     $4, %edi
        dec     %ecx
        jnz     1b
        mov     $0x610, %eax            // PSE OSFXSR OSXMMEXCPT
        mov     %eax, %cr4
        mov     $pd, %eax
        mov     %eax, %cr3
        mov     $0x80010033, %eax       // PG WP NE ET MP PE
        mov     %eax, %cr0
        lgdt    gdt_limits
        ljmp    $0x08, $1f
1:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $stack_top - 12, %esp
        fninit
        push    %ebx
        call    kernel_main

        .section .data
        .balign 16
        .globl gdt
gdt:    .quad 0
        .quad 0x00cf9b000000ffff        // 08 code
        .quad 0x00cf93000000ffff        // 10 data
        .quad 0x00cff3000000ffff        // 18 user data
        .quad 0x00cffb000000ffff        // 20 user code
        .quad 0, 0                      // 28 TSS
gdt_limits:
        .word gdt_limits - gdt - 1
        .long gdt

        .section .bss
        .balign 4096
        .globl pd
pd:     .skip 4096
        .skip 65536
stack_top:
