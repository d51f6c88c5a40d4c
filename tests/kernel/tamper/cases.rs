//! The ways: what is run, and what must be found. A marker (a port, a name) tells one case's evidence from
//! another's, for what one lineage does is one finding.

mod hiding;
mod launching;

/// A way, in a `bash` of its own, with the folder of the test as `$1`.
pub(super) struct Case {
    /// In the list of evasions.
    pub(super) number: u32,
    pub(super) technique: &'static str,
    pub(super) script: &'static str,
    pub(super) finding: &'static str,
    pub(super) marker: &'static str,
}

/// Cases that one agent sees; a finding lists so many changes and no more.
pub(super) struct Group {
    /// Programs without which they cannot be walked, beyond those that every guest has.
    pub(super) needs: &'static [&'static str],
    /// Whether each is walked away from the host's services; see [`APART`](super::APART).
    pub(super) apart: bool,
    /// Before the agent starts.
    pub(super) set_up: &'static str,
    pub(super) cases: &'static [Case],
}

const fn case(
    number: u32,
    technique: &'static str,
    script: &'static str,
    finding: &'static str,
    marker: &'static str,
) -> Case {
    Case {
        number,
        technique,
        script,
        finding,
        marker,
    }
}

/// All of them.
pub(super) fn groups() -> impl Iterator<Item = &'static Group> {
    GROUPS.iter().chain(launching::GROUPS).chain(hiding::GROUPS)
}

const GROUPS: &[Group] = &[
    Group {
        needs: &[],
        apart: false,
        set_up: "iptables -P INPUT DROP; iptables -A INPUT -p tcp --dport 6000 -j DROP",
        cases: &[
            case(
                1,
                "an abbreviated option",
                "iptables -A INPUT -p tcp --dpor 6001 -j ACCEPT",
                "accept-opened",
                "6001",
            ),
            case(
                1,
                "the option's other name, and an equals sign",
                "iptables -A INPUT -p tcp --destination-port=6002 -j ACCEPT",
                "accept-opened",
                "6002",
            ),
            case(
                2,
                "a protocol by its number, a port in hexadecimal",
                "iptables -A INPUT -p 6 --dport 0x1773 -j ACCEPT",
                "accept-opened",
                "6003",
            ),
            case(
                2,
                "a service's name",
                "iptables -A INPUT -p tcp --dport ldaps -j ACCEPT",
                "accept-opened",
                "dport 636",
            ),
            case(
                3,
                "a range",
                "iptables -A INPUT -p tcp --dport 6004:6009 -j ACCEPT",
                "accept-opened",
                "6004-6009",
            ),
            case(
                3,
                "multiport",
                "iptables -A INPUT -p tcp -m multiport --dports 6010,6011 -j ACCEPT",
                "accept-opened",
                "6010",
            ),
            case(
                4,
                "the chain's policy",
                "iptables -P INPUT ACCEPT",
                "policy-opened",
                "policy accept",
            ),
            case(
                4,
                "a rule that dropped is deleted by its number",
                "iptables -D INPUT 1",
                "drop-removed",
                "6000",
            ),
            case(
                4,
                "everything is flushed",
                "iptables -F",
                "drop-removed",
                "6000",
            ),
        ],
    },
    Group {
        needs: &[],
        apart: false,
        set_up: "",
        cases: &[
            case(
                5,
                "RETURN before the rules that drop",
                "iptables -I INPUT -p tcp --dport 6020 -j RETURN",
                "accept-opened",
                "6020",
            ),
            case(
                5,
                "REDIRECT (BPFDoor)",
                "iptables -t nat -A PREROUTING -p tcp -s 203.0.113.9 --dport 22 -j REDIRECT --to-ports 42391",
                "redirect-added",
                "42391",
            ),
            case(
                5,
                "DNAT",
                "iptables -t nat -A PREROUTING -p tcp --dport 6021 -j DNAT --to-destination 203.0.113.9:443",
                "redirect-added",
                "6021",
            ),
            case(
                5,
                "no connection tracking",
                "iptables -t raw -A PREROUTING -p tcp --dport 6022 -j NOTRACK",
                "accept-opened",
                "6022",
            ),
            case(
                6,
                "silenced another way than the rule's",
                "iptables -A OUTPUT -p tcp --dport 6023 -j ACCEPT >/dev/null 2>&1",
                "accept-opened",
                "6023",
            ),
            case(
                7,
                "quotes within the name",
                "sh -c 'ip\"\"tables -A OUTPUT -p tcp --dport 6024 -j ACCEPT &>/dev/null'",
                "accept-opened",
                "6024",
            ),
            case(
                8,
                "a script on standard input",
                "echo 'iptables -A OUTPUT -p tcp --dport 6025 -j ACCEPT' | sh",
                "accept-opened",
                "6025",
            ),
            case(
                9,
                "no shell at all",
                "exec iptables -A OUTPUT -p tcp --dport 6026 -j ACCEPT",
                "accept-opened",
                "6026",
            ),
        ],
    },
    Group {
        needs: &[],
        apart: false,
        set_up: "",
        cases: &[
            case(
                10,
                "iptables-legacy",
                "iptables-legacy -A INPUT -p tcp --dport 6030 -j ACCEPT",
                "accept-opened",
                "6030",
            ),
            case(
                10,
                "ip6tables",
                "ip6tables -A INPUT -p tcp --dport 6031 -j ACCEPT",
                "accept-opened",
                "6031",
            ),
            case(
                10,
                "the multi-call binary",
                "xtables-nft-multi iptables -A INPUT -p tcp --dport 6032 -j ACCEPT",
                "accept-opened",
                "6032",
            ),
            case(
                10,
                "iptables-restore from standard input",
                "printf '*filter\\n-A INPUT -p tcp --dport 6033 -j ACCEPT\\nCOMMIT\\n' | iptables-restore -n",
                "accept-opened",
                "6033",
            ),
            case(
                11,
                "nft",
                "nft add table inet w; nft add chain inet w c '{ type filter hook input priority 0; }'; nft add rule inet w c tcp dport 6034 accept",
                "accept-opened",
                "6034",
            ),
            case(
                11,
                "nft from a file",
                "echo 'add rule inet w c tcp dport 6035 accept' > \"$1/f\"; nft -f \"$1/f\"",
                "accept-opened",
                "6035",
            ),
            case(
                11,
                "nft from standard input",
                "echo 'add rule inet w c tcp dport 6036 accept' | nft -f -",
                "accept-opened",
                "6036",
            ),
            case(
                11,
                "a flush of the whole ruleset",
                "nft add table inet wx; nft flush ruleset",
                "ruleset-flushed",
                "inet wx: delete table",
            ),
        ],
    },
    Group {
        needs: &[],
        apart: false,
        set_up: "nft add table inet w; nft add chain inet w c '{ type filter hook input priority 0; }'; nft add set inet w allowed '{ type inet_service; }'; nft add rule inet w c tcp dport @allowed accept; nft add set inet w banned '{ type ipv4_addr; }'; nft add element inet w banned '{ 203.0.113.60 }'; nft add rule inet w c ip saddr @banned drop; nft add rule inet w c tcp dport 6050 drop",
        cases: &[
            case(
                4,
                "a rule that dropped is replaced by one that counts",
                "nft replace rule inet w c handle \"$(nft -a list chain inet w c | sed -n 's/.*dport 6050.*handle //p')\" counter",
                "drop-removed",
                "6050",
            ),
            case(
                5,
                "a jump in front of the rules that drop",
                "nft add chain inet w ok6051; nft insert rule inet w c jump ok6051",
                "accept-opened",
                "ok6051",
            ),
            case(
                12,
                "setsockopt without a tool",
                "\"$1/stub\" xtables-replace marked6040",
                "change-without-tool",
                "marked6040",
            ),
            case(
                13,
                "a renamed copy of nft",
                "cp \"$(command -v nft)\" \"$1/helper\"; \"$1/helper\" add rule inet w c tcp dport 6041 accept",
                "change-without-tool",
                "6041",
            ),
            case(
                13,
                "another argv[0]",
                "exec -a sshd nft add rule inet w c tcp dport 6042 accept",
                "tool-disguised",
                "6042",
            ),
            case(
                14,
                "an executable that is deleted when it runs",
                "cp \"$(command -v nft)\" \"$1/nft\"; (exec 7<\"$1/nft\"; rm \"$1/nft\"; exec -a nft /proc/self/fd/7 add rule inet w c tcp dport 6043 accept)",
                "tool-disguised",
                "6043",
            ),
            case(
                14,
                "the loader in front",
                "\"$(ls /lib*/ld-linux-*.so.* | head -1)\" \"$(command -v nft)\" add rule inet w c tcp dport 6044 accept",
                "accept-opened",
                "6044",
            ),
            case(
                15,
                "a process dressed as a kernel thread",
                "\"$1/stub\" exec '[kworker/6:45]' \"$1/stub\" tell \"$1/told\"",
                "kernel-thread-disguise",
                "kworker/6:45",
            ),
            case(
                21,
                "a double fork with setsid",
                "setsid sh -c 'nft add rule inet w c tcp dport 6046 accept & wait'",
                "accept-opened",
                "6046",
            ),
            case(
                28,
                "an element of a set that lets pass",
                "nft add element inet w allowed '{ 6047 }'",
                "set-opened",
                "6047",
            ),
            case(
                28,
                "a ban is lifted",
                "nft delete element inet w banned '{ 203.0.113.60 }'",
                "set-opened",
                "delete from banned",
            ),
            case(
                28,
                "the dormant flag",
                "nft add table inet dormant6048 '{ flags dormant; }'; nft add table inet w '{ flags dormant; }'",
                "table-disabled",
                "inet w: switch off",
            ),
        ],
    },
];
