//! Programs that pretend to be something else, as far as one exec shows it.

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

/// A firewall tool that does not run from where tools are, under a name that is none, or without a file.
pub fn of_tool(exec: &Exec) -> bool {
    if exec.exe_memfd || exec.exe_deleted {
        return true;
    }
    let Some(path) = exec.exe.known() else {
        return false;
    };
    let name = exec.argv.arguments().next().unwrap_or_default();
    !is_system_path(path) || !is_tool(basename(name))
}

/// Whether a name is one by which firewall tools, or what runs them, are called.
pub fn is_tool(name: &[u8]) -> bool {
    const PREFIXES: &[&str] = &[
        "iptables",
        "ip6tables",
        "arptables",
        "ebtables",
        "xtables-",
        "nft",
        "ufw",
        "firewall-",
        "ipset",
        "netfilter-persistent",
        "systemctl",
        "service",
        "busybox",
        "toybox",
        "python",
        "rc-service",
        "invoke-rc.d",
        "update-rc.d",
        "sysctl",
        "modprobe",
        "rmmod",
        "kmod",
        "conntrack",
        "shorewall",
        "ferm",
        "ld-linux",
        "ld.so",
        "sh",
        "bash",
        "dash",
        "iptables-apply",
    ];
    let name = name.strip_prefix(b"-").unwrap_or(name);
    PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix.as_bytes()))
}
