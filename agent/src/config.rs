//! The configuration: what the operator wrote ([`Config`]) and what it means ([`Settings`]).
//!
//! A file is read with the place of each value, so that everything that is wrong is told at once,
//! each with its line. Where a key is not written, its default holds; the shipped file shows all of
//! them.

mod byte_size;
mod doubt;
mod file;
mod filters;
mod origin;
mod overrides;
mod problem;
pub mod rule_file;
mod section;
mod settings;
mod sinks;
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

/// Read when no file is named; it need not exist.
pub const DEFAULT_PATH: &str = "/etc/wallwatch/wallwatch.toml";

/// The settings of the file that was `named`, or of the default one.
pub fn load(named: Option<&Path>) -> Result<Settings, Problems> {
    let path = named.unwrap_or(Path::new(DEFAULT_PATH));
    let name: Arc<Path> = path.into();
    match file::read(path) {
        Ok(Some(text)) => parse(name, &text),
        Ok(None) if named.is_none() => parse(name, ""),
        Ok(None) => Err(Problems::of(vec![Problem::of_file(&name, file::missing())])),
        Err(fault) => Err(Problems::of(vec![Problem::of_file(&name, fault)])),
    }
}

/// The settings that `text` stands for; `file` is its name in problems.
pub fn parse(file: Arc<Path>, text: &str) -> Result<Settings, Problems> {
    let (config, mut problems) = Config::parse(file, text);
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
