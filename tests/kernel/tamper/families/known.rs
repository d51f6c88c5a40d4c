//! The families, with what is published of their command lines. Addresses are those of RFC 5737.

use super::Family;

/// Firewalls as they stood before: one that drops.
const CLOSED: &str = "iptables -P INPUT DROP; iptables -A INPUT -p tcp --dport 22 -j DROP; iptables -A OUTPUT -p tcp --dport 21 -j DROP";

/// The same, of which ufw believes that it is its own.
const UFW: &str = "iptables -P INPUT DROP; iptables -A INPUT -p tcp --dport 22 -j DROP; sed -i s/ENABLED=no/ENABLED=yes/ /etc/ufw/ufw.conf";

const fn atomic(
    name: &'static str,
    commands: &'static str,
    script: &'static str,
    findings: &'static [&'static str],
) -> Family {
    Family {
        name,
        source: "Atomic Red Team, T1562.004 (T1686)",
        commands,
        set_up: CLOSED,
        script,
        parity: false,
        findings,
    }
}

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "Cyclops Blink",
        source: "NCSC, 2022",
        commands: "iptables -I OUTPUT -p tcp --dport 636 -j ACCEPT &>/dev/null",
        set_up: "",
        script: "mv \"$1/stub\" \"$1/cpd\"; \"$1/cpd\" cyclops",
        parity: true,
        findings: &["accept-opened"],
    },
    Family {
        name: "VPNFilter",
        source: "Talos, 2018",
        commands: "iptables -t nat -I PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8888",
        set_up: "",
        script: "mv \"$1/stub\" \"$1/ssler\"; \"$1/ssler\" system 'iptables -I INPUT -p tcp -m tcp --dport 8888 -j ACCEPT' 'iptables -t nat -I PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8888'",
        parity: false,
        findings: &["accept-opened", "redirect-added"],
    },
    Family {
        name: "BPFDoor",
        source: "PwC and Sandfly Security, 2022",
        commands: "iptables -t nat -A PREROUTING -p tcp -s 192.0.2.9 --dport 443 -j REDIRECT --to-ports 42391",
        set_up: "",
        script: "cp \"$1/stub\" \"$1/kdmtmpflush\"; \"$1/stub\" exec '/sbin/udevd -d' \"$1/kdmtmpflush\" system \
                 '/sbin/iptables -t nat -D PREROUTING -p tcp -s 192.0.2.9 --dport 443 -j REDIRECT --to-ports 42391' \
                 '/sbin/iptables -t nat -A PREROUTING -p tcp -s 192.0.2.9 --dport 443 -j REDIRECT --to-ports 42391' \
                 '/sbin/iptables -I INPUT -p tcp -s 192.0.2.9 -j ACCEPT'",
        parity: false,
        findings: &["accept-opened", "redirect-added"],
    },
    Family {
        name: "Mozi",
        source: "360 Netlab, 2019",
        commands: "iptables -I INPUT -p tcp --destination-port 35000 -j DROP",
        set_up: "",
        script: "mv \"$1/stub\" \"$1/Mozi.a\"; \"$1/Mozi.a\" system \
                 'iptables -I INPUT -p tcp --destination-port 35000 -j DROP' \
                 'iptables -I OUTPUT -p tcp --source-port 50023 -j DROP' \
                 'iptables -I INPUT -p tcp --dport 7547 -j DROP' \
                 'iptables -I INPUT -p udp --destination-port 14737 -j ACCEPT' \
                 'iptables -I PREROUTING -t nat -p udp --destination-port 14737 -j ACCEPT'",
        parity: false,
        findings: &["accept-opened", "rival-blocked"],
    },
    Family {
        name: "Mirai, TR-069",
        source: "BadCyber, 2016",
        commands: "iptables -A INPUT -p tcp --destination-port 7547 -j DROP",
        set_up: "",
        script: "mv \"$1/stub\" \"$1/2\"; \"$1/2\" system 'iptables -A INPUT -p tcp --destination-port 7547 -j DROP'",
        parity: false,
        findings: &["rival-blocked"],
    },
    Family {
        name: "P2Pinfect",
        source: "Cado Security, 2023",
        commands: "iptables -A INPUT -p tcp --dport 60100 -j ACCEPT",
        set_up: "",
        script: "mv \"$1/stub\" \"$1/bash\"; \"$1/bash\" system \
                 'iptables -A INPUT -p tcp --dport 6379 -s 192.0.2.9 -j ACCEPT' \
                 'iptables -A INPUT -p tcp --dport 6379 -j DROP' \
                 'iptables -A INPUT -p tcp --dport 60100 -j ACCEPT'",
        parity: false,
        findings: &["accept-opened"],
    },
    Family {
        name: "Sysrv",
        source: "the loader `ldr.sh`, 2021",
        commands: "ufw disable; iptables -P INPUT ACCEPT; iptables -F",
        set_up: UFW,
        script: "echo 'ufw disable; iptables -P INPUT ACCEPT; iptables -P OUTPUT ACCEPT; iptables -P FORWARD ACCEPT; iptables -F' > \"$1/ldr.sh\"; bash \"$1/ldr.sh\"",
        parity: false,
        findings: &[
            "config-edited",
            "drop-removed",
            "firewall-stopped",
            "policy-opened",
            "ruleset-flushed",
        ],
    },
    Family {
        name: "Rocke",
        source: "the loader, 2020",
        commands: "ufw disable; iptables -F",
        set_up: UFW,
        script: "printf '#!/bin/sh\\nufw disable\\niptables -F\\n' > \"$1/update.sh\"; chmod +x \"$1/update.sh\"; \"$1/update.sh\"",
        parity: false,
        findings: &[
            "config-edited",
            "drop-removed",
            "firewall-stopped",
            "policy-opened",
            "ruleset-flushed",
        ],
    },
    Family {
        name: "Kinsing",
        source: "Aqua Security, 2020",
        commands: "ufw disable; iptables -F (on a shell's standard input)",
        set_up: UFW,
        script: "printf 'ufw disable\\niptables -F\\n' | bash",
        parity: false,
        findings: &[
            "config-edited",
            "drop-removed",
            "firewall-stopped",
            "policy-opened",
            "ruleset-flushed",
        ],
    },
    Family {
        name: "TeamTNT",
        source: "Cado Security, 2020",
        commands: "iptables -F; iptables -X; iptables -t nat -F; iptables -P INPUT ACCEPT",
        set_up: CLOSED,
        script: "echo 'iptables -F; iptables -X; iptables -t nat -F; iptables -P INPUT ACCEPT' > \"$1/init.sh\"; sh \"$1/init.sh\"",
        parity: false,
        findings: &["drop-removed", "policy-opened", "ruleset-flushed"],
    },
    Family {
        name: "ChinaZ",
        source: "MalwareMustDie, 2015",
        commands: "service iptables stop",
        set_up: "",
        script: "echo 'service iptables stop; SuSEfirewall2 stop; reSuSEfirewall2 stop' > \"$1/x.sh\"; bash \"$1/x.sh\" || true",
        parity: false,
        findings: &["firewall-stopped"],
    },
    Family {
        set_up: UFW,
        ..atomic(
            "Atomic: stop ufw",
            "ufw disable",
            "sh -c 'ufw disable'",
            &[
                "config-edited",
                "firewall-stopped",
                "policy-opened",
                "ruleset-flushed",
            ],
        )
    },
    atomic(
        "Atomic: stop ufw by systemctl",
        "systemctl stop ufw",
        "sh -c 'systemctl stop ufw' || true",
        &["firewall-stopped"],
    ),
    atomic(
        "Atomic: no more log",
        "ufw logging off",
        "sh -c 'ufw logging off'",
        &["config-edited"],
    ),
    atomic(
        "Atomic: a rule comes and goes",
        "ufw prepend deny from 1.2.3.4; ufw delete 1",
        "sh -c 'ufw prepend deny from 1.2.3.4; ufw status numbered; echo y | ufw delete 1'",
        &["config-edited", "drop-removed"],
    ),
    atomic(
        "Atomic: ufw's rules",
        "echo … >> /etc/ufw/user.rules",
        "sh -c 'echo \"# THIS IS A COMMENT\" >> /etc/ufw/user.rules'",
        &["config-edited"],
    ),
    atomic(
        "Atomic: ufw's settings",
        "echo … >> /etc/ufw/ufw.conf",
        "sh -c 'echo \"# THIS IS A COMMENT\" >> /etc/ufw/ufw.conf'",
        &["config-edited"],
    ),
    atomic(
        "Atomic: ufw's sysctl",
        "echo … >> /etc/ufw/sysctl.conf",
        "sh -c 'echo \"# THIS IS A COMMENT\" >> /etc/ufw/sysctl.conf'",
        &["config-edited"],
    ),
    atomic(
        "Atomic: ufw's policies",
        "echo … >> /etc/default/ufw",
        "sh -c 'echo \"# THIS IS A COMMENT\" >> /etc/default/ufw'",
        &["config-edited"],
    ),
    atomic(
        "Atomic: everything goes",
        "iptables -F",
        "sh -c 'iptables-save > \"$0/iptables.rules\"; iptables -F' \"$1\"",
        &["drop-removed", "ruleset-flushed"],
    ),
    atomic(
        "Atomic: a rule that dropped goes",
        "iptables -D OUTPUT -p tcp --dport 21 -j DROP",
        "sh -c 'iptables -D OUTPUT -p tcp --dport 21 -j DROP'",
        &["drop-removed"],
    ),
    atomic(
        "Atomic: the log is read",
        "tail /var/log/ufw.log",
        "sh -c 'tail /var/log/ufw.log' || true",
        &[],
    ),
];
