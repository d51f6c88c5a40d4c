//! ufw(8), as ufw 0.36 reads its arguments (`ufw/parser.py`).

use crate::pipeline::firewall::change::{
    Addresses, Backend, Command, Family, FirewallChange, Negatable, Operation, Policy, Ports,
    Position, Rule, RulesetSource, Target, Which,
};
use crate::pipeline::firewall::names;

use super::operand::{self, plain};
use super::{change, rejected, single};

/// The chains that ufw gives its user's rules.
const CHAIN_IN: &[u8] = b"ufw-user-input";
const CHAIN_OUT: &[u8] = b"ufw-user-output";
const CHAIN_ROUTE: &[u8] = b"ufw-user-forward";

type Words<'w, 'a> = &'w [&'a [u8]];

/// What `ufw ARGUMENTS` means.
pub fn parse(arguments: &[&[u8]]) -> Command {
    let (is_dry, words) = without(arguments, &[b"--dry-run"]);
    let (_, words) = without(words, &[b"--force", b"-f"]);
    let command = meaning(words);
    if is_dry && matches!(command, Command::Changes(_)) {
        return Command::Query;
    }
    command
}

/// Takes the first word away if it is one of these.
fn without<'w, 'a>(words: Words<'w, 'a>, options: &[&[u8]]) -> (bool, Words<'w, 'a>) {
    match words.split_first() {
        Some((first, rest)) if options.contains(&first.to_ascii_lowercase().as_slice()) => {
            (true, rest)
        }
        _ => (false, words),
    }
}

fn meaning(words: Words<'_, '_>) -> Command {
    let Some((first, rest)) = words.split_first() else {
        return rejected("ufw needs a command");
    };
    let operation = match first.to_ascii_lowercase().as_slice() {
        b"status" | b"show" | b"version" | b"--version" | b"help" | b"--help" | b"-h" => {
            return Command::Query;
        }
        b"enable" => Operation::Enable,
        b"disable" => Operation::Disable,
        b"reload" => Operation::Load {
            source: RulesetSource::Stored,
            flushes: true,
        },
        b"reset" => {
            let both = [Operation::Disable, Operation::FlushRuleset];
            return Command::Changes(both.map(|operation| change(Backend::Ufw, operation)).into());
        }
        b"default" => return default(rest),
        b"logging" => return logging(rest),
        b"app" => return application(rest),
        b"route" => return rule(rest, true),
        b"rule" => return rule(rest, false),
        _ => return rule(words, false),
    };
    single(Backend::Ufw, operation)
}

fn logging(words: Words<'_, '_>) -> Command {
    match words {
        [level @ (b"on" | b"off" | b"low" | b"medium" | b"high" | b"full")] => {
            other(b"logging", level)
        }
        _ => rejected("ufw has no such level of logging"),
    }
}

fn application(words: Words<'_, '_>) -> Command {
    match words.first() {
        Some(&b"list" | &b"info") => Command::Query,
        Some(verb @ (&b"default" | &b"update")) => other(b"app", verb),
        _ => rejected("ufw app has no such command"),
    }
}

fn other(kind: &[u8], word: &[u8]) -> Command {
    let what = [kind, word].join(&b' ');
    single(Backend::Ufw, Operation::Other { what })
}

/// `default allow incoming`.
fn default(words: Words<'_, '_>) -> Command {
    let policy = words.first().map(|word| word.to_ascii_lowercase());
    let policy = match policy.as_deref() {
        Some(b"allow") => Policy::Accept,
        Some(b"deny") => Policy::Drop,
        Some(b"reject") => Policy::Reject,
        _ => return rejected("ufw default needs allow, deny or reject"),
    };
    let direction = words.get(1).map(|word| word.to_ascii_lowercase());
    let chain: &[u8] = match direction.as_deref() {
        None | Some(b"incoming" | b"input") => b"INPUT",
        Some(b"outgoing" | b"output") => b"OUTPUT",
        Some(b"routed" | b"forward") => b"FORWARD",
        Some(_) => return rejected("ufw has no such direction"),
    };
    Command::Changes(vec![in_chain(chain, None, Operation::SetPolicy(policy))])
}

fn in_chain(chain: &[u8], family: Option<Family>, operation: Operation) -> FirewallChange {
    FirewallChange {
        family,
        chain: Some(chain.to_vec()),
        ..change(Backend::Ufw, operation)
    }
}

/// What stands before the rule itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add(Position),
    Delete,
}

/// `[delete | insert N | prepend] ACTION …`.
fn rule(words: Words<'_, '_>, is_routed: bool) -> Command {
    let first = words.first().map(|word| word.to_ascii_lowercase());
    match (first.as_deref(), words) {
        (Some(b"delete"), [_, number]) => match number_of(number) {
            Some(number) => single(Backend::Ufw, Operation::DeleteRule(Which::Index(number))),
            None => rejected("ufw delete needs a number or a rule"),
        },
        (Some(b"delete"), [_, rest @ ..]) => full_rule(rest, is_routed, Verb::Delete),
        (Some(b"prepend"), [_, rest @ ..]) => {
            full_rule(rest, is_routed, Verb::Add(Position::Index(1)))
        }
        (Some(b"insert"), [_, number, rest @ ..]) => match number_of(number) {
            Some(number) => full_rule(rest, is_routed, Verb::Add(Position::Index(number))),
            None => rejected("ufw insert needs a position"),
        },
        _ => full_rule(words, is_routed, Verb::Add(Position::Last)),
    }
}

fn number_of(word: &[u8]) -> Option<u32> {
    let number = str::from_utf8(word).ok()?.parse().ok();
    number.filter(|number| *number > 0)
}

fn full_rule(words: Words<'_, '_>, is_routed: bool, verb: Verb) -> Command {
    match Draft::read(words) {
        Ok(mut draft) => draft.command(is_routed, verb),
        Err(reason) => rejected(reason),
    }
}

/// A rule as it is read.
#[derive(Default)]
struct Draft {
    rule: Rule,
    is_outgoing: bool,
    family: Option<Family>,
}

/// To which end of a connection a port belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

impl Draft {
    fn read(words: Words<'_, '_>) -> Result<Self, &'static str> {
        let (action, rest) = words.split_first().ok_or("ufw needs an action")?;
        let mut draft = Self::default();
        draft.rule.target = Some(match *action {
            b"allow" => Target::Accept,
            b"deny" => Target::Drop,
            b"reject" => Target::Reject,
            b"limit" => {
                draft.rule.other_matches.push(b"limit".to_vec());
                Target::Accept
            }
            _ => return Err("ufw has no such command"),
        });
        let rest = draft.comment(rest)?;
        let rest: Vec<&[u8]> = rest
            .into_iter()
            .filter(|word| !matches!(*word, b"log" | b"log-all"))
            .collect();
        let rest = draft.direction(&rest);
        match rest {
            [] => return Err("ufw: the rule says nothing"),
            [word] => draft.short(word)?,
            clauses => draft.clauses(clauses)?,
        }
        if draft.rule.protocol.is_none() && draft.has_several_ports() {
            return Err("ufw: several ports need a protocol");
        }
        Ok(draft)
    }

    fn has_several_ports(&self) -> bool {
        let ports = [&self.rule.source_ports, &self.rule.destination_ports];
        ports.into_iter().flatten().any(|ports| match &ports.value {
            Ports::Ranges(ranges) => {
                ranges.len() > 1 || ranges.iter().any(|range| range.start() != range.end())
            }
            Ports::Set(_) => false,
        })
    }

    /// Takes `comment TEXT` out.
    fn comment<'a>(&mut self, words: Words<'_, 'a>) -> Result<Vec<&'a [u8]>, &'static str> {
        let mut words = words.to_vec();
        if let Some(at) = words.iter().position(|word| *word == b"comment") {
            let text = words.get(at + 1).ok_or("ufw: comment without a text")?;
            self.rule.comment = Some(text.to_vec());
            words.drain(at..=at + 1);
        }
        Ok(words)
    }

    /// Takes `in` or `out` away, unless an interface follows, which is read as a clause.
    fn direction<'w, 'a>(&mut self, words: Words<'w, 'a>) -> Words<'w, 'a> {
        let first = words.first().map(|word| word.to_ascii_lowercase());
        self.is_outgoing = first.as_deref() == Some(b"out");
        match (first.as_deref(), words) {
            (Some(b"in" | b"out"), [_, b"on", ..]) => words,
            (Some(b"in" | b"out"), [_, rest @ ..]) => rest,
            _ => words,
        }
    }

    /// `22`, `22/tcp`, `6000:6007/udp`, `80,443/tcp`, a service or an application.
    fn short(&mut self, word: &[u8]) -> Result<(), &'static str> {
        let mut sides = word.splitn(2, |&byte| byte == b'/');
        let ports = sides.next().unwrap_or_default();
        if let Some(protocol) = sides.next() {
            self.protocol(protocol)?;
        }
        self.ports(ports, End::Destination)
    }

    fn clauses(&mut self, words: Words<'_, '_>) -> Result<(), &'static str> {
        let mut end = None;
        let mut rest = words;
        while let Some((key, behind)) = rest.split_first() {
            if *key == b"on" {
                rest = behind;
                continue;
            }
            let behind = match behind {
                [b"on", behind @ ..] if matches!(*key, b"in" | b"out") => behind,
                _ => behind,
            };
            let Some((value, behind)) = behind.split_first() else {
                return Err("ufw: wrong number of arguments");
            };
            self.clause(key, value, &mut end)?;
            rest = behind;
        }
        Ok(())
    }

    fn clause(
        &mut self,
        key: &[u8],
        value: &[u8],
        end: &mut Option<End>,
    ) -> Result<(), &'static str> {
        match (key, *end) {
            (b"proto", _) => self.protocol(value),
            (b"in", _) => {
                self.rule.in_interface = Some(plain(value.to_vec()));
                Ok(())
            }
            (b"out", _) => {
                self.rule.out_interface = Some(plain(value.to_vec()));
                Ok(())
            }
            (b"from", _) => {
                *end = Some(End::Source);
                self.rule.sources = self.addresses(value)?;
                Ok(())
            }
            (b"to", _) => {
                *end = Some(End::Destination);
                self.rule.destinations = self.addresses(value)?;
                Ok(())
            }
            (b"port" | b"app", Some(end)) => self.ports(value, end),
            (b"port" | b"app", None) => Err("ufw: a port needs from or to"),
            _ => Err("ufw: no such word in a rule"),
        }
    }

    fn protocol(&mut self, name: &[u8]) -> Result<(), &'static str> {
        if name == b"any" {
            return Ok(());
        }
        let known = matches!(
            name,
            b"tcp" | b"udp" | b"ipv6" | b"esp" | b"ah" | b"igmp" | b"gre" | b"vrrp"
        );
        let protocol = names::protocol(name).filter(|_| known);
        self.rule.protocol = Some(plain(protocol.ok_or("ufw has no such protocol")?));
        Ok(())
    }

    /// `any` does not restrict.
    fn addresses(
        &mut self,
        text: &[u8],
    ) -> Result<Option<Negatable<Vec<Addresses>>>, &'static str> {
        if text.eq_ignore_ascii_case(b"any") {
            return Ok(None);
        }
        let addresses = operand::known_addresses(text).ok_or("ufw: no such address")?;
        let family = match &addresses {
            Addresses::Network { address, .. } if address.is_ipv6() => Family::Ipv6,
            Addresses::Network { .. } => Family::Ipv4,
            Addresses::Range { .. } | Addresses::Written(_) | Addresses::Set(_) => {
                return Err("ufw: no such address");
            }
        };
        if self.family.is_some_and(|held| held != family) {
            return Err("ufw: from and to are of different kinds");
        }
        self.family = Some(family);
        Ok(Some(plain(vec![addresses])))
    }

    /// A list of ports, or else the name of an application, which is kept as text.
    fn ports(&mut self, text: &[u8], end: End) -> Result<(), &'static str> {
        let parts = text.split(|&byte| byte == b',');
        let ranges: Option<Vec<_>> = parts.map(|part| operand::ports(part, b':')).collect();
        let Some(ranges) = ranges else {
            if text.first().is_none_or(u8::is_ascii_digit) {
                return Err("ufw: bad port");
            }
            self.rule.other_matches.push([b"app ", text].concat());
            return Ok(());
        };
        let ports = Some(plain(Ports::Ranges(ranges)));
        match end {
            End::Source => self.rule.source_ports = ports,
            End::Destination => self.rule.destination_ports = ports,
        }
        Ok(())
    }

    fn command(&mut self, is_routed: bool, verb: Verb) -> Command {
        let chain = match (is_routed, self.is_outgoing) {
            (true, _) => CHAIN_ROUTE,
            (false, true) => CHAIN_OUT,
            (false, false) => CHAIN_IN,
        };
        let rule = Box::new(std::mem::take(&mut self.rule));
        let operation = match verb {
            Verb::Add(position) => Operation::AddRule { rule, position },
            Verb::Delete => Operation::DeleteRule(Which::Same(rule)),
        };
        Command::Changes(vec![in_chain(chain, self.family, operation)])
    }
}
