//! Programs that pretend to be something else, as far as one exec shows it.

use super::iptables::XtablesProgram;
use super::origin::is_system_path;
use crate::pipeline::exec::{ExePath, Exec, basename};

/// A user's process that looks like a kernel thread in a process list: `ps` shows those in brackets, for
/// they have no command line. A kernel thread never goes through an exec.
pub fn as_kernel_thread(exec: &Exec) -> bool {
    let name = exec.argv.arguments().next().unwrap_or_default();
    let bracketed = name
        .strip_prefix(b"[")
        .and_then(|name| name.strip_suffix(b"]"));
    let looks_alike = bracketed
        .is_some_and(|inner| inner.len() > 1 && inner.iter().all(|byte| byte.is_ascii_graphic()));
    // `[ -f x ]` is test(1), whose first argument is `[` alone.
    looks_alike && (exec.exe_memfd || matches!(exec.exe, ExePath::Known(_)))
}

/// A command of a firewall tool that runs from where tools are not, without a file, or under a name that is
/// none of theirs.
pub fn of_tool(exec: &Exec) -> bool {
    if exec.exe_memfd || exec.exe_deleted {
        return true;
    }
    let Some(path) = exec.exe.known() else {
        return false;
    };
    let name = exec.argv.arguments().next().unwrap_or_default();
    let has_other_name = changes_netfilter(basename(path)) && !changes_netfilter(basename(name));
    !is_system_path(path) || has_other_name
}

/// Whether programs of that name make changes of netfilter themselves, by netlink or `setsockopt`.
pub fn changes_netfilter(name: &[u8]) -> bool {
    matches!(
        name,
        b"nft" | b"ipset" | b"xtables-nft-multi" | b"xtables-legacy-multi"
    ) || XtablesProgram::from_name(name).is_some()
}
