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
    UNITS.iter().copied().filter(move |unit| {
        let full = [unit.as_bytes(), b".service"].concat();
        fits(name, unit.as_bytes()) || fits(name, &full)
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

/// Whether a pattern of `*`, `?` and `[…]` fits all of a name.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Where to go on when what stands behind the last star does not fit.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(behind) = pattern.strip_prefix(b"*") {
            retry = Some((behind, name));
            pattern = behind;
            continue;
        }
        match (one(pattern, name), name.split_first()) {
            (Some(behind), Some((_, rest))) => (pattern, name) = (behind, rest),
            _ if pattern.is_empty() && name.is_empty() => return true,
            _ => match retry {
                Some((behind, [_, rest @ ..])) => {
                    retry = Some((behind, rest));
                    (pattern, name) = (behind, rest);
                }
                _ => return false,
            },
        }
    }
}

/// What stands behind the part of the pattern that the first character of `name` fits.
fn one<'p>(pattern: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    let (&wanted, behind) = pattern.split_first()?;
    let &first = name.first()?;
    // To look for the end of a class at each character would read a long pattern again and again.
    let class = || behind.iter().skip(1).position(|&byte| byte == b']');
    match wanted {
        b'?' => Some(behind),
        b'[' if let Some(end) = class() => {
            let (members, rest) = behind.split_at_checked(end + 1)?;
            let is_member = in_class(members, first);
            is_member.then(|| rest.get(1..)).flatten()
        }
        _ => (wanted == first).then_some(behind),
    }
}

/// `abc`, `a-z`, `!abc`.
fn in_class(members: &[u8], byte: u8) -> bool {
    let (negated, mut rest) = match members {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, members),
    };
    let mut found = false;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match behind {
            [b'-', last, behind @ ..] => {
                found |= (first..=*last).contains(&byte);
                rest = behind;
            }
            _ => found |= first == byte,
        }
    }
    found != negated
}
