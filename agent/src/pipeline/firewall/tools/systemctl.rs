//! systemctl(1) on the units that are a firewall.

use crate::pipeline::firewall::change::{Backend, Command, Operation, UnitVerb};
use crate::pipeline::firewall::options::{self, Opt, Order, Parsed, Takes};

use super::{change, rejected, unit};

/// systemctl(1), "OPTIONS"; those that take a value, and those without that matter or could be in a cluster.
const OPTIONS: &[Opt] = &[
    Opt::new(b'h', "help", Takes::Nothing),
    Opt::long("version", Takes::Nothing),
    Opt::new(b't', "type", Takes::Value),
    Opt::long("state", Takes::Value),
    Opt::new(b'p', "property", Takes::Value),
    Opt::new(b'P', "", Takes::Value),
    Opt::new(b'a', "all", Takes::Nothing),
    Opt::new(b'r', "recursive", Takes::Nothing),
    Opt::long("reverse", Takes::Nothing),
    Opt::long("after", Takes::Nothing),
    Opt::long("before", Takes::Nothing),
    Opt::long("with-dependencies", Takes::Nothing),
    Opt::new(b'l', "full", Takes::Nothing),
    Opt::long("value", Takes::Nothing),
    Opt::long("show-types", Takes::Nothing),
    Opt::long("job-mode", Takes::Value),
    Opt::new(b'T', "show-transaction", Takes::Nothing),
    Opt::long("fail", Takes::Nothing),
    Opt::long("irreversible", Takes::Nothing),
    Opt::long("ignore-dependencies", Takes::Nothing),
    Opt::long("check-inhibitors", Takes::Value),
    Opt::new(b'i', "ignore-inhibitors", Takes::Nothing),
    Opt::long("dry-run", Takes::Nothing),
    Opt::new(b'q', "quiet", Takes::Nothing),
    Opt::new(b'v', "verbose", Takes::Nothing),
    Opt::long("no-warn", Takes::Nothing),
    Opt::long("no-block", Takes::Nothing),
    Opt::long("wait", Takes::Nothing),
    Opt::long("user", Takes::Nothing),
    Opt::long("system", Takes::Nothing),
    Opt::long("global", Takes::Nothing),
    Opt::long("failed", Takes::Nothing),
    Opt::long("no-wall", Takes::Nothing),
    Opt::long("message", Takes::Value),
    Opt::long("no-reload", Takes::Nothing),
    Opt::long("legend", Takes::Value),
    Opt::long("no-legend", Takes::Nothing),
    Opt::long("no-pager", Takes::Nothing),
    Opt::long("no-ask-password", Takes::Nothing),
    Opt::long("kill-who", Takes::Value),
    Opt::long("kill-whom", Takes::Value),
    Opt::long("kill-value", Takes::Value),
    Opt::new(b's', "signal", Takes::Value),
    Opt::long("what", Takes::Value),
    Opt::new(b'f', "force", Takes::Nothing),
    Opt::long("now", Takes::Nothing),
    Opt::long("root", Takes::Value),
    Opt::long("image", Takes::Value),
    Opt::long("image-policy", Takes::Value),
    Opt::long("runtime", Takes::Nothing),
    Opt::long("preset-mode", Takes::Value),
    Opt::new(b'n', "lines", Takes::Value),
    Opt::new(b'o', "output", Takes::Value),
    Opt::long("plain", Takes::Nothing),
    Opt::long("timestamp", Takes::Value),
    Opt::long("mkdir", Takes::Nothing),
    Opt::long("read-only", Takes::Nothing),
    Opt::long("marked", Takes::Nothing),
    Opt::long("drop-in", Takes::Value),
    Opt::long("when", Takes::Value),
    Opt::long("stdin", Takes::Nothing),
    Opt::new(b'H', "host", Takes::Value),
    Opt::new(b'M', "machine", Takes::Value),
];

/// What `systemctl ARGUMENTS` does to a firewall. A manager that is not this host's own, or a tree that is not
/// its root, is not its firewall.
pub fn parse(arguments: &[&[u8]]) -> Option<Command> {
    let parsed = match options::parse(arguments, OPTIONS, Order::Mixed) {
        Ok(parsed) => parsed,
        Err(reason) => return names_a_firewall(arguments).then(|| rejected(&reason)),
    };
    let (verb, names) = parsed.words.split_first()?;
    if !names_a_firewall(names) {
        return None;
    }
    let elsewhere = [
        "host", "machine", "user", "root", "image", "help", "version",
    ];
    if elsewhere.iter().any(|option| parsed.has(option)) {
        return Some(Command::Query);
    }
    Some(meaning(verb, names, &parsed))
}

fn names_a_firewall(names: &[&[u8]]) -> bool {
    names
        .iter()
        .any(|name| unit::firewalls(name).next().is_some())
}

fn meaning(verb: &[u8], names: &[&[u8]], parsed: &Parsed<'_>) -> Command {
    let now = parsed.has("now");
    let verbs: &[UnitVerb] = match verb {
        b"start" => &[UnitVerb::Start],
        b"stop" => &[UnitVerb::Stop],
        b"restart" | b"try-restart" | b"condrestart" => &[UnitVerb::Restart],
        b"reload"
        | b"reload-or-restart"
        | b"try-reload-or-restart"
        | b"reload-or-try-restart"
        | b"condreload"
        | b"force-reload" => &[UnitVerb::Reload],
        b"enable" if now => &[UnitVerb::Enable, UnitVerb::Start],
        b"enable" | b"reenable" => &[UnitVerb::Enable],
        b"disable" if now => &[UnitVerb::Disable, UnitVerb::Stop],
        b"disable" => &[UnitVerb::Disable],
        b"mask" if now => &[UnitVerb::Mask, UnitVerb::Stop],
        b"mask" => &[UnitVerb::Mask],
        b"unmask" => &[UnitVerb::Unmask],
        b"kill" => &[UnitVerb::Kill],
        b"isolate" | b"preset" | b"edit" | b"revert" | b"set-property" | b"clean" | b"freeze"
        | b"thaw" | b"link" | b"add-wants" | b"add-requires" | b"bind" | b"mount-image" => {
            return other(verb, names);
        }
        b"status" | b"show" | b"cat" | b"help" | b"is-active" | b"is-enabled" | b"is-failed"
        | b"list-units" | b"list-unit-files" | b"list-dependencies" | b"list-sockets"
        | b"list-timers" | b"list-jobs" | b"reset-failed" | b"whoami" => return Command::Query,
        _ => return rejected("systemctl has no such verb"),
    };
    Command::Changes(unit::changes(verbs, names))
}

fn other(verb: &[u8], names: &[&[u8]]) -> Command {
    let units = names.iter().flat_map(|name| unit::firewalls(name));
    let changes = units.map(|unit| {
        let what = [verb, unit.as_bytes()].join(&b' ');
        change(Backend::Service, Operation::Other { what })
    });
    Command::Changes(changes.take(unit::UNITS.len()).collect())
}
