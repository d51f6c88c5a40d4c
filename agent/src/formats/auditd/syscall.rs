//! Which system calls start a program, by architecture.

/// Whether `number` is `execve` or `execveat` for the architecture that the kernel calls `arch` (`AUDIT_ARCH_…` in
/// `include/uapi/linux/audit.h`; the numbers are in the tables of `arch/*/kernel/syscalls`).
pub(in crate::formats) fn is_exec(arch: u64, number: u64) -> bool {
    /// Marks a call of the x32 ABI.
    const X32: u64 = 0x4000_0000;
    let (execve, execveat) = match arch {
        // x86_64
        0xc000_003e if number & X32 != 0 => (X32 | 520, X32 | 545),
        0xc000_003e => (59, 322),
        // i386
        0x4000_0003 => (11, 358),
        // arm
        0x4000_0028 => (11, 387),
        // aarch64, riscv64, loongarch64: the generic table
        0xc000_00b7 | 0xc000_00f3 | 0xc000_0102 => (221, 281),
        // ppc64le, ppc64, ppc
        0xc000_0015 | 0x8000_0015 | 0x14 => (11, 362),
        // s390x, s390
        0x8000_0016 | 0x16 => (11, 354),
        _ => return false,
    };
    number == execve || number == execveat
}

/// Whether an enriched record names one of them.
pub(in crate::formats) fn is_exec_name(name: &[u8]) -> bool {
    name == b"execve" || name == b"execveat"
}
