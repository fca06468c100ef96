; Minos, the teaching kernel of Ring -1: the way from the loader's hands into 64-bit code.
;
; The loader follows the PVH boot protocol (Xen's "x86/HVM direct boot ABI"): it finds the note below in the ELF file,
; and enters `start` in 32-bit protected mode with flat segments, paging off, and EBX pointing to hvm_start_info.

; ---- names used everywhere -------------------------------------------------------------------------------------

KERNEL_CODE     equ 0x08                ; selectors of the GDT at the end of this file
KERNEL_DATA     equ 0x10
TASK_STATE      equ 0x18

PAGE            equ 4096
MOST_NODES      equ 16
MOST_PROCESSORS equ 64
MOST_RANGES     equ 64                  ; pieces of memory, after cutting RAM along node borders
MOST_MAP        equ 64                  ; entries of the boot memory map

MSR_APIC_BASE   equ 0x1b
MSR_EFER        equ 0xc0000080

; Print a text that stands in the code, just behind the call. Keeps all registers.
%macro print 1
    call    print_text
    db      %1, 0
%endmacro

; ---- the note by which a PVH loader knows us -------------------------------------------------------------------

org 0x100000

section .text align=4096
section .note align=4
    dd      4, 8, 18                    ; bytes of the name, bytes of the value, XEN_ELFNOTE_PHYS32_ENTRY
    db      "Xen", 0
    dq      start

; ---- 32-bit entry ----------------------------------------------------------------------------------------------

section .text
bits 32
entry start
start:
    cli
    cld
    mov     esp, boot_stack_top
    mov     [start_info], ebx
    mov     esi, text_no_start_info
    cmp     dword [ebx], 0x336ec578     ; hvm_start_info.magic
    jne     give_up

    mov     eax, 0x80000000             ; is there a long mode at all?
    cpuid
    mov     esi, text_no_long_mode
    cmp     eax, 0x80000001
    jb      give_up
    mov     eax, 0x80000001
    cpuid
    bt      edx, 29                     ; CPUID.80000001H:EDX.LM
    jnc     give_up
    xor     ebp, ebp
    bt      edx, 20                     ; CPUID.80000001H:EDX.NX
    jnc     .tables
    mov     ebp, 0x80000000             ; upper half of a page-directory entry: bit 63, execute-disable
    mov     byte [has_nx], 1

; Identity-map the first 4 GiB by 2 MiB pages (SDM volume 3, 4.5.4):
;   63  62    52 51          21 20   13 12  8 7  6 5 4   3   2   1 0
;   NX  ignored  page frame     zero  PAT    PS D A PCD PWT U/S R/W P
; Only the first page, which holds this kernel and the trampoline, stays executable.
.tables:
    mov     dword [pml4], pdpt + 3
    mov     dword [pdpt], directories + 3
    mov     dword [pdpt + 8], directories + PAGE + 3
    mov     dword [pdpt + 16], directories + 2 * PAGE + 3
    mov     dword [pdpt + 24], directories + 3 * PAGE + 3
    mov     edi, directories
    mov     eax, 0x83                   ; present, writable, 2 MiB
    xor     edx, edx                    ; the first page: executable
    xor     ecx, ecx
.entry:
    mov     [edi + ecx * 8], eax
    mov     [edi + ecx * 8 + 4], edx
    mov     edx, ebp
    add     eax, 0x200000
    inc     ecx
    cmp     ecx, 0x7f0                  ; FE000000H and up: APICs and devices, not cached
    jne     .cached
    or      eax, 0x18
.cached:
    cmp     ecx, 4 * 512
    jb      .entry

    call    enter_long_mode_32
    lgdt    [gdt_pointer]
    jmp     KERNEL_CODE:start_64

; Switch this processor to IA-32e mode (SDM volume 3, 10.8.5): PAE, CR3, EFER.LME, then CR0.PG. Destroys EAX, ECX, EDX.
enter_long_mode_32:
    mov     eax, cr4
    or      eax, 0x620                  ; PAE, and OSFXSR, OSXMMEXCPT for SSE
    mov     cr4, eax
    mov     eax, pml4
    mov     cr3, eax
    mov     ecx, MSR_EFER
    rdmsr
    or      eax, 0x100                  ; LME
    cmp     byte [has_nx], 0
    je      .write
    or      eax, 0x800                  ; NXE
.write:
    wrmsr
    mov     eax, 0x80010033             ; PG, WP, NE, ET, MP, PE
    mov     cr0, eax
    ret

; No way on. ESI: a text. The serial port may not be set up; write to it all the same.
give_up:
    mov     dx, 0x3f8
.next:
    lodsb
    test    al, al
    jz      .stop
    out     dx, al
    jmp     .next
.stop:
    cli
    hlt
    jmp     .stop

; ---- 64-bit entry ----------------------------------------------------------------------------------------------

bits 64
start_64:
    mov     eax, KERNEL_DATA
    mov     ds, eax
    mov     es, eax
    mov     ss, eax
    xor     eax, eax
    mov     fs, eax
    mov     gs, eax
    mov     rsp, boot_stack_top

    call    console_init
    print   `\nMinos, the teaching kernel of Ring -1\n\n`
    call    interrupts_init
    call    memory_map_init
    call    acpi_init
    call    time_init
    call    numa_init
    call    memory_init
    call    processors_init
    call    console_interrupts
    call    show_topology
    print   `\nType help for the commands.\n`
    sti
    jmp     shell

; ---- data ------------------------------------------------------------------------------------------------------

section .rodata
text_no_start_info db "Minos: EBX does not point to hvm_start_info; boot me by PVH", 13, 10, 0
text_no_long_mode  db "Minos: this processor has no 64-bit mode", 13, 10, 0

section .data
; Segment descriptors (SDM volume 3, 3.4.5): flat 64-bit code, flat data, and room for the task state's 16 bytes.
align 16
gdt:
    dq      0
    dq      0x00af9a000000ffff
    dq      0x00cf92000000ffff
gdt_task:
    dq      0, 0
gdt_end:
gdt_pointer:
    dw      gdt_end - gdt - 1
    dq      gdt

section .bss align=4096
pml4:           resb PAGE
pdpt:           resb PAGE
directories:    resb 4 * PAGE
boot_stack:     resb 4 * PAGE
boot_stack_top:
start_info:     resq 1
has_nx:         resb 1
