//! How a tool is started, and which one: lines 8, 11, 19 and 22.

use super::{Group, case};

pub(super) const GROUPS: &[Group] = &[
    Group {
        needs: &[],
        apart: false,
        set_up: "",
        cases: &[
            case(
                8,
                "a file handed to a shell",
                "echo 'iptables -A OUTPUT -p tcp --dport 6101 -j ACCEPT' > \"$1/x.sh\"; sh \"$1/x.sh\"",
                "accept-opened",
                "6101",
            ),
            case(
                8,
                "a here-document",
                "sh <<'END'\niptables -A OUTPUT -p tcp --dport 6102 -j ACCEPT\nEND",
                "accept-opened",
                "6102",
            ),
            case(
                8,
                "a script with its interpreter in the first line",
                "printf '#!/bin/sh\\niptables -A OUTPUT -p tcp --dport 6103 -j ACCEPT\\n' > \"$1/run\"; chmod +x \"$1/run\"; \"$1/run\"",
                "accept-opened",
                "6103",
            ),
            case(
                8,
                "a file that a shell reads in",
                "echo 'iptables -A OUTPUT -p tcp --dport 6104 -j ACCEPT' > \"$1/in.sh\"; . \"$1/in.sh\"",
                "accept-opened",
                "6104",
            ),
            case(
                22,
                "a shell of its own for each rule",
                "for port in 6105 6106 6107; do sh -c \"iptables -A OUTPUT -p tcp --dport $port -j ACCEPT\"; done",
                "accept-opened",
                "6107",
            ),
            case(
                22,
                "drop by drop, from parents of all kinds",
                "sh -c 'iptables -A OUTPUT -p tcp --dport 6108 -j ACCEPT'; sleep 0.3
                 bash -c 'iptables -A OUTPUT -p tcp --dport 6109 -j ACCEPT; true'; sleep 0.3
                 setsid env iptables -A OUTPUT -p tcp --dport 6110 -j ACCEPT",
                "accept-opened",
                "6110",
            ),
            case(
                22,
                "one port, where the analytic counts to three",
                "\"$1/stub\" system 'iptables -I OUTPUT -p tcp --dport 8443 -j ACCEPT >/dev/null 2>&1'",
                "accept-opened",
                "dport 8443",
            ),
        ],
    },
    Group {
        needs: &["/usr/bin/python3", "perl", "awk"],
        apart: false,
        set_up: "",
        cases: &[
            case(
                19,
                "Python",
                "echo 'import os; os.system(\"iptables -A OUTPUT -p tcp --dport 6111 -j ACCEPT\")' > \"$1/x.py\"; /usr/bin/python3 \"$1/x.py\"",
                "accept-opened",
                "6111",
            ),
            case(
                19,
                "Python without a shell",
                "/usr/bin/python3 -c 'import subprocess; subprocess.run(\"iptables -A OUTPUT -p tcp --dport 6112 -j ACCEPT\".split())'",
                "accept-opened",
                "6112",
            ),
            case(
                19,
                "Perl",
                "echo 'system(\"iptables -A OUTPUT -p tcp --dport 6113 -j ACCEPT\");' > \"$1/x.pl\"; perl \"$1/x.pl\"",
                "accept-opened",
                "6113",
            ),
            case(
                19,
                "awk",
                "awk 'BEGIN { system(\"iptables -A OUTPUT -p tcp --dport 6114 -j ACCEPT\") }'",
                "accept-opened",
                "6114",
            ),
        ],
    },
    Group {
        needs: &["ufw", "systemctl", "service"],
        apart: true,
        set_up: "",
        cases: &[
            case(
                11,
                "ufw allow",
                "ufw allow 6115/tcp",
                "accept-opened",
                "6115",
            ),
            case(
                11,
                "ufw's policy",
                "ufw default allow incoming",
                "policy-opened",
                "policy accept",
            ),
            case(
                11,
                "ufw disable",
                "ufw disable",
                "firewall-stopped",
                "disable",
            ),
            case(
                11,
                "systemctl stop",
                "systemctl stop nftables || true",
                "firewall-stopped",
                "stop nftables",
            ),
            case(
                11,
                "service stop",
                "service iptables stop || true",
                "firewall-stopped",
                "stop iptables",
            ),
        ],
    },
    Group {
        needs: &["firewall-cmd"],
        apart: true,
        set_up: "",
        cases: &[case(
            11,
            "firewall-cmd (firewalld does not run)",
            "firewall-cmd --add-port=6116/tcp || true",
            "accept-opened",
            "6116",
        )],
    },
];
