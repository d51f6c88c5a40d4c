//! firewall-cmd(1) and firewall-offline-cmd(1). The daemon makes the change; the command line says which.
//!
//! A zone stands where other tools have a chain.

use std::collections::BTreeMap;

use crate::pipeline::firewall::change::{
    Backend, Command, Family, FirewallChange, Operation, Policy, Ports, Position, Protocol, Rule,
    RulesetSource, Target, Which,
};
use crate::pipeline::firewall::names;
use crate::pipeline::firewall::reason::shown;

use super::operand::{self, plain};
use super::rich_rule::{self, RichRule};
use super::{change, rejected};

/// Reads the arguments of iptables that stand behind `--direct`: for which family, and what they mean there.
/// `None` when that is not known.
pub type Xtables<'x> = &'x dyn Fn(Family, &[&[u8]]) -> Option<Command>;

/// Changes by options without a value.
const FLAGS: &[&str] = &[
    "reload",
    "complete-reload",
    "reset-to-defaults",
    "runtime-to-permanent",
    "panic-on",
    "panic-off",
    "lockdown-on",
    "lockdown-off",
    "add-forward",
    "remove-forward",
    "add-masquerade",
    "remove-masquerade",
    "add-icmp-block-inversion",
    "remove-icmp-block-inversion",
    "enabled",
    "disabled",
];

/// Changes by options with a value: what stands behind `add-`, `remove-` and so on.
const CHANGES: &[&str] = &[
    "add-interface",
    "remove-interface",
    "change-interface",
    "change-zone",
    "add-source",
    "remove-source",
    "change-source",
    "add-ingress-zone",
    "remove-ingress-zone",
    "add-egress-zone",
    "remove-egress-zone",
    "add-rich-rule",
    "remove-rich-rule",
    "add-service",
    "remove-service",
    "add-port",
    "remove-port",
    "add-protocol",
    "remove-protocol",
    "add-source-port",
    "remove-source-port",
    "add-icmp-block",
    "remove-icmp-block",
    "add-forward-port",
    "remove-forward-port",
    "set-target",
    "set-priority",
    "add-option",
    "remove-option",
    "add-entry",
    "remove-entry",
    "add-entries-from-file",
    "remove-entries-from-file",
    "add-destination",
    "remove-destination",
    "add-module",
    "remove-module",
    "add-helper",
    "remove-helper",
    "add-include",
    "remove-include",
    "set-destination",
    "set-module",
    "set-family",
    "set-default-zone",
    "set-log-denied",
    "set-automatic-helpers",
    "set-description",
    "set-short",
    "new-zone",
    "new-zone-from-file",
    "delete-zone",
    "load-zone-defaults",
    "new-policy",
    "new-policy-from-file",
    "delete-policy",
    "load-policy-defaults",
    "new-service",
    "new-service-from-file",
    "delete-service",
    "load-service-defaults",
    "new-ipset",
    "new-ipset-from-file",
    "delete-ipset",
    "load-ipset-defaults",
    "new-icmptype",
    "new-icmptype-from-file",
    "delete-icmptype",
    "load-icmptype-defaults",
    "new-helper",
    "new-helper-from-file",
    "delete-helper",
    "load-helper-defaults",
    "add-lockdown-whitelist-command",
    "remove-lockdown-whitelist-command",
    "add-lockdown-whitelist-context",
    "remove-lockdown-whitelist-context",
    "add-lockdown-whitelist-uid",
    "remove-lockdown-whitelist-uid",
    "add-lockdown-whitelist-user",
    "remove-lockdown-whitelist-user",
    "addmodule",
    "removemodule",
    "custom-rules",
    "forward-port",
    "block-icmp",
    "migrate-system-config-firewall",
];

/// Options that say about what, and take a value.
const SCOPES: &[&str] = &[
    "zone",
    "policy",
    "timeout",
    "ipset",
    "service",
    "icmptype",
    "helper",
    "family",
    "module",
    "name",
    "option",
    "type",
    "system-config",
    "default-config",
];

/// Options that change nothing and take none.
const SILENT: &[&str] = &[
    "permanent",
    "quiet",
    "verbose",
    "direct",
    "help",
    "version",
    "state",
];

/// How the names of options that only read begin.
const QUERIES: &[&str] = &["query-", "get-", "list-", "info-", "path-", "check-config"];

/// Options of `--direct` that take all that follows.
const DIRECT: &[&str] = &[
    "passthrough",
    "add-passthrough",
    "remove-passthrough",
    "add-rule",
    "remove-rule",
    "remove-rules",
    "add-chain",
    "remove-chain",
];

/// What `firewall-cmd ARGUMENTS` means. `xtables` reads what is meant for iptables.
pub fn parse(arguments: &[&[u8]], xtables: Xtables<'_>) -> Command {
    match Options::read(arguments) {
        Ok(options) => options.command(xtables),
        Err(reason) => Command::Rejected { reason },
    }
}

/// The options, by their full names.
struct Options<'a> {
    given: Vec<(&'static str, &'a [u8])>,
    /// Of each of [`SCOPES`] the first.
    scopes: BTreeMap<&'static str, &'a [u8]>,
    reads: bool,
    /// An option of `--direct` and what stands behind it.
    direct: Option<(&'static str, Vec<&'a [u8]>)>,
}

impl<'a> Options<'a> {
    fn read(arguments: &[&'a [u8]]) -> Result<Self, String> {
        let mut options = Self {
            given: Vec::new(),
            scopes: BTreeMap::new(),
            reads: false,
            direct: None,
        };
        let is_direct = arguments.iter().any(|argument| *argument == b"--direct");
        let mut rest = arguments;
        while let Some((argument, behind)) = rest.split_first() {
            rest = options.option(argument, behind, is_direct)?;
        }
        Ok(options)
    }

    /// Reads one option; gives what stands behind it.
    fn option<'r>(
        &mut self,
        argument: &'a [u8],
        behind: &'r [&'a [u8]],
        is_direct: bool,
    ) -> Result<&'r [&'a [u8]], String> {
        let Some(text) = argument.strip_prefix(b"--") else {
            // `-q`, `-h`, `-V`, and operands of queries.
            self.reads |= matches!(argument, b"-h" | b"-V");
            return Ok(behind);
        };
        let mut sides = text.splitn(2, |&byte| byte == b'=');
        let name = sides.next().unwrap_or_default();
        let attached = sides.next();
        if QUERIES
            .iter()
            .any(|query| name.starts_with(query.as_bytes()))
        {
            self.reads = true;
            return Ok(behind);
        }
        let direct = DIRECT.iter().find(|known| known.as_bytes() == name);
        if let (true, Some(direct)) = (is_direct, direct) {
            let operands = attached.into_iter().chain(behind.iter().copied());
            self.direct = Some((direct, operands.collect()));
            return Ok(&[]);
        }
        if let Some(flag) = exact(name, FLAGS) {
            self.given.push((flag, b""));
            return Ok(behind);
        }
        if let Some(silent) = exact(name, SILENT) {
            self.reads |= matches!(silent, "help" | "version" | "state");
            return Ok(behind);
        }
        let known = named(name)?;
        match (attached, behind) {
            (Some(value), _) => {
                self.take(known, value);
                Ok(behind)
            }
            (None, [value, behind @ ..]) => {
                self.take(known, value);
                Ok(behind)
            }
            (None, []) => Err(format!("--{known} needs a value")),
        }
    }

    fn take(&mut self, known: &'static str, value: &'a [u8]) {
        if SCOPES.contains(&known) {
            self.scopes.entry(known).or_insert(value);
        } else {
            self.given.push((known, value));
        }
    }

    fn scope(&self, name: &str) -> Option<Vec<u8>> {
        self.scopes.get(name).map(|value| value.to_vec())
    }

    fn command(&self, xtables: Xtables<'_>) -> Command {
        if let Some((name, operands)) = &self.direct {
            return direct(name, operands, xtables);
        }
        let mut changes = Vec::new();
        for (name, value) in &self.given {
            match self.change(name, value) {
                Ok(change) => changes.push(change),
                Err(reason) => return rejected(reason),
            }
        }
        match (changes.is_empty(), self.reads) {
            (false, _) => Command::Changes(changes),
            (true, true) => Command::Query,
            (true, false) => rejected("firewall-cmd needs an option that does something"),
        }
    }

    fn change(&self, name: &str, value: &[u8]) -> Result<FirewallChange, &'static str> {
        let operation = match name {
            "panic-on" | "enabled" => Operation::Enable,
            "panic-off" | "disabled" => Operation::Disable,
            "reload" | "complete-reload" => Operation::Load {
                source: RulesetSource::Stored,
                flushes: true,
            },
            "reset-to-defaults" => Operation::FlushRuleset,
            "set-target" => match value {
                b"ACCEPT" => Operation::SetPolicy(Policy::Accept),
                b"DROP" => Operation::SetPolicy(Policy::Drop),
                b"REJECT" | b"%%REJECT%%" | b"default" => Operation::SetPolicy(Policy::Reject),
                _ => return Err("firewalld has no such target"),
            },
            "new-ipset" => Operation::AddSet {
                set: value.to_vec(),
            },
            "delete-ipset" => Operation::DeleteSet {
                set: value.to_vec(),
            },
            // As `--zone` with `--service`, these belong to a service's file and not to the zone.
            _ if self.scope("service").is_some() => other(name, value),
            _ => match ruled(name, value)? {
                Some(rich) => return Ok(self.with_rule(name, rich)),
                None => other(name, value),
            },
        };
        Ok(self.in_zone(None, operation))
    }

    fn with_rule(&self, name: &str, rich: RichRule) -> FirewallChange {
        let rule = Box::new(rich.rule);
        let operation = if name.starts_with("remove-") {
            Operation::DeleteRule(Which::Same(rule))
        } else {
            let position = Position::Last;
            Operation::AddRule { rule, position }
        };
        self.in_zone(rich.family, operation)
    }

    fn in_zone(&self, family: Option<Family>, operation: Operation) -> FirewallChange {
        FirewallChange {
            family,
            chain: self.scope("zone").or_else(|| self.scope("policy")),
            ..change(Backend::Firewalld, operation)
        }
    }
}

fn exact(name: &[u8], known: &'static [&str]) -> Option<&'static str> {
    known.iter().copied().find(|known| known.as_bytes() == name)
}

/// The option of that name, or the only one that begins so, as Python's `argparse` reads it.
fn named(name: &[u8]) -> Result<&'static str, String> {
    let all = || CHANGES.iter().chain(SCOPES).chain(DIRECT).copied();
    if let Some(exact) = all().find(|known| known.as_bytes() == name) {
        return Ok(exact);
    }
    let mut fitting = all().filter(|known| known.as_bytes().starts_with(name));
    match (fitting.next(), fitting.next()) {
        (Some(known), None) => Ok(known),
        _ => Err(format!("no option --{}", shown(name))),
    }
}

fn other(name: &str, value: &[u8]) -> Operation {
    let mut what = name.as_bytes().to_vec();
    if !value.is_empty() {
        what.push(b'=');
        what.extend_from_slice(value);
    }
    Operation::Other { what }
}

/// The rule that an option stands for, if it stands for one.
fn ruled(name: &str, value: &[u8]) -> Result<Option<RichRule>, &'static str> {
    let what = name
        .strip_prefix("add-")
        .or_else(|| name.strip_prefix("remove-"));
    let mut rule = Rule {
        target: Some(Target::Accept),
        ..Rule::default()
    };
    match what.unwrap_or(name) {
        "rich-rule" => {
            let rich = rich_rule::parse(value).ok_or("firewalld: no such rule")?;
            return Ok(Some(rich));
        }
        "port" => {
            let (ports, protocol) = ports_of(value).ok_or("firewalld: no such port")?;
            (rule.destination_ports, rule.protocol) = (Some(plain(ports)), protocol.map(plain));
        }
        "source-port" => {
            let (ports, protocol) = ports_of(value).ok_or("firewalld: no such port")?;
            (rule.source_ports, rule.protocol) = (Some(plain(ports)), protocol.map(plain));
        }
        "service" => rich_rule::service(&mut rule, value),
        "protocol" => match names::protocol(value) {
            Some(protocol) => rule.protocol = Some(plain(protocol)),
            None => rule.other_matches.push([b"protocol ", value].concat()),
        },
        "masquerade" => rule.target = Some(Target::Masquerade),
        "forward-port" => return forward_port(value).map(Some),
        _ => return Ok(None),
    }
    Ok(Some(RichRule { family: None, rule }))
}

type PortsOfProtocol = (Ports, Option<Protocol>);

/// `22/tcp`, `6000-6007/udp`.
fn ports_of(value: &[u8]) -> Option<PortsOfProtocol> {
    let mut sides = value.splitn(2, |&byte| byte == b'/');
    let range = operand::ports(sides.next()?, b'-')?;
    let protocol = names::protocol(sides.next()?)?;
    Some((Ports::Ranges(vec![range]), Some(protocol)))
}

/// `port=80:proto=tcp:toport=8080:toaddr=10.0.0.1`.
fn forward_port(value: &[u8]) -> Result<RichRule, &'static str> {
    let mut rule = Rule::default();
    let (mut to, mut to_port) = (Vec::new(), Vec::new());
    // An IPv6 address has colons of its own.
    let mut text = value;
    while !text.is_empty() {
        let mut sides = text.splitn(2, |&byte| byte == b'=');
        let key = sides.next().unwrap_or_default();
        let behind = sides.next().ok_or("firewalld: a key without a value")?;
        let end = match key {
            b"toaddr" => behind.len(),
            _ => behind
                .iter()
                .position(|&byte| byte == b':')
                .unwrap_or(behind.len()),
        };
        let value = behind.get(..end).unwrap_or_default();
        text = behind.get(end + 1..).unwrap_or_default();
        match key {
            b"port" => {
                let range = operand::ports(value, b'-').ok_or("firewalld: no such port")?;
                rule.destination_ports = Some(plain(Ports::Ranges(vec![range])));
            }
            b"proto" => rule.protocol = names::protocol(value).map(plain),
            b"toport" => to_port = [b":", value].concat(),
            b"toaddr" => to = value.to_vec(),
            b"if" => rule.in_interface = Some(plain(value.to_vec())),
            _ => return Err("firewalld: no such key of a forwarded port"),
        }
    }
    to.append(&mut to_port);
    rule.target = Some(Target::Dnat { to });
    Ok(RichRule { family: None, rule })
}

/// `--direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 22 -j ACCEPT` and its kin.
fn direct(name: &str, operands: &[&[u8]], xtables: Xtables<'_>) -> Command {
    let Some((family, rest)) = operands.split_first() else {
        return rejected("firewall-cmd: --direct needs a family");
    };
    let family = match *family {
        b"ipv4" => Family::Ipv4,
        b"ipv6" => Family::Ipv6,
        b"eb" => Family::Bridge,
        _ => return rejected("firewall-cmd: --direct has no such family"),
    };
    let arguments = match (name, rest) {
        ("passthrough" | "add-passthrough", arguments) => Some(arguments.to_vec()),
        ("add-rule", [table, chain, _priority, rule @ ..]) => {
            Some(as_xtables(b"-A", table, chain, rule))
        }
        ("remove-rule", [table, chain, _priority, rule @ ..]) => {
            Some(as_xtables(b"-D", table, chain, rule))
        }
        ("remove-rules", [table, chain]) => Some(as_xtables(b"-F", table, chain, &[])),
        ("add-chain", [table, chain]) => Some(as_xtables(b"-N", table, chain, &[])),
        ("remove-chain", [table, chain]) => Some(as_xtables(b"-X", table, chain, &[])),
        ("remove-passthrough", _) => None,
        _ => return rejected("firewall-cmd: --direct lacks an operand"),
    };
    let read = arguments.and_then(|arguments| xtables(family, &arguments));
    read.unwrap_or_else(|| {
        let what = [b"direct", name.as_bytes(), &operands.join(&b' ')].join(&b' ');
        Command::Changes(vec![FirewallChange {
            family: Some(family),
            ..change(Backend::Firewalld, Operation::Other { what })
        }])
    })
}

fn as_xtables<'a>(
    command: &'a [u8],
    table: &'a [u8],
    chain: &'a [u8],
    rule: &[&'a [u8]],
) -> Vec<&'a [u8]> {
    let mut arguments: Vec<&[u8]> = vec![b"-t", table, command, chain];
    arguments.extend_from_slice(rule);
    arguments
}
