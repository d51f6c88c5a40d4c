//! Service managers, and what depends on the kernel.

use super::*;

fn systemctl(line: &str) -> Option<Command> {
    systemctl::parse(&words(line))
}

fn unit(verb: UnitVerb, unit: &str) -> Operation {
    Operation::Unit {
        verb,
        unit: unit.as_bytes().to_vec(),
    }
}

fn done(line: &str) -> Vec<Operation> {
    operations(systemctl(line).expect(line))
}

#[test]
fn units_are_stopped_disabled_and_masked() {
    assert_eq!(done("stop nftables"), [unit(UnitVerb::Stop, "nftables")]);
    assert_eq!(done("stop ufw.service"), [unit(UnitVerb::Stop, "ufw")]);
    assert_eq!(
        done("--no-block -q stop firewalld"),
        [unit(UnitVerb::Stop, "firewalld")]
    );
    assert_eq!(
        done("stop -q nginx iptables ip6tables"),
        [
            unit(UnitVerb::Stop, "iptables"),
            unit(UnitVerb::Stop, "ip6tables")
        ]
    );
    assert_eq!(
        done("disable --now firewalld"),
        [
            unit(UnitVerb::Disable, "firewalld"),
            unit(UnitVerb::Stop, "firewalld")
        ]
    );
    assert_eq!(done("mask firewalld"), [unit(UnitVerb::Mask, "firewalld")]);
    assert_eq!(done("mask --now firewalld").len(), 2);
    assert_eq!(
        done("kill -s KILL firewalld"),
        [unit(UnitVerb::Kill, "firewalld")]
    );
    assert_eq!(
        done("restart nftables.service"),
        [unit(UnitVerb::Restart, "nftables")]
    );
    assert_eq!(
        done("try-reload-or-restart ufw"),
        [unit(UnitVerb::Reload, "ufw")]
    );
    assert_eq!(
        done("enable --now ufw"),
        [unit(UnitVerb::Enable, "ufw"), unit(UnitVerb::Start, "ufw")]
    );
    assert_eq!(
        done("disable /lib/systemd/system/nftables.service"),
        [unit(UnitVerb::Disable, "nftables")]
    );
    assert_eq!(
        done("set-property ufw CPUQuota=1%"),
        [other("set-property ufw")]
    );
}

#[test]
fn patterns_fit_units() {
    assert_eq!(done("stop nft*"), [unit(UnitVerb::Stop, "nftables")]);
    assert_eq!(done("stop *tables.service").len(), 5);
    assert_eq!(
        done("stop ip[0-9]tables"),
        [unit(UnitVerb::Stop, "ip6tables")]
    );
    assert_eq!(done("stop uf?"), [unit(UnitVerb::Stop, "ufw")]);
    assert!(done("stop *").len() > 10);
    assert_eq!(systemctl("stop [!a-z]*x"), None);
}

#[test]
fn what_is_no_firewall_or_not_here_is_no_change() {
    assert_eq!(systemctl("stop nginx"), None);
    assert_eq!(systemctl("daemon-reload"), None);
    assert_eq!(systemctl("restart fail2ban"), None);
    for line in [
        "-H admin@other stop ufw",
        "-Mbox stop ufw",
        "--user stop ufw",
        "status ufw",
        "is-active firewalld",
        "show -p Id ufw",
        "--root=/mnt disable ufw",
    ] {
        assert_eq!(systemctl(line), Some(Command::Query), "{line}");
    }
    assert!(systemctl("--frobnicate stop ufw").is_some_and(|command| is_rejected(&command)));
    assert!(systemctl("stpo ufw").is_some_and(|command| is_rejected(&command)));
}

#[test]
fn services_and_init_scripts() {
    let service = |line: &str| sysv::service(&words(line));
    assert_eq!(
        single(service("iptables stop").unwrap()),
        unit(UnitVerb::Stop, "iptables")
    );
    assert_eq!(
        single(service("--ifstarted nftables stop").unwrap()),
        unit(UnitVerb::Stop, "nftables")
    );
    assert_eq!(
        single(service("iptables save").unwrap()),
        other("save iptables")
    );
    assert_eq!(
        single(service("netfilter-persistent flush").unwrap()),
        Operation::FlushRuleset
    );
    assert_eq!(service("ufw status"), Some(Command::Query));
    assert_eq!(service("--status-all"), None);
    assert_eq!(service("nginx stop"), None);
    let script = sysv::script(b"/etc/init.d/ip6tables", &[b"stop"]);
    assert_eq!(single(script.unwrap()), unit(UnitVerb::Stop, "ip6tables"));
}

#[test]
fn services_at_boot() {
    let at_boot = |line: &str| sysv::at_boot(&words(line));
    assert_eq!(
        single(at_boot("iptables off").unwrap()),
        unit(UnitVerb::Disable, "iptables")
    );
    assert_eq!(
        single(at_boot("--del iptables").unwrap()),
        unit(UnitVerb::Disable, "iptables")
    );
    assert_eq!(
        single(at_boot("-f ufw remove").unwrap()),
        unit(UnitVerb::Disable, "ufw")
    );
    assert_eq!(
        single(at_boot("del nftables default").unwrap()),
        unit(UnitVerb::Disable, "nftables")
    );
    assert_eq!(at_boot("nginx off"), None);
}

#[test]
fn stored_rulesets_are_loaded_and_flushed() {
    let persistent = |line: &str| netfilter_persistent::parse(&words(line));
    let stored = Operation::Load {
        source: RulesetSource::Stored,
        flushes: true,
    };
    assert_eq!(single(persistent("start")), stored);
    assert_eq!(single(persistent("reload")), stored);
    assert_eq!(single(persistent("flush")), Operation::FlushRuleset);
    assert_eq!(single(persistent("save")), other("save"));
    assert_eq!(
        single(persistent("stop")),
        unit(UnitVerb::Stop, "netfilter-persistent")
    );
    assert!(is_rejected(&persistent("frobnicate")));
}

#[test]
fn settings_of_the_kernel() {
    let sysctl = |line: &str| kernel::sysctl(&words(line));
    assert_eq!(
        single(sysctl("-w net.ipv4.ip_forward=1").unwrap()),
        other("net.ipv4.ip_forward=1")
    );
    assert_eq!(
        single(sysctl("-q net/ipv4/conf/all/route_localnet=1").unwrap()),
        other("net/ipv4/conf/all/route_localnet=1")
    );
    assert_eq!(sysctl("net.ipv4.ip_forward"), None);
    assert_eq!(sysctl("-w vm.swappiness=1"), None);
}

#[test]
fn modules_of_netfilter() {
    let modprobe = |line: &str| kernel::modprobe(&words(line));
    assert_eq!(
        single(modprobe("-r nf_tables").unwrap()),
        Operation::Disable
    );
    assert_eq!(
        single(modprobe("-rf iptable-filter").unwrap()),
        Operation::Disable
    );
    assert_eq!(
        single(modprobe("--remove xt_conntrack").unwrap()),
        other("remove module xt_conntrack")
    );
    assert_eq!(modprobe("-rn nf_tables"), Some(Command::Query));
    assert_eq!(modprobe("nf_tables"), None);
    assert_eq!(modprobe("-r e1000"), None);
    assert_eq!(
        operations(kernel::rmmod(&words("-f ip_tables.ko ext4")).unwrap()),
        [Operation::Disable]
    );
}
