//! The older ways to a service: service(8), `/etc/init.d/NAME`, rc-service(8) and what enables at boot.

use crate::pipeline::firewall::change::{Backend, Command, Operation, UnitVerb};

use super::{single, unit};

/// `service NAME VERB`, `invoke-rc.d [OPTIONS] NAME VERB`, `rc-service [OPTIONS] NAME VERB`: the first word names
/// the service, the second the verb.
pub fn service(arguments: &[&[u8]]) -> Option<Command> {
    let at = arguments.iter().position(|word| !word.starts_with(b"-"))?;
    let (name, rest) = arguments.get(at..)?.split_first()?;
    script(name, rest)
}

/// `/etc/init.d/NAME VERB`. `None` when the service is no firewall.
pub fn script(path: &[u8], arguments: &[&[u8]]) -> Option<Command> {
    let unit = unit::firewalls(path).next()?;
    let Some(action) = arguments.iter().find(|word| !word.starts_with(b"-")) else {
        return Some(Command::Query);
    };
    let verb = match *action {
        b"start" | b"zap" => UnitVerb::Start,
        b"stop" => UnitVerb::Stop,
        b"restart" | b"try-restart" | b"condrestart" => UnitVerb::Restart,
        b"reload" | b"force-reload" => UnitVerb::Reload,
        b"flush" | b"clear" => return Some(single(Backend::Service, Operation::FlushRuleset)),
        b"status" | b"list" | b"describe" => return Some(Command::Query),
        other => {
            let what = [other, unit.as_bytes()].join(&b' ');
            return Some(single(Backend::Service, Operation::Other { what }));
        }
    };
    Some(Command::Changes(unit::changes(&[verb], &[path])))
}

/// `update-rc.d NAME disable`, `chkconfig NAME off`, `rc-update del NAME`, in which the verb stands on either side.
pub fn at_boot(arguments: &[&[u8]]) -> Option<Command> {
    let words = arguments.iter().filter(|word| {
        // `chkconfig --del NAME` has its verb as an option.
        !word.starts_with(b"-") || matches!(**word, b"--add" | b"--del")
    });
    let mut unit = None;
    let mut verb = None;
    for word in words {
        match *word {
            b"disable" | b"remove" | b"off" | b"del" | b"delete" | b"--del" => {
                verb = Some(UnitVerb::Disable);
            }
            b"enable" | b"defaults" | b"on" | b"add" | b"--add" => verb = Some(UnitVerb::Enable),
            name => unit = unit.or_else(|| unit::firewalls(name).next()),
        }
    }
    let unit = unit?.as_bytes();
    Some(match verb {
        Some(verb) => Command::Changes(unit::changes(&[verb], &[unit])),
        None => Command::Query,
    })
}
