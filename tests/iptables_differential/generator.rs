//! Command lines that are made up: mostly sensible, now and then spoilt. The same seed gives the same ones.

/// The family of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// A word with addresses of this family for `{a}`, networks for `{n}`, and one with a full mask for `{m}`.
    pub(super) fn filled_in(self, word: &str) -> String {
        let [address, network, masked] = match self {
            Self::Ipv4 => ["192.0.2.9", "10.1.0.0/16", "10.1.2.3/255.255.0.0"],
            Self::Ipv6 => ["2001:db8::9", "2001:db8:1::/48", "2001:db8::9/ffff:ffff::"],
        };
        word.replace("{a}", address)
            .replace("{n}", network)
            .replace("{m}", masked)
    }
}

/// Numbers by xorshift (Marsaglia, «Xorshift RNGs», 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }
}

/// Endless command lines.
pub(super) fn command_lines(family: Family, seed: u64) -> impl Iterator<Item = Vec<String>> {
    let mut random = Random(seed);
    std::iter::repeat_with(move || {
        let text = rule(&mut random);
        let mut words: Vec<String> = text
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| family.filled_in(word))
            .collect();
        while random.one_in(3) {
            spoil(&mut words, &mut random);
        }
        words
    })
}

fn rule(random: &mut Random) -> String {
    let protocol = random.pick(&["tcp", "udp", "6", "17", "TCP", "Udp", "0x6", "021"]);
    let parts = [
        random
            .pick(&[
                "-A INPUT",
                "-I INPUT",
                "-AOUTPUT",
                "--append FORWARD",
                "--insert=INPUT",
                "-I OPEN 1",
            ])
            .to_owned(),
        address(random),
        format!(
            "{} {protocol}",
            random.pick(&["-p", "--protocol", "--prot", "! -p", "-p"])
        ),
        ports(random),
        condition(random),
        random
            .pick(&[
                "-j ACCEPT",
                "-jDROP",
                "--jump RETURN",
                "-j OPEN",
                "-g OPEN",
                "-j REJECT",
                "-j LOG",
                "",
            ])
            .to_owned(),
    ];
    let mut parts: Vec<String> = parts.to_vec();
    if random.one_in(4) {
        let (from, to) = (random.below(parts.len()), random.below(parts.len()));
        parts.swap(from, to);
    }
    parts.join(" ")
}

fn address(random: &mut Random) -> String {
    random
        .pick(&[
            "",
            "",
            "-s {a}",
            "-d {n}",
            "! -s {n}",
            "--source {a},{n}",
            "--dst={m}",
            "--src {a} --dest {a}",
            "-s{a}",
        ])
        .to_owned()
}

fn ports(random: &mut Random) -> String {
    let port = random.pick(&[
        "636",
        "ldaps",
        "0x27c",
        "01174",
        "630:640",
        ":1024",
        "1024:",
        "domain",
        "ssh:ldaps",
        "70000",
        "5:4",
    ]);
    let option = random.pick(&[
        "--dport",
        "--sport",
        "! --dport",
        "--destination-port",
        "--dpor",
        "--dp",
        "--sp",
        "--source-por",
    ]);
    match random.below(6) {
        0 => String::new(),
        1 => format!("{option}={port}"),
        2 => format!(
            "-m multiport {} {}",
            random.pick(&[
                "--dports",
                "--sports",
                "--ports",
                "! --dports",
                "--destination-po",
                "--por"
            ]),
            random.pick(&["636", "636,990", "1:5,ldaps", "0x27c,01174", "5:5", "1,,2"])
        ),
        _ => format!("{option} {port}"),
    }
}

fn condition(random: &mut Random) -> String {
    random
        .pick(&[
            "",
            "",
            "-i lo",
            "-i eth+",
            "! -o eth0",
            "-m conntrack --ctstate NEW,RELATED",
            "-m state --state est",
            "-m comment --comment --dport",
            "-m limit --limit 3/h",
            "-m mark --mark 0x10/0xff",
            "-m addrtype --src-type UNICAST",
            "-m iprange --dst-range {a}-{a}",
            "-c 1 2",
            "-v",
            "-w",
            "-m tcp",
            "-m udp",
        ])
        .to_owned()
}

/// Makes one word wrong, or merely unusual.
fn spoil(words: &mut Vec<String>, random: &mut Random) {
    if words.is_empty() {
        return;
    }
    let at = random.below(words.len());
    match random.below(6) {
        0 => drop(words.remove(at)),
        1 => words.insert(at, "!".into()),
        2 => words.insert(at, words[at].clone()),
        3 => words.insert(at, "stray".into()),
        _ if words[at].starts_with("--") => {
            let length = 3 + random.below(words[at].len());
            words[at].truncate(length);
        }
        _ => {}
    }
}
