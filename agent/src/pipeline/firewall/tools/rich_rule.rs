//! The rich language of firewalld (firewalld.richlanguage(5)).

use crate::pipeline::firewall::change::{Addresses, Family, Negatable, Ports, Rule, Target};
use crate::pipeline::firewall::names;

use super::operand::{self, plain};

/// A rule and the family it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RichRule {
    pub family: Option<Family>,
    pub rule: Rule,
}

/// Reads `rule family="ipv4" source address="10.0.0.0/8" port port="22" protocol="tcp" accept`. `None` when it is
/// no rule.
pub fn parse(text: &[u8]) -> Option<RichRule> {
    let words = words(text);
    let (first, rest) = words.split_first()?;
    if first.key != b"rule" {
        return None;
    }
    let mut rich = RichRule::default();
    let mut element: &[u8] = b"rule";
    let mut is_negated = false;
    for Word { key, value } in rest {
        match value {
            None if key.eq_ignore_ascii_case(b"not") => is_negated = true,
            None => {
                element = key;
                is_negated = false;
                rich.element(element);
            }
            Some(value) => rich.attribute(element, key, value, is_negated)?,
        }
    }
    Some(rich)
}

/// `key` or `key="value"`.
struct Word {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Words are split at blanks, as `shlex` does: quotes of both kinds hold together.
fn words(text: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut key = Vec::new();
    let mut value: Option<Vec<u8>> = None;
    let mut quote = None;
    for &byte in text.iter().chain(b" ") {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b' ' | b'\t' | b'\n') => {
                if !key.is_empty() {
                    words.push(Word {
                        key: std::mem::take(&mut key),
                        value: value.take(),
                    });
                }
            }
            (None, b'=') if value.is_none() => value = Some(Vec::new()),
            _ => value.as_mut().unwrap_or(&mut key).push(byte),
        }
    }
    words
}

impl RichRule {
    /// A word without a value.
    fn element(&mut self, word: &[u8]) {
        let target = match word {
            b"accept" => Target::Accept,
            b"reject" => Target::Reject,
            b"drop" => Target::Drop,
            b"mark" => Target::Mark,
            b"masquerade" => Target::Masquerade,
            b"log" | b"nflog" | b"audit" if self.rule.target.is_none() => Target::Log,
            _ => return,
        };
        self.rule.target = Some(target);
    }

    fn attribute(&mut self, element: &[u8], key: &[u8], value: &[u8], negated: bool) -> Option<()> {
        match (element, key) {
            (b"rule", b"family") => {
                self.family = Some(match value {
                    b"ipv4" => Family::Ipv4,
                    b"ipv6" => Family::Ipv6,
                    _ => return None,
                });
            }
            (b"source", b"address") => self.rule.sources = addresses(value, negated),
            (b"destination", b"address") => self.rule.destinations = addresses(value, negated),
            (b"source", b"ipset") => {
                let value = vec![Addresses::Set(value.to_vec())];
                self.rule.sources = Some(Negatable { value, negated });
            }
            (b"port", b"port") => self.rule.destination_ports = ports(value)?,
            (b"source-port", b"port") => self.rule.source_ports = ports(value)?,
            (b"port" | b"source-port" | b"forward-port", b"protocol") | (b"protocol", b"value") => {
                self.rule.protocol = names::protocol(value).map(plain);
            }
            (b"service", b"name") => service(&mut self.rule, value),
            (b"forward-port", b"port") => self.rule.destination_ports = ports(value)?,
            (b"forward-port", b"to-port" | b"to-addr") => self.forward(key, value),
            (b"source" | b"icmp-block" | b"icmp-type" | b"destination", _) => {
                let text = [element, key, value].join(&b' ');
                self.rule.other_matches.push(text);
            }
            _ => {}
        }
        Some(())
    }

    fn forward(&mut self, key: &[u8], value: &[u8]) {
        let mut to = match self.rule.target.take() {
            Some(Target::Dnat { to }) => to,
            _ => Vec::new(),
        };
        if key == b"to-port" {
            to.push(b':');
            to.extend_from_slice(value);
        } else {
            to.splice(0..0, value.iter().copied());
        }
        self.rule.target = Some(Target::Dnat { to });
    }
}

fn addresses(value: &[u8], negated: bool) -> Option<Negatable<Vec<Addresses>>> {
    let value = vec![operand::addresses(value)];
    Some(Negatable { value, negated })
}

/// `22` or `6000-6007`; `None` when it is neither.
fn ports(value: &[u8]) -> Option<Option<Negatable<Ports>>> {
    let range = operand::ports(value, b'-')?;
    Some(Some(plain(Ports::Ranges(vec![range]))))
}

/// The ports of a service that has the name of a port. What other services stand for is written in files of
/// firewalld.
pub(super) fn service(rule: &mut Rule, name: &[u8]) {
    match names::port(name) {
        Some(port) => rule.destination_ports = Some(plain(Ports::Ranges(vec![port..=port]))),
        None => rule.other_matches.push([b"service ", name].concat()),
    }
}
