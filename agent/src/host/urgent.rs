//! Which executables wake the agent at once: what may be firewall work. The list may be too broad,
//! never too narrow; an exec that is not on it is seen all the same, up to 10 ms later.

use wallwatch_common::NAME_KEY_BYTES;

/// Leading letters of basenames. `ip` stands for `ip6tables` (and for `ip`), `ld` for every dynamic
/// loader, `python` for each of its versions.
const NAMES: &[&str] = &[
    // shells
    "sh",
    "ash",
    "bash",
    "dash",
    "ksh",
    "mksh",
    "lksh",
    "oksh",
    "pdksh",
    "yash",
    "zsh",
    "fish",
    "csh",
    "tcsh",
    "rc",
    "es",
    "rbash",
    "busybox",
    "toybox",
    "posh",
    "elvish",
    "nu",
    "xonsh",
    "pwsh",
    // firewall tools and those that start, stop or carry them
    "iptables",
    "ip",
    "xtables",
    "arptables",
    "ebtables",
    "nft",
    "nftables",
    "ufw",
    "firewall",
    "firewalld",
    "firehol",
    "shorewall",
    "ferm",
    "ipset",
    "netfilter",
    "conntrack",
    "systemctl",
    "service",
    "update",
    "invoke",
    "openrc",
    "nsenter",
    "unshare",
    "chroot",
    "sudo",
    "su",
    "doas",
    "pkexec",
    "runuser",
    "setpriv",
    "env",
    "xargs",
    "timeout",
    "nohup",
    "setsid",
    "nice",
    "find",
    "tc",
    "bpftool",
    "sysctl",
    "modprobe",
    "insmod",
    "rmmod",
    "kmod",
    // loaders and interpreters
    "ld",
    "memfd",
    "python",
    "pypy",
    "perl",
    "ruby",
    "lua",
    "luajit",
    "node",
    "nodejs",
    "bun",
    "deno",
    "php",
    "tclsh",
    "expect",
    "awk",
    "gawk",
    "mawk",
    "nawk",
    "original",
    "java",
    "guile",
    "gdb",
    "vim",
    "ed",
    "m",
    "make",
    "qemu",
];

/// The keys of the kernel's map: the built-in names and the operator's own.
pub fn keys(extra: &[String]) -> Vec<[u8; NAME_KEY_BYTES]> {
    let names = NAMES
        .iter()
        .copied()
        .chain(extra.iter().map(String::as_str));
    let mut keys: Vec<_> = names.map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The leading ASCII letters of a basename, zero padded, as the kernel program computes them.
fn key(name: &str) -> [u8; NAME_KEY_BYTES] {
    let mut key = [0; NAME_KEY_BYTES];
    let letters = name.bytes().take_while(u8::is_ascii_alphabetic);
    for (slot, letter) in key[..NAME_KEY_BYTES - 1].iter_mut().zip(letters) {
        *slot = letter;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_variants_of_a_tool_have_its_key() {
        let keys = keys(&["panelctl".to_owned()]);
        for basename in [
            "dash",
            "bash",
            "busybox",
            "iptables",
            "ip6tables",
            "iptables-restore",
            "xtables-nft-multi",
            "xtables-legacy-multi",
            "nft",
            "firewall-cmd",
            "python3.11",
            "perl5.36.0",
            "lua5.4",
            "ld-linux-x86-64.so.2",
            "ld-2.31.so",
            "netfilter-persistent",
            "zsh-static",
            "ksh93",
            "panelctl",
        ] {
            assert!(keys.contains(&key(basename)), "{basename}");
        }
        assert!(!keys.contains(&key("tiny")));
    }

    #[test]
    fn the_keys_fit_the_kernels_map() {
        assert!(keys(&[]).len() <= 200);
    }
}
