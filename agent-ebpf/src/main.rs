//! The kernel side of wallwatch. It gathers and never judges: every exec becomes a record, and what a
//! record means is decided by the agent.
//!
//! Two sets of programs stand in one object. `exec`, `exec_rescue`, `fork` and `exit` attach to BTF
//! tracepoints and read the kernel's structures at offsets that the agent resolved; `exec_classic` and `exit_classic`
//! serve kernels without BTF and send what helpers alone can tell. `failed_execve` and `failed_execveat` are
//! loaded only when the operator asks for them.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod argv;
#[cfg(target_arch = "bpf")]
mod cgroup;
#[cfg(target_arch = "bpf")]
mod classic;
#[cfg(target_arch = "bpf")]
mod exec;
#[cfg(target_arch = "bpf")]
mod failed;
#[cfg(target_arch = "bpf")]
mod file;
#[cfg(target_arch = "bpf")]
mod lineage;
#[cfg(target_arch = "bpf")]
mod listing;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod parent;
#[cfg(target_arch = "bpf")]
mod path;
#[cfg(target_arch = "bpf")]
mod rescue;
#[cfg(target_arch = "bpf")]
mod ring;
#[cfg(target_arch = "bpf")]
mod task;
#[cfg(target_arch = "bpf")]
mod xtables;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        macros::{btf_tracepoint, cgroup_sockopt, fentry, tracepoint},
        programs::{BtfTracePointContext, FEntryContext, SockoptContext, TracePointContext},
    };

    use crate::{
        argv, classic, exec, failed, lineage, listing,
        maps::{FIRST, RESCUE},
        xtables,
    };

    #[btf_tracepoint(function = "sched_process_exec")]
    pub(crate) fn exec(ctx: BtfTracePointContext) -> i32 {
        exec::try_exec(&ctx);
        0
    }

    /// Attached after `exec`, where the kernel may skip that one.
    #[btf_tracepoint(function = "sched_process_exec")]
    pub(crate) fn exec_rescue(ctx: BtfTracePointContext) -> i32 {
        exec::try_rescue(&ctx);
        0
    }

    /// Never attached: `exec` calls it, and it calls itself.
    #[btf_tracepoint(function = "sched_process_exec")]
    pub(crate) fn exec_end(ctx: BtfTracePointContext) -> i32 {
        exec::try_end(&ctx, &FIRST);
        0
    }

    /// The same for `exec_rescue`.
    #[btf_tracepoint(function = "sched_process_exec")]
    pub(crate) fn exec_end_rescue(ctx: BtfTracePointContext) -> i32 {
        exec::try_end(&ctx, &RESCUE);
        0
    }

    /// Never attached: `exec` calls it, and it calls itself.
    #[btf_tracepoint(function = "sched_process_exec")]
    pub(crate) fn argv_rest(ctx: BtfTracePointContext) -> i32 {
        argv::try_rest(&ctx, &FIRST);
        0
    }

    /// The same for `exec_rescue`.
    #[btf_tracepoint(function = "sched_process_exec")]
    pub(crate) fn argv_rest_rescue(ctx: BtfTracePointContext) -> i32 {
        argv::try_rest(&ctx, &RESCUE);
        0
    }

    #[btf_tracepoint(function = "sched_process_fork")]
    pub(crate) fn fork(ctx: BtfTracePointContext) -> i32 {
        lineage::try_fork(&ctx);
        0
    }

    #[btf_tracepoint(function = "sched_process_exit")]
    pub(crate) fn exit(ctx: BtfTracePointContext) -> i32 {
        lineage::try_exit(&ctx);
        0
    }

    /// Never attached to an event: whoever reads the iterator runs it.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = "iter/task")]
    extern "C" fn list_processes(ctx: *const listing::TaskContext) -> i32 {
        // SAFETY: the kernel calls this with the context of an iterator over tasks.
        unsafe { listing::try_list(ctx) };
        0
    }

    #[tracepoint(category = "sched", name = "sched_process_exec")]
    pub(crate) fn exec_classic(ctx: TracePointContext) -> u32 {
        classic::try_exec(&ctx);
        0
    }

    #[tracepoint(category = "sched", name = "sched_process_exit")]
    pub(crate) fn exit_classic(_ctx: TracePointContext) -> u32 {
        classic::try_exit();
        0
    }

    #[tracepoint(category = "syscalls", name = "sys_exit_execve")]
    pub(crate) fn failed_execve(ctx: TracePointContext) -> u32 {
        failed::try_failed(&ctx, failed::EXECVE);
        0
    }

    #[tracepoint(category = "syscalls", name = "sys_exit_execveat")]
    pub(crate) fn failed_execveat(ctx: TracePointContext) -> u32 {
        failed::try_failed(&ctx, failed::EXECVEAT);
        0
    }

    /// Attached to the root cgroup. 1 lets the call go on.
    #[cgroup_sockopt(setsockopt)]
    pub(crate) fn xtables_replace(ctx: SockoptContext) -> i32 {
        xtables::try_replace(&ctx);
        1
    }

    /// Attached where the program above cannot be.
    #[fentry(function = "security_socket_setsockopt")]
    pub(crate) fn xtables_replace_asked(ctx: FEntryContext) -> i32 {
        xtables::try_replace_asked(&ctx);
        0
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    /// Helpers such as `bpf_probe_read_kernel` are for GPL-compatible programs only.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

/// For other targets this is a program that says where the real one comes from, so that
/// `cargo build --workspace` works without a compiler for eBPF.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    #[expect(clippy::print_stderr, reason = "it is all this program does")]
    {
        eprintln!("wallwatch-ebpf runs in the kernel; build it with: cargo xtask ebpf");
    }
    std::process::exit(64);
}
