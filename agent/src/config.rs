//! The configuration: what the operator wrote ([`Config`]) and what it means ([`Settings`]).
//!
//! Files are read with the place of each value, so that everything that is wrong is told at once,
//! each with its line. What a later file says is put over what earlier ones did. Where a key is not
//! written, its default holds; the shipped file shows all of them.

mod byte_size;
mod doubt;
mod effective;
mod file;
mod filters;
mod origin;
mod overlay;
mod overrides;
mod problem;
pub mod rule_file;
mod section;
mod settings;
mod shipped;
mod sinks;
mod sources;
mod suggest;
mod written;

use std::path::Path;
use std::sync::Arc;

pub use doubt::Doubt;
pub use origin::{Origin, Written};
pub use overrides::Overrides;
pub use problem::{Fault, Problem, Problems};
pub use settings::{
    AlertsSettings, HostSettings, KernelLog, RedactionSettings, RuleSettings, RulesSettings,
    SensorSettings, Settings, StateSettings, StoreSettings, TamperSettings,
};
pub use sinks::{
    Acknowledge, Address, ClientCertificate, Destination, ElasticCredentials, ElasticSettings,
    Endpoint, EventKind, FileSettings, Format, HecSettings, HttpBody, HttpSettings,
    JournaldSettings, OtlpSettings, Secret, Selection, SinkSettings, SyslogSettings,
    SyslogTransport, TlsSettings,
};
pub use written::{
    AlertsConfig, Config, HeartbeatConfig, HostConfig, RedactionConfig, RepeatsConfig, RuleConfig,
    RulesConfig, SensorConfig, StateConfig, StoreConfig, TamperConfig,
};

use sources::Source;

/// Read when no file is named; it need not exist.
pub const DEFAULT_PATH: &str = "/etc/wallwatch/wallwatch.toml";

/// The settings of the file that was `named`, or of the default one, and of those in `conf.d` beside it, the later over
/// the earlier.
pub fn load(named: Option<&Path>) -> Result<Settings, Problems> {
    let sources = sources::read(named).map_err(Problems::of)?;
    combine(&sources)
}

/// The settings that `text` stands for; `file` is its name in problems.
pub fn parse(file: Arc<Path>, text: &str) -> Result<Settings, Problems> {
    let text = text.to_owned();
    combine(&[Source { file, text }])
}

/// What is in force, as a configuration file that says of each key where it was written.
pub fn effective(named: Option<&Path>) -> Result<String, Problems> {
    let sources = sources::read(named).map_err(Problems::of)?;
    let settings = combine(&sources)?;
    let rule = &settings.rules.linux_iptables_firewall_modification;
    let rule_file = match &rule.file {
        None => None,
        Some(path) => Some(Source::read(path).map_err(|problem| Problems::of(vec![problem]))?),
    };
    let window_offset_s = rule.spec.window.offset_s;
    Ok(effective::show(
        &sources,
        rule_file.as_ref(),
        window_offset_s,
    ))
}

fn combine(sources: &[Source]) -> Result<Settings, Problems> {
    let mut config = Config::default();
    let mut problems = Vec::new();
    for Source { file, text } in sources {
        let (later, found) = Config::parse(Arc::clone(file), text);
        problems.extend(found);
        config.put_over(later, &mut problems);
    }
    match Settings::from_config(config) {
        Ok(settings) if problems.is_empty() => Ok(settings),
        Ok(_) => Err(Problems::of(problems)),
        Err(more) => {
            problems.extend(more);
            Err(Problems::of(problems))
        }
    }
}

#[cfg(test)]
mod tests;
