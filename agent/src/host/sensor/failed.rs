//! The programs for execs that fail, which only an operator who accepts their price gets.

use std::error::Error;

use aya::Ebpf;
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported};

use super::{Link, attach_tracepoint};

/// What the tracepoints add to every system call of the host, in nanoseconds: `getppid(2)` in a loop took
/// 265 to 271 ns with them and 195 to 206 ns without, on two virtual processors under Linux 6.18.
const SYSCALL_PRICE_NS: u32 = 65;

const PROGRAMS: [(&str, &str); 2] = [
    ("failed_execve", "sys_exit_execve"),
    ("failed_execveat", "sys_exit_execveat"),
];

/// Where the first three arguments of a system call stand in `struct pt_regs`, which is the same on every
/// kernel for programs such as `strace` read it: `di`, `si`, `dx` (`arch/x86/include/asm/ptrace.h`); `orig_x0`,
/// `regs[1]`, `regs[2]` (`arch/arm64/include/asm/ptrace.h`). `None` on other machines.
pub(super) const ARGUMENT_REGISTERS: Option<[u32; 3]> = if cfg!(target_arch = "x86_64") {
    Some([112, 104, 96])
} else if cfg!(target_arch = "aarch64") {
    Some([272, 8, 16])
} else {
    None
};

/// Whether the kernel gives a program the registers of a system call. With BTF only: it needs the kernel's types.
pub(super) fn has_task_pt_regs(has_btf: bool) -> bool {
    has_btf
        && is_helper_supported(ProgramType::TracePoint, BpfHelper::BPF_FUNC_task_pt_regs)
            .unwrap_or(false)
}

/// Loads and attaches them. What cannot be attached is said; the sensor works without. Whether any is attached is
/// whether there is a link.
pub(super) fn attach(ebpf: &mut Ebpf) -> Vec<(&'static str, Link)> {
    if ARGUMENT_REGISTERS.is_none() {
        tracing::warn!(
            "failed execs are not watched: not known how on this machine's architecture"
        );
        return Vec::new();
    }
    let mut links = Vec::new();
    for (name, tracepoint) in PROGRAMS {
        match attach_tracepoint(ebpf, name, "syscalls", tracepoint) {
            Ok(link) => links.push((name, link)),
            Err(error) => {
                let reason = innermost(&error);
                tracing::warn!(%error, reason, "failed execs are not all watched");
            }
        }
    }
    if !links.is_empty() {
        tracing::warn!(
            "failed execs are watched: every system call of this host takes about {SYSCALL_PRICE_NS} ns longer"
        );
    }
    links
}

fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
