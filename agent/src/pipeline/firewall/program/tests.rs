//! Names, copies and programs in front of the tool.

use proptest::prelude::*;

use super::super::change::Operation;
use super::*;

fn of(exe: Option<&str>, line: &str) -> Option<(Tool, Command)> {
    let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    command_of(exe.map(str::as_bytes), &argv)
}

fn tool_of(exe: Option<&str>, line: &str) -> Option<Tool> {
    of(exe, line).map(|(tool, _)| tool)
}

#[test]
fn the_path_decides_and_not_the_name() {
    let flush = of(Some("/usr/sbin/nft"), "nft flush ruleset");
    assert!(matches!(flush, Some((Tool::Nft, Command::Changes(_)))));
    assert_eq!(
        of(Some("/usr/sbin/nft"), "kworker/0:1 flush ruleset"),
        flush
    );
    assert_eq!(of(None, "/sbin/nft flush ruleset"), flush);
    assert_eq!(of(Some("/tmp/x"), "nft flush ruleset"), flush);
    assert_eq!(of(Some("/usr/bin/python3.11"), "nft flush ruleset"), None);
    assert_eq!(of(Some("/usr/bin/cat"), "cat /usr/sbin/nft"), None);
    assert_eq!(command_of(Some(b"/usr/sbin/nft"), &[]), None);
}

/// iptables up to 1.6, as RHEL 7 and Ubuntu 18.04 have it.
#[test]
fn the_older_multi_call_binaries_are_tools_too() {
    for exe in ["/usr/sbin/xtables-multi", "/usr/sbin/xtables-compat-multi"] {
        assert!(may_be_tool(Some(exe.as_bytes()), b"x"));
        let flush = of(Some(exe), "iptables -w -t security --flush");
        assert!(
            matches!(flush, Some((Tool::Xtables, Command::Changes(_)))),
            "{exe}"
        );
    }
}

#[test]
fn scripts_are_found_behind_their_interpreter() {
    let python = Some("/usr/bin/python3.11");
    assert_eq!(
        tool_of(python, "/usr/bin/python3 /usr/sbin/ufw disable"),
        Some(Tool::Ufw)
    );
    assert_eq!(
        tool_of(
            python,
            "/usr/bin/python3 -sP /usr/bin/firewall-cmd --panic-off"
        ),
        Some(Tool::FirewallCmd)
    );
    assert_eq!(
        tool_of(
            python,
            "/usr/bin/python3 -Es /usr/bin/firewall-offline-cmd --disabled"
        ),
        Some(Tool::FirewallCmd)
    );
    assert_eq!(
        tool_of(
            Some("/usr/bin/dash"),
            "/bin/sh /usr/sbin/netfilter-persistent flush"
        ),
        Some(Tool::NetfilterPersistent)
    );
    assert_eq!(
        tool_of(Some("/usr/bin/dash"), "/bin/sh /etc/init.d/iptables stop"),
        Some(Tool::ServiceManager)
    );
    assert_eq!(
        tool_of(Some("/usr/bin/dash"), "/bin/sh /usr/sbin/service ufw stop"),
        Some(Tool::ServiceManager)
    );
    for line in [
        "python3 -W ignore /usr/sbin/ufw disable",
        "python3 -Xdev -- /usr/sbin/ufw disable",
        "python3 --not-yet-known /usr/sbin/ufw disable",
    ] {
        assert_eq!(tool_of(python, line), Some(Tool::Ufw), "{line}");
    }
    for line in [
        "bash -o pipefail /usr/sbin/netfilter-persistent flush",
        "bash --rcfile /x -m /usr/sbin/netfilter-persistent flush",
    ] {
        let found = tool_of(Some("/usr/bin/bash"), line);
        assert_eq!(found, Some(Tool::NetfilterPersistent), "{line}");
    }
    assert_eq!(tool_of(python, "python3 -m /usr/sbin/ufw disable"), None);
    assert_eq!(tool_of(Some("/usr/bin/bash"), "bash -c ufw disable"), None);
    assert_eq!(tool_of(Some("/usr/bin/bash"), "-bash"), None);
}

#[test]
fn loaders_and_multi_call_binaries_are_looked_through() {
    let loader = Some("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
    let line =
        "/lib64/ld-linux-x86-64.so.2 --library-path /tmp --argv0 x /usr/sbin/nft flush ruleset";
    assert_eq!(tool_of(loader, line), Some(Tool::Nft));
    assert_eq!(
        tool_of(loader, "/lib64/ld-linux-x86-64.so.2 --list /usr/sbin/nft"),
        None
    );
    assert_eq!(
        tool_of(
            Some("/lib/ld-musl-x86_64.so.1"),
            "ld.so /bin/busybox modprobe -r nf_tables"
        ),
        Some(Tool::Modules)
    );
    assert_eq!(
        tool_of(
            Some("/bin/busybox"),
            "busybox sysctl -w net.ipv4.ip_forward=1"
        ),
        Some(Tool::Sysctl)
    );
    assert_eq!(
        tool_of(Some("/bin/busybox"), "rmmod nf_tables"),
        Some(Tool::Modules)
    );
    assert_eq!(
        tool_of(Some("/usr/bin/kmod"), "modprobe -r nf_tables"),
        Some(Tool::Modules)
    );
    assert_eq!(tool_of(Some("/bin/busybox"), "busybox"), None);
}

#[test]
fn service_managers_are_tools_only_on_a_firewall() {
    assert_eq!(
        tool_of(Some("/usr/bin/systemctl"), "systemctl stop ufw"),
        Some(Tool::ServiceManager)
    );
    assert_eq!(
        tool_of(Some("/usr/bin/systemctl"), "systemctl stop nginx"),
        None
    );
    assert_eq!(
        tool_of(Some("/sbin/chkconfig"), "chkconfig iptables off"),
        Some(Tool::ServiceManager)
    );
    assert_eq!(
        tool_of(Some("/sbin/initctl"), "initctl stop ufw"),
        Some(Tool::ServiceManager)
    );
    assert_eq!(
        tool_of(Some("/usr/sbin/ipset"), "ipset flush"),
        Some(Tool::Ipset)
    );
    assert_eq!(
        tool_of(
            Some("/usr/sbin/netfilter-persistent"),
            "netfilter-persistent flush"
        ),
        Some(Tool::NetfilterPersistent)
    );
}

/// The lines of published intrusions and of Atomic Red Team (T1562.004, now T1686) that are no iptables.
#[test]
fn published_lines_open_something() {
    let lines = [
        "ufw disable",
        "ufw --force reset",
        "ufw default allow incoming",
        "ufw allow 8080/tcp",
        "ufw logging off",
        "systemctl stop firewalld",
        "systemctl disable firewalld",
        "systemctl stop firewalld.service",
        "systemctl mask --now firewalld",
        "systemctl stop ufw",
        "service iptables stop",
        "service ip6tables stop",
        "service firewalld stop",
        "service ufw stop",
        "/etc/init.d/iptables stop",
        "chkconfig iptables off",
        "chkconfig ip6tables off",
        "nft flush ruleset",
        "nft delete table inet filter",
        "nft add chain inet filter input { policy accept ; }",
        "nft -f /tmp/open.nft",
        "nft insert rule inet filter input tcp dport 636 accept",
        "nft add element inet filter open { 636 }",
        "nft add table inet filter { flags dormant; }",
        "firewall-cmd --set-default-zone=trusted",
        "firewall-cmd --permanent --add-port=8080/tcp",
        "firewall-cmd --panic-off",
        "ipset add allowed 203.0.113.7",
        "sysctl -w net.ipv4.ip_forward=1",
        "modprobe -r iptable_filter",
        "netfilter-persistent flush",
    ];
    for line in lines {
        let found = of(None, line);
        let is_change =
            matches!(&found, Some((_, Command::Changes(changes))) if !changes.is_empty());
        assert!(is_change, "{line}: {found:?}");
    }
}

#[test]
fn work_that_only_reads_is_quiet() {
    for line in [
        "nft list ruleset",
        "nft -j list tables",
        "ufw status verbose",
        "firewall-cmd --state",
        "ipset list",
        "systemctl status nftables",
        "nft -c -f /etc/nftables.conf",
    ] {
        let found = of(None, line);
        assert!(
            matches!(found, Some((_, Command::Query))),
            "{line}: {found:?}"
        );
    }
}

#[test]
fn iptables_is_known_by_its_name() {
    for name in [
        "iptables",
        "ip6tables-legacy",
        "iptables-nft",
        "arptables",
        "ebtables-save",
        "iptables-restore",
    ] {
        assert_eq!(tool(name.as_bytes()), Some(Tool::Xtables), "{name}");
    }
    assert_eq!(tool(b"iptablesx"), None);
}

#[test]
fn fronts_are_followed_a_few_times() {
    let loaders = "ld.so ".repeat(3);
    let line = format!("{loaders}nft flush ruleset");
    let deeper = format!("ld.so ld.so {line}");
    assert!(
        matches!(of(None, &line), Some((_, Command::Changes(changes))) if changes[0].operation == Operation::FlushRuleset)
    );
    assert_eq!(of(None, &deeper), None);
}

proptest! {
    #[test]
    fn any_argv_is_judged(exe in proptest::option::of(".{0,20}"), line in ".{0,60}") {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        command_of(exe.as_deref().map(str::as_bytes), &argv);
    }
}
