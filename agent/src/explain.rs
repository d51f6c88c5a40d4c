//! `wallwatch explain`: one finding of the alert log as a person wants it.
//!
//! ```text
//!   files ──────→ log ─────────────→ page
//!   lines         what matters       tree, changes, near, missed, filter
//! ```

pub mod filter;
pub mod log;
pub mod missed;
pub mod near;
pub mod page;
pub mod tree;
pub mod view;

use std::path::PathBuf;

use anyhow::Context;

use crate::alert_log;
use crate::config::Settings;
use crate::exit_code::ExitCode;
use crate::pipeline::detect::Rule;

use log::{Found, IdPrefix, Log};
use near::InForce;
use view::View;

#[cfg(test)]
mod tests;

/// What there is to show, and the status that says how that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub code: ExitCode,
}

/// Looks for `wanted` in `files`, in whatever order; `-` is standard input. A bad line is named on standard
/// error and passed over. Fails where the rule in force does not compile, or reading fails midway.
pub fn explain(settings: &Settings, wanted: IdPrefix, files: &[PathBuf]) -> anyhow::Result<Answer> {
    let mut log = Log::new(wanted);
    let code = alert_log::read(files, |line| log.take(line))?;
    if code == ExitCode::NoInput {
        let text = String::new();
        return Ok(Answer { text, code });
    }
    let spec = &settings.rules.linux_iptables_firewall_modification.spec;
    let rule = Rule::compile(spec.clone()).context("compile the rule")?;
    let mut answer = answer(&log, &InForce { spec, rule: &rule });
    if answer.code == ExitCode::Success {
        answer.code = code;
    }
    Ok(answer)
}

/// The answer that the log gives.
pub fn answer(log: &Log, in_force: &InForce<'_>) -> Answer {
    let (text, code) = match log.found() {
        Found::Nothing => (
            "no finding or alert of that id is in the log\n".to_owned(),
            ExitCode::Found,
        ),
        Found::Several(summaries) => (page::candidates(&summaries), ExitCode::Found),
        Found::One(summary, value) => (
            page::page(View::of(value), summary, log, in_force),
            ExitCode::Success,
        ),
    };
    Answer { text, code }
}
