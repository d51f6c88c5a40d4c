//! Commands of nft from a seed.

/// Makes the same commands from the same seed.
pub(crate) struct Generator {
    state: u64,
}

const PORTS: &[&str] = &[
    "22",
    "ssh",
    "0x27c",
    "80-90",
    "{ 22, 80 }",
    "{ 22, 80-90, 443 }",
    "!= 22",
    "!= { 22, 23 }",
    "@ports",
    "> 1023",
    "<= 1023",
    "{22,23,24}",
    "!= 1-1023",
    "65535",
];
const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "10.0.0.0/8",
    "!= 10.0.0.1",
    "10.0.0.1-10.0.0.5",
    "{ 10.0.0.1, 10.0.0.3 }",
    "@hosts",
    "{ 10.0.0.0/8, 192.168.0.0/16 }",
    "0.0.0.0",
    "10.0.0.0-10.0.0.255",
    "10.1.2.3/16",
];
const ADDRESSES6: &[&str] = &[
    "::1",
    "fe80::/10",
    "!= 2001:db8::1",
    "{ ::1, ::2 }",
    "2001:db8::1-2001:db8::5",
];
const INTERFACES: &[&str] = &[
    "lo",
    "\"eth0\"",
    "\"eth*\"",
    "!= \"wg0\"",
    "{ \"eth0\", \"eth1\" }",
];
const STATES: &[&str] = &[
    "established",
    "new",
    "established,related",
    "{ new, established }",
    "invalid",
    "!= invalid",
    "untracked",
];
const OTHERS: &[&str] = &[
    "meta mark 0x1",
    "meta skuid 1000",
    "ct mark 0x10",
    "limit rate 10/minute burst 5 packets",
    "limit rate over 10 mbytes/second",
    "quota over 25 mbytes",
    "fib daddr type local",
    "tcp flags syn",
    "tcp flags & (fin | syn) == syn",
    "icmp type echo-request",
    "icmpv6 type echo-request",
    "ip ttl 64",
    "ip dscp cs1",
    "ct status dnat",
    "ct direction original",
    "meta pkttype broadcast",
    "meta cpu 0",
    "ether saddr 00:11:22:33:44:55",
    "tcp option maxseg size 500",
    "ct count over 20",
    "meta day \"Monday\"",
    "rt classid 1",
    "numgen inc mod 2 0",
    "ip saddr . tcp dport { 10.0.0.1 . 22 }",
    "@nh,97,15 0x5",
    "meta length > 100",
    "ct helper \"ftp\"",
    "socket transparent 1",
    "iifgroup 0",
    "ct bytes > 1000",
];
const STATEMENTS: &[&str] = &[
    "accept",
    "drop",
    "return",
    "continue",
    "jump d",
    "goto d",
    "reject",
    "reject with icmpx type admin-prohibited",
    "reject with tcp reset",
    "counter",
    "counter accept",
    "counter packets 1 bytes 2 drop",
    "log",
    "log prefix \"x: \" accept",
    "log prefix \"a b\" level warn drop",
    "meta mark set 0x5",
    "meta mark set 0x5 accept",
    "ct mark set meta mark",
    "notrack",
    "notrack accept",
    "queue num 0",
    "queue num 1-3 bypass",
    "masquerade",
    "redirect",
    "masquerade random",
    "tcp dport vmap @verdicts",
    "tcp dport vmap { 22 : accept, 23 : drop }",
    "ct state vmap { established : accept, invalid : drop }",
    "dnat ip to 10.0.0.1",
    "snat ip to 10.0.0.1",
    "add @hosts { ip saddr }",
    "update @hosts { ip saddr timeout 1m }",
    "ct zone set 1",
    "meta l4proto tcp redirect to :8080",
    "meta l4proto tcp dnat ip to 10.0.0.1:8080",
    "meta l4proto udp masquerade to :1024-65535",
    "ip dscp set cs1",
    "log flags all",
    "log group 2 snaplen 40",
];
const PLACES: &[&str] = &[
    "add rule inet t c",
    "insert rule inet t c",
    "rule inet t c",
    "inet t c",
    "add rule inet t c index 0",
    "add rule inet t c handle 9",
    "insert rule inet t c position 9",
    "replace rule inet t c handle 9",
];
const NOISE: &[&str] = &[
    "accept", "{", "}", "(", "tcp", "dport", ",", "22", "==", "@", "vmap", "foo", "ip", "saddr",
    "!=", "-", ":", "set", "ct", "\"x\"", ";", "to", "with", "comment",
];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn condition(&mut self) -> String {
        match self.below(9) {
            0 => format!("tcp dport {}", self.one_of(PORTS)),
            1 => format!("udp sport {}", self.one_of(PORTS)),
            2 => format!("ip saddr {}", self.one_of(ADDRESSES)),
            3 => format!("ip daddr {}", self.one_of(ADDRESSES)),
            4 => format!("ip6 saddr {}", self.one_of(ADDRESSES6)),
            5 => format!("iifname {}", self.one_of(INTERFACES)),
            6 => format!("oifname {}", self.one_of(INTERFACES)),
            7 => format!("ct state {}", self.one_of(STATES)),
            _ => self.one_of(OTHERS).to_owned(),
        }
    }

    /// What stands behind the chain.
    pub(crate) fn rule(&mut self) -> String {
        let mut rule = String::new();
        for _ in 0..self.below(3) {
            rule += &self.condition();
            rule.push(' ');
        }
        rule += self.one_of(STATEMENTS);
        if self.below(4) == 0 {
            rule += " comment \"tcp dport 636 accept\"";
        }
        rule
    }

    /// A command that adds a rule.
    pub(crate) fn command(&mut self) -> String {
        format!("{} {}", self.one_of(PLACES), self.rule())
    }

    /// A command of which one word is left out, put in or changed.
    pub(crate) fn spoiled_command(&mut self) -> String {
        let command = self.command();
        let mut words: Vec<&str> = command.split(' ').collect();
        let at = self.below(words.len());
        match self.below(3) {
            0 => {
                words.remove(at);
            }
            1 => words.insert(at, self.one_of(NOISE)),
            _ => words[at] = self.one_of(NOISE),
        }
        words.join(" ")
    }
}
