//! What the kernel hands out of the older x_tables, and what it is read as.

use std::fs;
use std::path::Path;

use expect_test::expect_file;
use wallwatch::host::xtables::read;
use wallwatch::pipeline::firewall::xtables::{Tables, diff};

use super::{in_own_namespace, run, show};
use crate::harness::{data, in_guest};
use crate::kernel::can_run;

/// Everything that a rule is understood to ask for and to do, and some that it is not.
const RULES: &[&str] = &[
    "iptables-legacy -P FORWARD DROP",
    "iptables-legacy -N ban",
    "iptables-legacy -N empty",
    "iptables-legacy -A INPUT -p tcp --dport 636 -j ACCEPT",
    "iptables-legacy -A INPUT ! -s 203.0.113.0/24 -d 192.0.2.1 -p udp --sport 1000:2000 ! --dport 53 -j DROP",
    "iptables-legacy -A INPUT -s 10.0.8.0/255.0.255.0 -j DROP",
    "iptables-legacy -A FORWARD -i eth+ ! -o wlan0 -j RETURN",
    "iptables-legacy -A INPUT ! -p icmp -f -j DROP",
    "iptables-legacy -A INPUT -p tcp -m multiport --dports 22,80:90 -j ban",
    "iptables-legacy -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -g empty",
    "iptables-legacy -A INPUT -m iprange --src-range 198.51.100.3-198.51.100.9 -j LOG",
    "iptables-legacy -A INPUT -m limit --limit 5/minute -m comment --comment \"it's counted\"",
    "iptables-legacy -A ban -p tcp -j REJECT --reject-with tcp-reset",
    "iptables-legacy -t nat -A PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 42391",
    "iptables-legacy -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 203.0.113.9:443",
    "iptables-legacy -t nat -A POSTROUTING -j MASQUERADE",
    "iptables-legacy -t mangle -A OUTPUT -j MARK --set-mark 7",
    "iptables-legacy -t raw -A PREROUTING -p udp -j NOTRACK",
    "ip6tables-legacy -A INPUT -s 2001:db8::/32 -p tcp --dport 443 -j ACCEPT",
    "ip6tables-legacy -A INPUT -d 2001:db8::1 ! -i lo -j REJECT",
    "ip6tables-legacy -t nat -A OUTPUT -p tcp --dport 80 -j DNAT --to-destination [2001:db8::2]:443",
];

#[test]
fn legacy_tables_are_read_as_they_were_made() {
    if !can_run("legacy_tables_are_read_as_they_were_made") {
        return;
    }
    in_own_namespace(|_| {
        // That of this thread, and not of the process.
        let proc = Path::new("/proc/thread-self");
        assert_eq!(
            read(proc).unwrap().bytes(),
            b"",
            "nothing is asked for that is not there"
        );
        let names = fs::read_to_string(proc.join("net/ip_tables_names")).unwrap();
        assert_eq!(names, "", "and nothing is made by reading");
        for rule in RULES {
            run(rule);
        }
        let listing = read(proc).expect("read the tables");
        let tables = listing.decode().expect("they make sense");
        assert_eq!(tables.errors().next(), None);
        let changes = diff(&Tables::default(), &tables);
        let lines = changes.iter().flat_map(|table| &table.changes).map(show);
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        if in_guest() {
            eprintln!("the tables were read; they were not compared: a guest has no sources");
            return;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(data().join("xtables.listing"), listing.bytes()).unwrap();
        }
        expect_file!["../../data/xtables.txt"].assert_eq(&text);
        run("iptables-legacy -D INPUT 3");
        let later = read(proc).unwrap().decode().unwrap();
        let gone = diff(&tables, &later);
        let gone: Vec<String> = gone
            .iter()
            .flat_map(|table| &table.changes)
            .map(show)
            .collect();
        assert_eq!(
            gone,
            ["XtablesLegacy Ipv4 filter INPUT: delete rule: from 10.0.8.0/255.0.255.0 drop"]
        );
    });
}
