//! Seeds of the targets that read what changes a firewall.

use super::Seeds;
use netfilter_data::parse;

#[path = "../../../netfilter_data.rs"]
mod netfilter_data;

/// Recorded datagrams: those of one command each, and of all.
pub(super) fn netlink() -> Seeds {
    let cases = parse(include_str!("../../../data/netfilter.txt"));
    let of = |part: &str| -> Vec<u8> {
        let case = cases.iter().find(|case| case.command.contains(part));
        case.unwrap_or_else(|| panic!("no command has {part}"))
            .datagrams
            .concat()
    };
    let all = cases.iter().flat_map(|case| case.datagrams.concat());
    Seeds::from([
        ("table", of("add table inet t")),
        ("chain", of("add chain inet t c")),
        ("set", of("tcp dport '{ 80, 443, 8000-8010 }'")),
        ("state", of("ct state established,related")),
        ("interfaces", of("iifname")),
        ("all", all.collect()),
    ])
}

/// What the kernel handed out, whole and without the family before the first table.
pub(super) fn xtables() -> Seeds {
    let listing = include_bytes!("../../../data/xtables.listing");
    Seeds::from([
        ("listing", listing.to_vec()),
        ("table", listing.get(8..4096).unwrap_or_default().to_vec()),
    ])
}

/// As `/proc/PID/cmdline`, with the executable before it.
pub(super) fn command() -> Seeds {
    let line = |exe: &str, argv: &str| -> Vec<u8> {
        let words = [exe].into_iter().chain(argv.split(' '));
        words
            .flat_map(|word| [word.as_bytes(), b"\0"].concat())
            .collect()
    };
    let nft = |text: &str| -> Vec<u8> { ["/usr/sbin/nft\0nft\0", text, "\0"].concat().into() };
    let shell = "/usr/sbin/xtables-nft-multi";
    Seeds::from([
        (
            "iptables",
            line(shell, "iptables -I OUTPUT 1 -p tcp --dport 3269 -j ACCEPT"),
        ),
        (
            "iptables-matches",
            line(
                shell,
                "ip6tables -t nat -A PREROUTING ! -s fd00::/8 -i eth+ -p tcp -m multiport \
                 --dports 22,80:90 -m conntrack --ctstate NEW -j DNAT --to-destination [::1]:22",
            ),
        ),
        (
            "ebtables",
            line("", "ebtables -A FORWARD -p IPv4 --ip-dport 22 -j DROP"),
        ),
        (
            "restore",
            line("/usr/sbin/xtables-legacy-multi", "iptables-restore -n /etc/rules.v4"),
        ),
        (
            "nft",
            nft("add rule inet filter input tcp dport { 22, 80-90 } ct state new counter accept"),
        ),
        (
            "nft-set",
            nft("add element ip t s { 10.0.0.0/8 timeout 1h, 192.0.2.1-192.0.2.9 }; flush ruleset"),
        ),
        (
            "ufw",
            line("/usr/bin/python3.11", "python3 /usr/sbin/ufw insert 1 allow in on eth0 proto tcp from 10.0.0.0/8 to any port 22,80:90"),
        ),
        (
            "firewall-cmd",
            line("", "firewall-cmd --permanent --zone=public --add-port=8443/tcp --add-source=10.0.0.0/8"),
        ),
        (
            "firewall-cmd-rich",
            b"\0firewall-cmd\0--add-rich-rule=rule family=ipv4 source address=10.0.0.0/8 port port=22 protocol=tcp accept\0".to_vec(),
        ),
        (
            "ipset",
            line("/usr/sbin/ipset", "ipset add allowed 10.0.0.1,tcp:22 timeout 60 -exist"),
        ),
        (
            "systemctl",
            line("/usr/bin/systemctl", "systemctl --now disable nftables.service ufw"),
        ),
        // Repeated, its last word was searched for the end of a class at each character.
        (
            "systemctl-pattern",
            line("", "systemctl --now disable nftables.service ufw *."),
        ),
        ("sysctl", line("", "sysctl -w net.ipv4.ip_forward=1")),
        ("rmmod", line("/usr/bin/kmod", "rmmod nf_tables")),
    ])
}

pub(super) fn ruleset() -> Seeds {
    let restore = "# rules\n*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080\n\
                   COMMIT\n*filter\n:INPUT DROP [7:420]\n:own - [0:0]\n[1:60] -A INPUT -s 10.0.0.0/8 -m comment \
                   --comment \"the \\\"inside\\\"\" -j own\n-A own -p tcp -m multiport --dports 22,80:90 -j ACCEPT\nCOMMIT\n";
    let nft = "#!/usr/sbin/nft -f\nflush ruleset\ndefine inside = { 10.0.0.0/8, 192.168.0.0/16 }\n\
               table inet filter {\n\tset s {\n\t\ttype ipv4_addr . inet_service\n\t\tflags interval\n\
               \t\telements = { 10.0.0.1 . 22, 10.0.0.2 . 80-90 }\n\t}\n\tchain input {\n\
               \t\ttype filter hook input priority 0; policy drop;\n\t\tct state { established, related } accept\n\
               \t\tip saddr $inside tcp dport vmap { 22 : accept, 23 : drop } comment \"inside\"\n\
               \t\tip saddr . tcp dport @s counter log prefix \"s: \" accept\n\t}\n}\n";
    let commands = "add table ip t; add chain ip t c { type nat hook prerouting priority dstnat; }\n\
                    insert rule ip t c iifname \"eth*\" tcp dport 22 dnat to 192.0.2.1:2222 \\\n\
                    comment \"one\"\nadd element ip t s { 1, 2 }\ndelete table ip t\n";
    Seeds::from([
        ("iptables-save", restore.into()),
        ("nft-file", nft.into()),
        ("nft-commands", commands.into()),
    ])
}
