//! A change of a firewall in words, close to those of `nft(8)`.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::RangeInclusive;

use crate::pipeline::firewall::change::{
    Addresses, Backend, Element, Family, FirewallChange, Hook, Negatable, Operation, Policy, Ports,
    Position, Protocol, Rule, RulesetSource, Target, UnitVerb, Which,
};

use super::text::Text;

pub(super) fn backend_word(backend: Backend) -> &'static str {
    match backend {
        Backend::Nftables => "nftables",
        Backend::XtablesNft => "xtables-nft",
        Backend::XtablesLegacy => "xtables-legacy",
        Backend::Xtables => "xtables",
        Backend::Ipset => "ipset",
        Backend::Ufw => "ufw",
        Backend::Firewalld => "firewalld",
        Backend::Service => "service",
        Backend::Kernel => "kernel",
    }
}

pub(super) fn family_word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
        Family::Inet => "inet",
        Family::Arp => "arp",
        Family::Bridge => "bridge",
        Family::Netdev => "netdev",
    }
}

/// A stable identifier of what is done.
pub(super) fn operation_word(operation: &Operation) -> &'static str {
    match operation {
        Operation::AddRule { .. } => "add-rule",
        Operation::ReplaceRule { .. } => "replace-rule",
        Operation::DeleteRule(_) => "delete-rule",
        Operation::AddChain { .. } => "add-chain",
        Operation::DeleteChain => "delete-chain",
        Operation::RenameChain { .. } => "rename-chain",
        Operation::SetPolicy(_) => "set-policy",
        Operation::FlushChain => "flush-chain",
        Operation::ZeroCounters => "zero-counters",
        Operation::AddTable => "add-table",
        Operation::DeleteTable => "delete-table",
        Operation::FlushTable => "flush-table",
        Operation::FlushRuleset => "flush-ruleset",
        Operation::SetDormant(_) => "set-dormant",
        Operation::AddSet { .. } => "add-set",
        Operation::DeleteSet { .. } => "delete-set",
        Operation::FlushSet { .. } => "flush-set",
        Operation::AddElements { .. } => "add-elements",
        Operation::DeleteElements { .. } => "delete-elements",
        Operation::Load { .. } => "load",
        Operation::Enable => "enable",
        Operation::Disable => "disable",
        Operation::Unit { .. } => "unit",
        Operation::Other { .. } => "other",
    }
}

/// The whole change on one line.
pub(super) struct ChangeText<'a>(pub(super) &'a FirewallChange);

impl Display for ChangeText<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let FirewallChange {
            backend,
            family,
            table,
            chain,
            operation,
        } = self.0;
        match family {
            Some(family) => out.write_str(family_word(*family))?,
            None => out.write_str(backend_word(*backend))?,
        }
        for name in [table, chain].into_iter().flatten() {
            write!(out, " {}", Text::whole(name))?;
        }
        out.write_str(": ")?;
        operation_text(operation, out)
    }
}

fn operation_text(operation: &Operation, out: &mut Formatter<'_>) -> fmt::Result {
    match operation {
        Operation::AddRule { rule, position } => match position {
            Position::Last | Position::Untold => write!(out, "add rule {}", RuleText(rule)),
            Position::Index(index) => write!(out, "insert rule {index} {}", RuleText(rule)),
            Position::BeforeHandle(handle) => {
                write!(out, "insert rule before {handle} {}", RuleText(rule))
            }
            Position::AfterHandle(handle) => {
                write!(out, "add rule after {handle} {}", RuleText(rule))
            }
        },
        Operation::ReplaceRule { which, rule } => {
            write!(
                out,
                "replace rule {} by {}",
                WhichText(which),
                RuleText(rule)
            )
        }
        Operation::DeleteRule(which) => write!(out, "delete rule {}", WhichText(which)),
        Operation::AddChain { hook, policy } => {
            out.write_str("add chain")?;
            if let Some(hook) = hook {
                write!(out, " hook {}", hook_word(*hook))?;
            }
            policy.map_or(Ok(()), |policy| {
                write!(out, " policy {}", policy_word(policy))
            })
        }
        Operation::RenameChain { to } => write!(out, "rename chain to {}", Text::whole(to)),
        Operation::SetPolicy(policy) => write!(out, "policy {}", policy_word(*policy)),
        Operation::SetDormant(true) => out.write_str("switch off (dormant)"),
        Operation::SetDormant(false) => out.write_str("switch on (not dormant)"),
        Operation::AddSet { set } => write!(out, "add set {}", Text::whole(set)),
        Operation::DeleteSet { set } => write!(out, "delete set {}", Text::whole(set)),
        Operation::FlushSet { set } => write!(out, "flush set {}", Text::whole(set)),
        Operation::AddElements { set, elements } => {
            write!(out, "add to {}", Text::whole(set))?;
            elements_text(elements, out)
        }
        Operation::DeleteElements { set, elements } => {
            write!(out, "delete from {}", Text::whole(set))?;
            elements_text(elements, out)
        }
        Operation::Load { source, flushes } => {
            let how = if *flushes { "replace by" } else { "add" };
            match source {
                RulesetSource::File(path) => {
                    write!(out, "{how} the ruleset of {}", Text::whole(path))
                }
                RulesetSource::Stdin => write!(out, "{how} a ruleset from standard input"),
                RulesetSource::Stored => write!(out, "{how} the stored ruleset"),
            }
        }
        Operation::Unit { verb, unit } => {
            write!(out, "{} {}", verb_word(*verb), Text::whole(unit))
        }
        Operation::Other { what } => write!(out, "{}", Text::whole(what)),
        Operation::DeleteChain
        | Operation::FlushChain
        | Operation::ZeroCounters
        | Operation::AddTable
        | Operation::DeleteTable
        | Operation::FlushTable
        | Operation::FlushRuleset
        | Operation::Enable
        | Operation::Disable => out.write_str(&operation_word(operation).replace('-', " ")),
    }
}

fn elements_text(elements: &[Element], out: &mut Formatter<'_>) -> fmt::Result {
    for element in elements {
        write!(out, " {}", Text::whole(&element.key))?;
        if let Some(verdict) = &element.verdict {
            write!(out, ": {}", TargetText(verdict))?;
        }
    }
    Ok(())
}

fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
        Hook::Ingress => "ingress",
        Hook::Egress => "egress",
    }
}

fn policy_word(policy: Policy) -> &'static str {
    match policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
        Policy::Reject => "reject",
    }
}

fn verb_word(verb: UnitVerb) -> &'static str {
    match verb {
        UnitVerb::Start => "start",
        UnitVerb::Stop => "stop",
        UnitVerb::Restart => "restart",
        UnitVerb::Reload => "reload",
        UnitVerb::Enable => "enable",
        UnitVerb::Disable => "disable",
        UnitVerb::Mask => "mask",
        UnitVerb::Unmask => "unmask",
        UnitVerb::Kill => "kill",
    }
}

struct WhichText<'a>(&'a Which);

impl Display for WhichText<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Which::Index(index) => write!(out, "{index}"),
            Which::Handle(handle) => write!(out, "handle {handle}"),
            Which::Same(rule) => write!(out, "{}", RuleText(rule)),
            Which::Numbered { index, rule } => write!(out, "{index} {}", RuleText(rule)),
            Which::Known { handle, rule } => write!(out, "handle {handle} {}", RuleText(rule)),
        }
    }
}

struct RuleText<'a>(&'a Rule);

impl Display for RuleText<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Rule {
            protocol,
            sources,
            destinations,
            source_ports,
            destination_ports,
            either_ports,
            in_interface,
            out_interface,
            states,
            other_matches,
            target,
            comment,
        } = self.0;
        let mut words = Words { out, any: false };
        words.of("protocol", protocol.as_ref(), |value, out| {
            protocol_text(*value, out)
        })?;
        words.of("saddr", sources.as_ref(), |value, out| {
            list(value, out, addresses_text)
        })?;
        words.of("daddr", destinations.as_ref(), |value, out| {
            list(value, out, addresses_text)
        })?;
        words.of("sport", source_ports.as_ref(), ports_text)?;
        words.of("dport", destination_ports.as_ref(), ports_text)?;
        words.of("port", either_ports.as_ref(), ports_text)?;
        let name = |value: &Vec<u8>, out: &mut dyn Write| write!(out, "{}", Text::whole(value));
        words.of("iif", in_interface.as_ref(), name)?;
        words.of("oif", out_interface.as_ref(), name)?;
        words.of("state", states.as_ref(), |value, out| {
            list(value, out, name)
        })?;
        for other in other_matches {
            words.word(format_args!("[{}]", Text::whole(other)))?;
        }
        if let Some(target) = target {
            words.word(format_args!("{}", TargetText(target)))?;
        }
        if let Some(comment) = comment {
            words.word(format_args!("comment \"{}\"", Text::whole(comment)))?;
        }
        Ok(())
    }
}

/// Words with one space between them.
struct Words<'a, 'b> {
    out: &'a mut Formatter<'b>,
    any: bool,
}

impl Words<'_, '_> {
    fn word(&mut self, word: fmt::Arguments<'_>) -> fmt::Result {
        if self.any {
            self.out.write_char(' ')?;
        }
        self.any = true;
        self.out.write_fmt(word)
    }

    fn of<T>(
        &mut self,
        name: &str,
        value: Option<&Negatable<T>>,
        show: impl Fn(&T, &mut dyn Write) -> fmt::Result,
    ) -> fmt::Result {
        let Some(Negatable { value, negated }) = value else {
            return Ok(());
        };
        let not = if *negated { "!= " } else { "" };
        self.word(format_args!("{name} {not}"))?;
        show(value, self.out)
    }
}

fn list<T>(
    values: &[T],
    out: &mut dyn Write,
    show: impl Fn(&T, &mut dyn Write) -> fmt::Result,
) -> fmt::Result {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.write_char(',')?;
        }
        show(value, out)?;
    }
    Ok(())
}

fn protocol_text(protocol: Protocol, out: &mut dyn Write) -> fmt::Result {
    match protocol {
        Protocol::ICMP => out.write_str("icmp"),
        Protocol::TCP => out.write_str("tcp"),
        Protocol::UDP => out.write_str("udp"),
        Protocol::ICMPV6 => out.write_str("icmpv6"),
        Protocol::SCTP => out.write_str("sctp"),
        Protocol(number) => write!(out, "{number}"),
    }
}

fn addresses_text(addresses: &Addresses, out: &mut dyn Write) -> fmt::Result {
    match addresses {
        Addresses::Network { address, prefix } => write!(out, "{address}/{prefix}"),
        Addresses::Range { first, last } => write!(out, "{first}-{last}"),
        Addresses::Written(text) => write!(out, "{}", Text::whole(text)),
        Addresses::Set(set) => write!(out, "@{}", Text::whole(set)),
    }
}

fn ports_text(ports: &Ports, out: &mut dyn Write) -> fmt::Result {
    match ports {
        Ports::Ranges(ranges) => list(ranges, out, range_text),
        Ports::Set(set) => write!(out, "@{}", Text::whole(set)),
    }
}

fn range_text(range: &RangeInclusive<u16>, out: &mut dyn Write) -> fmt::Result {
    let (first, last) = (range.start(), range.end());
    if first == last {
        return write!(out, "{first}");
    }
    write!(out, "{first}-{last}")
}

struct TargetText<'a>(&'a Target);

impl Display for TargetText<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Target::Accept => out.write_str("accept"),
            Target::Drop => out.write_str("drop"),
            Target::Reject => out.write_str("reject"),
            Target::Return => out.write_str("return"),
            Target::Jump(chain) => write!(out, "jump {}", Text::whole(chain)),
            Target::Goto(chain) => write!(out, "goto {}", Text::whole(chain)),
            Target::Redirect { ports: None } => out.write_str("redirect"),
            Target::Redirect { ports: Some(ports) } => {
                out.write_str("redirect to ")?;
                range_text(ports, out)
            }
            Target::Dnat { to } => write!(out, "dnat to {}", Text::whole(to)),
            Target::Snat { to } => write!(out, "snat to {}", Text::whole(to)),
            Target::Masquerade => out.write_str("masquerade"),
            Target::Tproxy { to } => write!(out, "tproxy to {}", Text::whole(to)),
            Target::Notrack => out.write_str("notrack"),
            Target::Mark => out.write_str("mark"),
            Target::Log => out.write_str("log"),
            Target::Queue => out.write_str("queue"),
            Target::Map(map) => write!(out, "vmap @{}", Text::whole(map)),
            Target::Other(name) => write!(out, "{}", Text::whole(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_in_the_words_of_nft() {
        let ports = Ports::Ranges(vec![636..=636, 989..=990]);
        let change = FirewallChange {
            backend: Backend::XtablesNft,
            family: Some(Family::Ipv4),
            table: Some(b"filter".to_vec()),
            chain: Some(b"INPUT".to_vec()),
            operation: Operation::AddRule {
                rule: Box::new(Rule {
                    protocol: Some(Negatable {
                        value: Protocol::TCP,
                        negated: false,
                    }),
                    destination_ports: Some(Negatable {
                        value: ports,
                        negated: true,
                    }),
                    target: Some(Target::Accept),
                    comment: Some(b"x\xff".to_vec()),
                    ..Rule::default()
                }),
                position: Position::Index(1),
            },
        };
        assert_eq!(
            ChangeText(&change).to_string(),
            r#"ip filter INPUT: insert rule 1 protocol tcp dport != 636,989-990 accept comment "x\xff""#
        );
    }
}
