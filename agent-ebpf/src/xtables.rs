//! Who replaces a table of the older x_tables: the only way to change one is `setsockopt` (`do_ipt_set_ctl`,
//! `net/ipv4/netfilter/ip_tables.c`), which has no notification of its own.

use aya_ebpf::{
    bindings::bpf_sockopt,
    helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task},
    programs::{FEntryContext, SockoptContext},
};
use wallwatch_common::{Counter, Member, RecordKind, XTABLES_NAME_BYTES, XtablesReplaceRecord};

use crate::{
    lineage::header,
    maps::{COUNTERS, count},
    ring::{self, Class, Ring, share_of},
    task::{offset, read},
};

/// `IPT_SO_SET_REPLACE` and `IP6T_SO_SET_REPLACE` (`include/uapi/linux/netfilter_ipv4/ip_tables.h` and its
/// twin): both are `*_BASE_CTL`.
const SET_REPLACE: i32 = 64;

const SOL_IP: i32 = 0;
const SOL_IPV6: i32 = 41;

/// Never changes the call: with an `optlen` of 0 the kernel goes on with what the caller gave it, however long
/// that is (`__cgroup_bpf_run_filter_setsockopt`, `kernel/bpf/cgroup.c`).
#[inline(always)]
pub(crate) fn try_replace(ctx: &SockoptContext) {
    let call = ctx.sockopt;
    // SAFETY: the context is the kernel's, and the verifier checks each access to it.
    let (level, name) = unsafe { ((*call).level, (*call).optname) };
    if is_replace(level, name) {
        tell(level, || table(call));
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*call).optlen).write_volatile(0) };
}

/// Where no cgroup v2 is mounted: at the call's way through the security modules, before the kernel has read what
/// the caller hands over, so that the table has no name
/// (`security_socket_setsockopt(sock, level, optname)`, `security/security.c`).
#[inline(always)]
pub(crate) fn try_replace_asked(ctx: &FEntryContext) {
    let (level, name): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if is_replace(level, name) {
        tell(level, || [0; XTABLES_NAME_BYTES]);
    }
}

#[inline(always)]
fn is_replace(level: i32, name: i32) -> bool {
    name == SET_REPLACE && (level == SOL_IP || level == SOL_IPV6)
}

#[inline(always)]
fn tell(level: i32, table: impl FnOnce() -> [u8; XTABLES_NAME_BYTES]) {
    count(&COUNTERS, Counter::XtablesReplaceSeen);
    if send(level as u32, table).is_none() {
        count(&COUNTERS, Counter::XtablesReplaceDropped);
    }
}

#[inline(always)]
fn send(level: u32, table: impl FnOnce() -> [u8; XTABLES_NAME_BYTES]) -> Option<()> {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let leader: u64 = read(task + offset(Member::TaskGroupLeader))?;
    let start_ns: u64 = read(leader + offset(Member::TaskStartBoottime))?;
    let tgid: u32 = read(task + offset(Member::TaskTgid))?;
    let tid: u32 = read(task + offset(Member::TaskPid))?;
    // The share of the cgroup alone: a program of this kind reads the session no cheaper than it is worth.
    // SAFETY: the helper has no preconditions.
    let share = share_of(unsafe { bpf_get_current_cgroup_id() }, u32::MAX);
    let mut entry = ring::reserve::<XtablesReplaceRecord>(Ring::Urgent, share, Class::Urgent)
        .or_else(|| ring::reserve::<XtablesReplaceRecord>(Ring::Bulk, share, Class::Urgent))?;
    entry.write(XtablesReplaceRecord {
        header: header::<XtablesReplaceRecord>(RecordKind::XtablesReplace, share),
        start_ns,
        tgid,
        tid,
        level,
        padding: 0,
        table: table(),
    });
    entry.submit(0);
    Some(())
}

/// The table's name, with which the argument begins; NULs when the argument is shorter.
#[inline(always)]
fn table(call: *mut bpf_sockopt) -> [u8; XTABLES_NAME_BYTES] {
    let mut words = [0u64; XTABLES_NAME_BYTES / 8];
    // SAFETY: the verifier wants the end compared before it lets anything be read.
    unsafe {
        let begin = (*call).__bindgen_anon_2.optval.cast::<u64>();
        let end = (*call).__bindgen_anon_3.optval_end.cast::<u64>();
        if begin.add(words.len()) <= end {
            let mut index = 0;
            while index < words.len() {
                words[index] = begin.add(index).read_volatile();
                index += 1;
            }
        }
        core::mem::transmute::<[u64; XTABLES_NAME_BYTES / 8], [u8; XTABLES_NAME_BYTES]>(words)
    }
}
