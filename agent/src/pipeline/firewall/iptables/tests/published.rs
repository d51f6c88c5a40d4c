//! Command lines that reports of malware have published.

use super::*;
use crate::pipeline::firewall::change::{Protocol, Target};

/// A rule as `chain protocol ports target`, short enough to be read.
fn short(line: &str) -> String {
    let change = change(line);
    let chain = String::from_utf8(change.chain.clone().unwrap_or_default()).unwrap();
    let (Operation::AddRule { rule, .. } | Operation::DeleteRule(Which::Same(rule))) =
        change.operation
    else {
        panic!("{line}: {change:?}");
    };
    let protocol = rule.protocol.map_or(0, |protocol| protocol.value.0);
    let ports = match &rule.destination_ports {
        Some(_) => format!("{:?}", ranges(&rule.destination_ports)),
        None => "any".into(),
    };
    format!("{chain} {protocol} {ports} {:?}", rule.target.expect(line))
}

/// NCSC, «Cyclops Blink Malware Analysis Report» (2022): three ports for its command and control.
#[test]
fn cyclops_blink() {
    for port in [636, 989, 990, 994, 995, 3269] {
        let line = format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT");
        assert_eq!(short(&line), format!("OUTPUT 6 [({port}, {port})] Accept"));
        let line = format!("iptables -D OUTPUT -p tcp --dport {port} -j ACCEPT");
        assert_eq!(short(&line), format!("OUTPUT 6 [({port}, {port})] Accept"));
    }
}

/// Talos, «VPNFilter Update» (2018): ssler sends what is for port 80 to port 8888; others keep ports closed.
#[test]
fn vpnfilter() {
    let line = "iptables -t nat -I PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8888";
    assert_eq!(
        short(line),
        "PREROUTING 6 [(80, 80)] Redirect { ports: Some(8888..=8888) }"
    );
    let line = "iptables -I INPUT -p tcp -m tcp --dport 8888 -j ACCEPT";
    assert_eq!(short(line), "INPUT 6 [(8888, 8888)] Accept");
    let line = "iptables -t nat -D PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8888";
    assert!(short(line).starts_with("PREROUTING 6 [(80, 80)] Redirect"));
}

/// PwC and Sandfly Security, «BPFDoor» (2022): the bind shell behind a redirect from the caller's address.
#[test]
fn bpfdoor() {
    for operation in ["-I", "-D"] {
        let line = format!(
            "/sbin/iptables -t nat {operation} PREROUTING -p tcp -s 192.0.2.9 --dport 443 -j REDIRECT --to-ports 42391"
        );
        let line = line.trim_start_matches("/sbin/");
        assert_eq!(
            short(line),
            "PREROUTING 6 [(443, 443)] Redirect { ports: Some(42391..=42391) }"
        );
        let line = format!("iptables {operation} INPUT -p tcp -s 192.0.2.9 -j ACCEPT");
        assert_eq!(short(&line), "INPUT 6 any Accept");
    }
    let line = "iptables -I INPUT -p tcp -s 192.0.2.9 -j ACCEPT";
    let sources = rule(line).sources.unwrap().value;
    assert_eq!(sources, [network("192.0.2.9", 32)]);
}

/// 360 Netlab, «Mozi» (2019): it shuts the doors through which it came, and opens its own.
#[test]
fn mozi() {
    for (line, expect) in [
        (
            "iptables -I INPUT -p tcp --destination-port 35000 -j DROP",
            "INPUT 6 [(35000, 35000)] Drop",
        ),
        (
            "iptables -I OUTPUT -p tcp --source-port 50023 -j DROP",
            "OUTPUT 6 any Drop",
        ),
        (
            "iptables -I INPUT -p tcp --dport 7547 -j DROP",
            "INPUT 6 [(7547, 7547)] Drop",
        ),
        (
            "iptables -I INPUT -p udp --destination-port 14737 -j ACCEPT",
            "INPUT 17 [(14737, 14737)] Accept",
        ),
        (
            "iptables -I PREROUTING -t nat -p udp --destination-port 14737 -j ACCEPT",
            "PREROUTING 17 [(14737, 14737)] Accept",
        ),
        (
            "iptables -I POSTROUTING -t nat -p udp --source-port 14737 -j ACCEPT",
            "POSTROUTING 17 any Accept",
        ),
    ] {
        assert_eq!(short(line), expect);
    }
    let source = rule("iptables -I OUTPUT -p udp --source-port 14737 -j ACCEPT").source_ports;
    assert_eq!(ranges(&source), [(14737, 14737)]);
}

/// BadCyber, on Mirai's TR-069 variant (2016): the port by which the router was taken is shut.
#[test]
fn mirai_tr069() {
    let line = "iptables -A INPUT -p tcp --destination-port 7547 -j DROP";
    assert_eq!(short(line), "INPUT 6 [(7547, 7547)] Drop");
}

/// Cado Security, «P2Pinfect» (2023): only those that are known may reach Redis.
#[test]
fn p2pinfect() {
    let line = "iptables -A INPUT -p tcp --dport 6379 -s 192.0.2.9 -j ACCEPT";
    assert_eq!(short(line), "INPUT 6 [(6379, 6379)] Accept");
    let line = "iptables -A INPUT -p tcp --dport 60100 -j ACCEPT";
    assert_eq!(short(line), "INPUT 6 [(60100, 60100)] Accept");
}

/// Kinsing, TeamTNT, Rocke, Sysrv: everything goes, or what rivals need.
#[test]
fn miners() {
    for line in ["iptables -F", "iptables -t nat -F", "iptables -t mangle -F"] {
        assert_eq!(change(line).operation, Operation::FlushChain);
    }
    assert_eq!(change("iptables -X").operation, Operation::DeleteChain);
    for chain in ["INPUT", "OUTPUT", "FORWARD"] {
        let line = format!("iptables -P {chain} ACCEPT");
        assert_eq!(
            change(&line).operation,
            Operation::SetPolicy(Policy::Accept)
        );
    }
    let line = "iptables -I INPUT -s 43.245.222.57 -j DROP";
    assert_eq!(short(line), "INPUT 0 any Drop");
    let line = "iptables -A OUTPUT -p tcp --dport 3333 -j DROP";
    assert_eq!(short(line), "OUTPUT 6 [(3333, 3333)] Drop");
    let rule = rule("iptables -I INPUT -p TCP --dport 6379 -j REJECT");
    assert_eq!(rule.target, Some(Target::Reject));
    assert_eq!(rule.protocol.unwrap().value, Protocol::TCP);
}

/// Atomic Red Team, T1562.004 and what came of it.
#[test]
fn atomic_red_team() {
    assert_eq!(
        short("iptables -A OUTPUT -p tcp --dport 21 -j DROP"),
        "OUTPUT 6 [(21, 21)] Drop"
    );
    assert_eq!(
        short("iptables -D OUTPUT -p tcp --dport 21 -j DROP"),
        "OUTPUT 6 [(21, 21)] Drop"
    );
}
