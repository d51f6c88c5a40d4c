//! Settings and modules of the kernel on which packet filters depend.

use crate::pipeline::firewall::change::{Backend, Command, FirewallChange, Operation};

use super::change;

/// Modules without which nothing is filtered.
const CORE_MODULES: &[&[u8]] = &[
    b"nf_tables",
    b"x_tables",
    b"ip_tables",
    b"ip6_tables",
    b"iptable_filter",
    b"ip6table_filter",
];

/// How the names of the other netfilter modules begin (`linux/net/netfilter/`, `linux/net/ipv4/netfilter/`).
const MODULE_PREFIXES: &[&[u8]] = &[
    b"nf_",
    b"nft_",
    b"nfnetlink",
    b"xt_",
    b"ipt_",
    b"ip6t_",
    b"iptable_",
    b"ip6table_",
    b"ebt",
    b"arpt",
    b"arp_tables",
    b"ip_set",
];

/// What settings decide by whom and where packets are let through.
const SETTINGS: &[&str] = &[
    "ip_forward",
    "forwarding",
    "bridge-nf-call-iptables",
    "bridge-nf-call-ip6tables",
    "bridge-nf-call-arptables",
    "rp_filter",
    "route_localnet",
    "accept_source_route",
    "nf_conntrack_tcp_loose",
    "nf_conntrack_tcp_be_liberal",
    "nf_conntrack_max",
];

/// The settings that `sysctl ARGUMENTS` writes; `None` when none of them has to do with packet filters.
pub fn sysctl(arguments: &[&[u8]]) -> Option<Command> {
    let set = arguments.iter().filter(|word| !word.starts_with(b"-"));
    let changes: Vec<_> = set
        .filter(|word| is_setting(word))
        .map(|word| {
            change(
                Backend::Kernel,
                Operation::Other {
                    what: word.to_vec(),
                },
            )
        })
        .collect();
    (!changes.is_empty()).then_some(Command::Changes(changes))
}

/// `net.ipv4.ip_forward=1`, with dots or slashes.
fn is_setting(word: &[u8]) -> bool {
    let mut sides = word.splitn(2, |&byte| byte == b'=');
    let (Some(key), Some(_)) = (sides.next(), sides.next()) else {
        return false;
    };
    let key = key.trim_ascii();
    let last = key.rsplit(|byte| matches!(byte, b'.' | b'/')).next();
    let is_of_net = key.starts_with(b"net.") || key.starts_with(b"net/");
    is_of_net && SETTINGS.iter().any(|name| Some(name.as_bytes()) == last)
}

/// `modprobe -r MODULE…`; `None` when nothing is removed, or nothing of netfilter.
pub fn modprobe(arguments: &[&[u8]]) -> Option<Command> {
    let has = |letter, long: &[&[u8]]| {
        let mut words = arguments.iter();
        words.any(|word| has_letter(word, letter) || long.contains(word))
    };
    if !has(b'r', &[b"--remove"]) {
        return None;
    }
    let command = rmmod(arguments)?;
    let is_dry = has(b'n', &[b"--dry-run", b"--show"]);
    Some(if is_dry { Command::Query } else { command })
}

/// `rmmod MODULE…`; `None` when none of them is netfilter's.
pub fn rmmod(arguments: &[&[u8]]) -> Option<Command> {
    let names = arguments.iter().filter(|word| !word.starts_with(b"-"));
    let changes: Vec<_> = names.filter_map(|name| removed(name)).collect();
    (!changes.is_empty()).then_some(Command::Changes(changes))
}

/// Whether a cluster of short options has that letter.
fn has_letter(word: &[u8], letter: u8) -> bool {
    match word {
        [b'-', letters @ ..] if !letters.starts_with(b"-") => letters.contains(&letter),
        _ => false,
    }
}

fn removed(name: &[u8]) -> Option<FirewallChange> {
    let name = module_name(name);
    if CORE_MODULES.contains(&name.as_slice()) {
        return Some(change(Backend::Kernel, Operation::Disable));
    }
    let is_ours = MODULE_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix));
    let what = [b"remove module ".as_slice(), &name].concat();
    is_ours.then(|| change(Backend::Kernel, Operation::Other { what }))
}

/// The name without directory and suffix; a dash is an underscore (`kmod(8)`).
fn module_name(name: &[u8]) -> Vec<u8> {
    let file = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let stem = file.split(|&byte| byte == b'.').next().unwrap_or(file);
    let plain = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
    stem.iter().map(plain).collect()
}
