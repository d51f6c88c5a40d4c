//! One change of a firewall as one line of text, for tests.

use super::change::{
    Addresses, Element, FirewallChange, Negatable, Operation, Ports, Position, Rule, Target, Which,
};

/// `backend family table chain: what`
pub(crate) fn show(change: &FirewallChange) -> String {
    let mut words = vec![format!("{:?}", change.backend)];
    words.extend(change.family.map(|family| format!("{family:?}")));
    words.extend(change.table.as_ref().map(|name| text(name)));
    words.extend(change.chain.as_ref().map(|name| text(name)));
    format!("{}: {}", words.join(" "), operation(&change.operation))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what has no words of its own here is shown as it is"
)]
fn operation(operation: &Operation) -> String {
    match operation {
        Operation::AddRule {
            rule: added,
            position,
        } => {
            format!("add rule {}: {}", place(*position), rule(added))
        }
        Operation::DeleteRule(
            Which::Known { rule: known, .. } | Which::Numbered { rule: known, .. },
        ) => {
            format!("delete rule: {}", rule(known))
        }
        Operation::ReplaceRule {
            which: Which::Known { rule: known, .. },
            rule: new,
        } => format!("replace rule: {} by: {}", rule(known), rule(new)),
        Operation::AddChain { hook, policy } => format!("add chain {hook:?} {policy:?}"),
        Operation::RenameChain { to } => format!("rename chain to {}", text(to)),
        Operation::AddSet { set } => format!("add set {}", text(set)),
        Operation::DeleteSet { set } => format!("delete set {}", text(set)),
        Operation::AddElements { set, elements } => {
            format!("add to {}: {}", text(set), list(elements, element))
        }
        Operation::DeleteElements { set, elements } => {
            format!("delete from {}: {}", text(set), list(elements, element))
        }
        Operation::Other { what } => format!("other: {}", text(what)),
        other => format!("{other:?}"),
    }
}

fn place(position: Position) -> String {
    match position {
        Position::Last => "last".to_owned(),
        Position::Untold => "untold".to_owned(),
        Position::Index(index) => format!("{index}"),
        Position::BeforeHandle(handle) => format!("before #{handle}"),
        Position::AfterHandle(handle) => format!("after #{handle}"),
    }
}

fn list<T>(items: &[T], each: impl Fn(&T) -> String) -> String {
    items.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn element(element: &Element) -> String {
    let mut words = vec![text(&element.key)];
    if !element.ports.is_empty() {
        words.push(format!("ports {:?}", element.ports));
    }
    if !element.addresses.is_empty() {
        words.push(format!("addresses {}", list(&element.addresses, address)));
    }
    words.extend(element.verdict.as_ref().map(target));
    words.join(" ")
}

fn rule(rule: &Rule) -> String {
    let mut words = Vec::new();
    words.extend(shown("proto", rule.protocol.as_ref(), |value| {
        value.0.to_string()
    }));
    words.extend(shown("from", rule.sources.as_ref(), |all| {
        list(all, address)
    }));
    words.extend(shown("to", rule.destinations.as_ref(), |all| {
        list(all, address)
    }));
    words.extend(shown("sport", rule.source_ports.as_ref(), ports));
    words.extend(shown("dport", rule.destination_ports.as_ref(), ports));
    words.extend(shown("port", rule.either_ports.as_ref(), ports));
    words.extend(shown("in", rule.in_interface.as_ref(), |name| text(name)));
    words.extend(shown("out", rule.out_interface.as_ref(), |name| text(name)));
    words.extend(shown("state", rule.states.as_ref(), |all| {
        list(all, |name| text(name))
    }));
    for other in &rule.other_matches {
        words.push(format!("[{}]", text(other)));
    }
    words.push(rule.target.as_ref().map_or("-".to_owned(), target));
    words.extend(
        rule.comment
            .as_ref()
            .map(|comment| format!("# {}", text(comment))),
    );
    words.join(" ")
}

fn shown<T>(
    name: &str,
    what: Option<&Negatable<T>>,
    show: impl Fn(&T) -> String,
) -> Option<String> {
    let what = what?;
    let negation = if what.negated { "!" } else { "" };
    Some(format!("{name} {negation}{}", show(&what.value)))
}

fn address(address: &Addresses) -> String {
    match address {
        Addresses::Network { address, prefix } => format!("{address}/{prefix}"),
        Addresses::Range { first, last } => format!("{first}-{last}"),
        Addresses::Written(bytes) => text(bytes),
        Addresses::Set(name) => format!("@{}", text(name)),
    }
}

fn ports(ports: &Ports) -> String {
    match ports {
        Ports::Ranges(ranges) => list(ranges, |range| match range.start() == range.end() {
            true => range.start().to_string(),
            false => format!("{}-{}", range.start(), range.end()),
        }),
        Ports::Set(name) => format!("@{}", text(name)),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what has no words of its own here is shown as it is"
)]
fn target(target: &Target) -> String {
    match target {
        Target::Jump(chain) => format!("jump {}", text(chain)),
        Target::Goto(chain) => format!("goto {}", text(chain)),
        Target::Dnat { to } => format!("dnat {}", text(to)),
        Target::Snat { to } => format!("snat {}", text(to)),
        Target::Tproxy { to } => format!("tproxy {}", text(to)),
        Target::Map(name) => format!("map @{}", text(name)),
        Target::Other(name) => format!("target {}", text(name)),
        Target::Redirect { ports: Some(ports) } => format!("redirect {ports:?}"),
        other => format!("{other:?}").to_lowercase(),
    }
}
