//! Units that are a firewall.

use crate::pipeline::firewall::change::{Backend, FirewallChange, Operation, UnitVerb};

use super::change;

/// The names of units, without `.service`, of which each loads or drops a whole ruleset.
pub const UNITS: &[&str] = &[
    "nftables",
    "iptables",
    "ip6tables",
    "arptables",
    "ebtables",
    "ipset",
    "ufw",
    "firewalld",
    "netfilter-persistent",
    "iptables-persistent",
    "shorewall",
    "shorewall6",
    "shorewall-lite",
    "shorewall6-lite",
    "ferm",
    "firehol",
    "csf",
    "lfd",
    "SuSEfirewall2",
    "arno-iptables-firewall",
];

/// How many changes one command line may stand for; a pattern of stars fits every unit.
const CHANGES_MAX: usize = 1 << 10;

/// The firewalls among the units that `name` stands for: a path, a pattern of `glob(7)`, with its suffix or
/// without.
pub(super) fn firewalls(name: &[u8]) -> impl Iterator<Item = &'static str> {
    let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let pattern = Pattern::read(name);
    UNITS.iter().copied().filter(move |unit| {
        pattern.as_ref().is_some_and(|pattern| {
            let full = [unit.as_bytes(), b".service"].concat();
            pattern.fits(unit.as_bytes()) || pattern.fits(&full)
        })
    })
}

/// Each verb on each firewall among `names`, in the order of the names.
pub(super) fn changes(verbs: &[UnitVerb], names: &[&[u8]]) -> Vec<FirewallChange> {
    let units = names.iter().flat_map(|name| firewalls(name));
    let all = units.flat_map(|unit| {
        verbs.iter().map(move |&verb| {
            let unit = unit.as_bytes().to_vec();
            change(Backend::Service, Operation::Unit { verb, unit })
        })
    });
    all.take(CHANGES_MAX).collect()
}

/// A part of a pattern of `glob(7)`.
enum Part {
    /// `*`, also several.
    Any,
    /// One byte of these, by its bit.
    One([u128; 2]),
}

/// A pattern that is read once, whatever it is compared with: it may be as long as an argument, and may come from
/// anybody.
struct Pattern(Vec<Part>);

/// No unit above has a name of so many bytes, its suffix included.
const NAME_BYTES_MAX: usize = 64;

impl Pattern {
    /// `None` for one that only longer names fit.
    fn read(mut text: &[u8]) -> Option<Self> {
        let mut parts = Vec::new();
        let mut bytes = 0;
        while let Some((&first, behind)) = text.split_first() {
            text = behind;
            if first == b'*' {
                if !matches!(parts.last(), Some(Part::Any)) {
                    parts.push(Part::Any);
                }
                continue;
            }
            let mut set = [0; 2];
            match first {
                b'?' => set = [u128::MAX; 2],
                b'[' if let Some(end) = behind.iter().skip(1).position(|&byte| byte == b']') => {
                    let (members, rest) = behind.split_at(end + 1);
                    set = class(members);
                    text = &rest[1..];
                }
                byte => insert(&mut set, byte),
            }
            parts.push(Part::One(set));
            bytes += 1;
            if bytes > NAME_BYTES_MAX {
                return None;
            }
        }
        Some(Self(parts))
    }

    /// Whether it fits all of a name.
    fn fits(&self, name: &[u8]) -> bool {
        let (mut parts, mut name) = (&self.0[..], name);
        // Where to go on when what stands behind the last star does not fit.
        let mut retry: Option<(&[Part], &[u8])> = None;
        loop {
            match (parts, name) {
                ([Part::Any, behind @ ..], _) => {
                    retry = Some((behind, name));
                    parts = behind;
                    continue;
                }
                ([Part::One(set), behind @ ..], [byte, rest @ ..]) if contains(set, *byte) => {
                    (parts, name) = (behind, rest);
                    continue;
                }
                ([], []) => return true,
                _ => {}
            }
            let Some((behind, [_, rest @ ..])) = retry else {
                return false;
            };
            retry = Some((behind, rest));
            (parts, name) = (behind, rest);
        }
    }
}

fn insert(set: &mut [u128; 2], byte: u8) {
    set[usize::from(byte >> 7)] |= 1 << (byte & 127);
}

fn contains(set: &[u128; 2], byte: u8) -> bool {
    set[usize::from(byte >> 7)] >> (byte & 127) & 1 == 1
}

/// `abc`, `a-z`, `!abc`.
fn class(members: &[u8]) -> [u128; 2] {
    let (negated, mut rest) = match members {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, members),
    };
    let mut set = [0; 2];
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match behind {
            [b'-', last, behind @ ..] => {
                (first..=*last).for_each(|byte| insert(&mut set, byte));
                rest = behind;
            }
            _ => insert(&mut set, first),
        }
    }
    if negated { set.map(|bits| !bits) } else { set }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_as_glob_has_it() {
        for (pattern, name, fits) in [
            ("nftables", "nftables", true),
            ("nft*", "nftables", true),
            ("*tables", "iptables", true),
            ("*t*b*", "iptables", true),
            ("?ptables", "iptables", true),
            ("[a-j]ptables", "iptables", true),
            ("[!i]ptables", "iptables", false),
            ("[^x]ptables", "iptables", true),
            ("[]i]ptables", "iptables", true),
            ("[iptables", "iptables", false),
            ("iptables?", "iptables", false),
            ("", "iptables", false),
            ("***", "iptables", true),
        ] {
            let read = Pattern::read(pattern.as_bytes()).unwrap();
            assert_eq!(read.fits(name.as_bytes()), fits, "{pattern} {name}");
        }
        let longest = UNITS.iter().map(|unit| unit.len() + ".service".len()).max();
        assert!(longest < Some(NAME_BYTES_MAX));
        assert!(Pattern::read(&[b'a'; NAME_BYTES_MAX + 1]).is_none());
    }
}
