//! Puts the parts together as the settings say.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::config::{Settings, TamperSettings};
use crate::delivery::encode::{self, AlertContext, HostIdentity};
use crate::host::complete::Completer;
use crate::host::identity::Identity;
use crate::host::procfs::Procfs;
use crate::host::provenance::Provenances;
use crate::host::source::Source;
use crate::pipeline::Pipeline;
use crate::pipeline::decode::Decoder;
use crate::pipeline::detect::{Detector, Limits, Rule};
use crate::pipeline::filter::{FilterSpec, Filters};
use crate::pipeline::firewall::allowed::Allowed;
use crate::pipeline::firewall::tamper::{Tamper, TamperLimits};
use crate::pipeline::process_tree::TreeLimits;
use crate::pipeline::redact::Redaction;

/// Runs a future on a runtime of this one thread.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the event loop")?
        .block_on(future)
}

/// The host as a source of events; from here on every exec is recorded. Must be called within a runtime.
pub fn attach(
    settings: &Settings,
    identity: &Identity,
    root: &Path,
    watches_xtables: bool,
) -> anyhow::Result<Source> {
    let decoder = Decoder {
        boot_id: identity.boot_id,
        dest: Some(dest(settings, identity).into()),
        host_id: identity.machine_id.as_deref().map(Arc::from),
    };
    let provenances = Provenances::new(root, managers(&settings.tamper));
    let completer = Completer::new(Procfs::new(root.join("proc")), provenances);
    Source::attach(&settings.sensor, watches_xtables, decoder, completer)
        .context("attach the sensor")
}

pub fn pipeline(settings: &Settings) -> anyhow::Result<Pipeline> {
    let spec = &settings.rules.linux_iptables_firewall_modification.spec;
    let mut spec = spec.clone();
    let filters = settings.filters.iter().map(|filter| filter.value.clone());
    let filters: Vec<FilterSpec> = filters.collect();
    spec.filters.extend(filters.iter().cloned());
    let rule = Rule::compile(spec).context("compile the rule")?;
    let detector = Detector::new(rule, Limits::default());
    let tamper = tamper(&settings.tamper, &filters)?;
    let redaction =
        Redaction::compile(&settings.redaction.patterns).context("compile the redaction")?;
    let pipeline = Pipeline::new(detector, tamper, TreeLimits::default());
    Ok(pipeline.with_redaction(redaction))
}

fn tamper(settings: &TamperSettings, filters: &[FilterSpec]) -> anyhow::Result<Option<Tamper>> {
    if !settings.enabled {
        return Ok(None);
    }
    let filters = Filters::compile(filters).context("compile the filters")?;
    let tamper = Tamper::new(TamperLimits::default(), managers(settings));
    Ok(Some(
        tamper.with_allowed(Allowed::new(filters, encode::change_text)),
    ))
}

/// Executables and scripts that the operator calls managers.
fn managers(settings: &TamperSettings) -> Vec<Box<[u8]>> {
    let paths = settings.managers.iter();
    paths.map(|path| path.as_bytes().into()).collect()
}

/// CIM's `dest`: what the operator says, or the host's own name.
pub fn dest<'a>(settings: &'a Settings, identity: &'a Identity) -> &'a str {
    settings.host.name.as_deref().unwrap_or(&identity.name)
}

/// What an alert tells beside the finding.
pub fn alert_context(settings: &Settings, identity: Identity) -> AlertContext {
    AlertContext {
        host: HostIdentity {
            name: dest(settings, &identity).to_owned(),
            id: identity.machine_id,
            boot_id: Some(identity.boot_id),
            os: identity.os,
            kernel: Some(identity.kernel),
        },
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: settings.labels.clone(),
    }
}
