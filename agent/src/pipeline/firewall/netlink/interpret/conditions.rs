//! What a rule asks for, subject by subject, and in the end as a rule.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::super::attribute::until_nul;
use super::super::element;
use super::super::field::{Part, Subject, Version};
use super::super::ruleset::SetContent;
use super::VALUES_MAX;
use super::test::Test;
use crate::pipeline::firewall::change::{Addresses, Backend, Negatable, Ports, Protocol, Rule};

/// What fits one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Numbers: addresses, ports, protocols.
    Ranges(Vec<RangeInclusive<u128>>),
    /// Interfaces, states.
    Words(Vec<Vec<u8>>),
    /// The members of a set, by its name.
    Set(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) values: Values,
    pub(crate) negated: bool,
}

pub(crate) struct Conditions {
    backend: Backend,
    version: Option<Version>,
    known: BTreeMap<Subject, Condition>,
    others: Vec<Vec<u8>>,
}

impl Conditions {
    pub(crate) fn new(backend: Backend) -> Self {
        Self {
            backend,
            version: None,
            known: BTreeMap::new(),
            others: Vec::new(),
        }
    }

    /// A condition that is not understood in detail, by its name.
    pub(crate) fn other(&mut self, name: Vec<u8>) {
        if !self.others.contains(&name) {
            self.others.push(name);
        }
    }

    pub(super) fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// The protocol, when there is just one.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        let condition = self.known.get(&Subject::Protocol)?;
        match (&condition.values, condition.negated) {
            (Values::Ranges(ranges), false) => single(ranges).map(Protocol),
            _ => None,
        }
    }

    /// Adds one; two about one subject must both hold.
    pub(crate) fn add(&mut self, subject: Subject, condition: Condition) {
        let Some(there) = self.known.get_mut(&subject) else {
            self.known.insert(subject, condition);
            return;
        };
        if *there == condition {
            return;
        }
        match (&mut *there, &condition) {
            (
                Condition {
                    values: Values::Ranges(old),
                    negated: false,
                },
                Condition {
                    values: Values::Ranges(new),
                    negated: false,
                },
            ) => *old = intersection(old, new),
            _ => self.other(subject.name().as_bytes().to_vec()),
        }
    }

    /// Whether the test is understood; then the rule asks for it.
    pub(super) fn hold(&mut self, parts: &[Part], test: &Test) -> bool {
        let conditions: Option<Vec<_>> = parts
            .iter()
            .map(|&part| Some((part.subject, self.condition(part, test)?)))
            .collect();
        let Some(conditions) = conditions.filter(|conditions| !conditions.is_empty()) else {
            return false;
        };
        for (subject, condition) in conditions {
            self.add(subject, condition);
        }
        true
    }

    fn condition(&self, part: Part, test: &Test) -> Option<Condition> {
        let values = match part.subject {
            Subject::InInterface | Subject::OutInterface => {
                Values::Words(vec![self.interface(part, test.value()?)?])
            }
            Subject::State => Values::Words(states(test.value()?)?),
            Subject::Protocol
            | Subject::Source(_)
            | Subject::Destination(_)
            | Subject::SourcePort
            | Subject::DestinationPort
            | Subject::EitherPort => Values::Ranges(vec![test.of_part(part)?]),
        };
        Some(Condition {
            values,
            negated: test.is_negated(),
        })
    }

    /// A name that is compared without the NUL behind it stands for all that begin so.
    fn interface(&self, part: Part, value: &[u8]) -> Option<Vec<u8>> {
        // By its index: only that of the loopback is the same everywhere (`LOOPBACK_IFINDEX`,
        // `include/net/flow.h`).
        if part.bytes == 4 && value.len() == 4 {
            let index = u32::from_ne_bytes(value.try_into().ok()?);
            return (index == 1).then(|| b"lo".to_vec());
        }
        let mut name = until_nul(value);
        if name.len() == value.len() && name.len() < 16 {
            let is_theirs = self.backend == Backend::XtablesNft;
            name.push(if is_theirs { b'+' } else { b'*' });
        }
        Some(name)
    }

    /// The key of a set, or of a map, is made of those parts.
    pub(super) fn member(
        &mut self,
        parts: &[Part],
        name: &[u8],
        content: Option<&SetContent>,
        negated: bool,
    ) {
        let is_pair = parts.len() > 1;
        if is_pair {
            // Which value goes with which is left out.
            self.other(b"concatenation".to_vec());
        }
        for &part in parts {
            if is_pair && negated {
                continue;
            }
            let values = content
                .filter(|content| content.set.is_anonymous())
                .and_then(|content| expand(part, content))
                .unwrap_or_else(|| Values::Set(name.to_vec()));
            self.add(part.subject, Condition { values, negated });
        }
    }

    pub(crate) fn into_rule(mut self) -> Rule {
        let mut rule = Rule::default();
        for (subject, condition) in std::mem::take(&mut self.known) {
            if !put(&mut rule, subject, &condition) {
                self.other(in_words(subject, &condition));
            }
        }
        let version = match self.version {
            Some(Version::V4) => Some("meta nfproto ipv4"),
            Some(Version::V6) => Some("meta nfproto ipv6"),
            None => None,
        };
        if let Some(version) = version
            && rule.sources.is_none()
            && rule.destinations.is_none()
        {
            self.other(version.as_bytes().to_vec());
        }
        rule.other_matches = self.others;
        rule
    }
}

/// The values of an anonymous set; `None` when they are too many, or no such values.
fn expand(part: Part, content: &SetContent) -> Option<Values> {
    let spans = content.spans()?;
    if spans.is_empty() || spans.len() > VALUES_MAX {
        return None;
    }
    let words = |of: fn(&[u8]) -> Option<Vec<Vec<u8>>>| {
        let lists = spans
            .iter()
            .map(|span| of(span.first.get(part.skip..part.skip + part.bytes)?));
        let lists: Option<Vec<_>> = lists.collect();
        Some(Values::Words(lists?.concat()))
    };
    match part.subject {
        Subject::InInterface | Subject::OutInterface => {
            words(|name| (name.len() == 16).then(|| vec![until_nul(name)]))
        }
        Subject::State => words(states),
        Subject::Protocol
        | Subject::Source(_)
        | Subject::Destination(_)
        | Subject::SourcePort
        | Subject::DestinationPort
        | Subject::EitherPort => {
            let mut ranges: Vec<_> = spans
                .iter()
                .map(|span| span.numbers(part.skip, part.bytes))
                .collect::<Option<_>>()?;
            ranges.dedup();
            Some(Values::Ranges(ranges))
        }
    }
}

/// Writes a condition into the rule; `false` when the rule has no word for it.
fn put(rule: &mut Rule, subject: Subject, condition: &Condition) -> bool {
    let Condition { values, negated } = condition;
    let negated = *negated;
    match subject {
        Subject::Protocol => fill(&mut rule.protocol, protocol(values), negated),
        Subject::Source(version) => fill(&mut rule.sources, addresses(values, version), negated),
        Subject::Destination(version) => {
            fill(&mut rule.destinations, addresses(values, version), negated)
        }
        Subject::SourcePort => fill(&mut rule.source_ports, ports(values), negated),
        Subject::DestinationPort => fill(&mut rule.destination_ports, ports(values), negated),
        Subject::EitherPort => fill(&mut rule.either_ports, ports(values), negated),
        Subject::InInterface => fill(&mut rule.in_interface, single_word(values), negated),
        Subject::OutInterface => fill(&mut rule.out_interface, single_word(values), negated),
        Subject::State => fill(&mut rule.states, words(values), negated),
    }
}

/// `false`: there is no value, or one already (of the other version of IP).
fn fill<T>(place: &mut Option<Negatable<T>>, value: Option<T>, negated: bool) -> bool {
    let (None, Some(value)) = (&place, value) else {
        return false;
    };
    *place = Some(Negatable { value, negated });
    true
}

fn protocol(values: &Values) -> Option<Protocol> {
    match values {
        Values::Ranges(ranges) => single(ranges).map(Protocol),
        Values::Words(_) | Values::Set(_) => None,
    }
}

fn words(values: &Values) -> Option<Vec<Vec<u8>>> {
    match values {
        Values::Words(words) => Some(words.clone()),
        Values::Ranges(_) | Values::Set(_) => None,
    }
}

fn single_word(values: &Values) -> Option<Vec<u8>> {
    let words = words(values)?;
    let mut words = words.into_iter();
    let first = words.next()?;
    words.next().is_none().then_some(first)
}

fn addresses(values: &Values, version: Version) -> Option<Vec<Addresses>> {
    match values {
        Values::Ranges(ranges) if !ranges.is_empty() => {
            let bytes = version.address_bytes();
            let all = ranges.iter();
            Some(all.map(|range| element::addresses(range, bytes)).collect())
        }
        Values::Set(name) => Some(vec![Addresses::Set(name.clone())]),
        Values::Ranges(_) | Values::Words(_) => None,
    }
}

fn ports(values: &Values) -> Option<Ports> {
    match values {
        Values::Ranges(ranges) => {
            let ports: Option<Vec<_>> = ranges.iter().map(element::ports).collect();
            Some(Ports::Ranges(ports?))
        }
        Values::Set(name) => Some(Ports::Set(name.clone())),
        Values::Words(_) => None,
    }
}

fn single(ranges: &[RangeInclusive<u128>]) -> Option<u8> {
    match ranges {
        [range] if range.start() == range.end() => u8::try_from(*range.start()).ok(),
        _ => None,
    }
}

fn intersection(
    old: &[RangeInclusive<u128>],
    new: &[RangeInclusive<u128>],
) -> Vec<RangeInclusive<u128>> {
    let pairs = old.iter().flat_map(|a| new.iter().map(move |b| (a, b)));
    pairs
        .map(|(a, b)| *a.start().max(b.start())..=*a.end().min(b.end()))
        .filter(|range| range.start() <= range.end())
        .take(VALUES_MAX)
        .collect()
}

/// A condition that the rule has no field for, as nft writes it.
fn in_words(subject: Subject, condition: &Condition) -> Vec<u8> {
    let mut text = subject.name().as_bytes().to_vec();
    text.extend_from_slice(if condition.negated { b" != " } else { b" " });
    let values: Vec<Vec<u8>> = match &condition.values {
        Values::Set(name) => vec![[b"@", name.as_slice()].concat()],
        Values::Words(words) => words.clone(),
        Values::Ranges(ranges) => ranges
            .iter()
            .map(|range| match range.start() == range.end() {
                true => range.start().to_string().into_bytes(),
                false => format!("{}-{}", range.start(), range.end()).into_bytes(),
            })
            .collect(),
    };
    text.extend_from_slice(&values.join(&b", "[..]));
    text
}

/// `NF_CT_STATE_INVALID_BIT` and its kin, `include/uapi/linux/netfilter/nf_conntrack_common.h`. In the order
/// of the host. `None` when there is a bit that is not known.
fn states(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    const STATES: &[(u32, &str)] = &[
        (1, "invalid"),
        (2, "established"),
        (4, "related"),
        (8, "new"),
        (64, "untracked"),
    ];
    let bits = u32::from_ne_bytes(value.try_into().ok()?);
    let known = STATES.iter().filter(|(bit, _)| bits & bit != 0);
    let covered: u32 = known.clone().map(|(bit, _)| bit).sum();
    let names = known.map(|(_, name)| name.as_bytes().to_vec());
    (covered == bits && bits != 0).then(|| names.collect())
}
