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

use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::Settings;
use crate::exit_code::ExitCode;
use crate::lines::read_line;
use crate::pipeline::detect::Rule;
use crate::replay;

use log::{Found, IdPrefix, LINE_BYTES_MAX, Log};
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
    let mut n_bad = 0;
    for file in files {
        match replay::open(file) {
            Ok(input) => n_bad += read(file, input, &mut log)?,
            Err(error) => {
                tracing::error!("{}: cannot be opened: {error}", file.display());
                return Ok(Answer {
                    text: String::new(),
                    code: ExitCode::NoInput,
                });
            }
        }
    }
    let spec = &settings.rules.linux_iptables_firewall_modification.spec;
    let rule = Rule::compile(spec.clone()).context("compile the rule")?;
    let mut answer = answer(&log, &InForce { spec, rule: &rule });
    if n_bad > 0 && answer.code == ExitCode::Success {
        answer.code = ExitCode::DataError;
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

/// How many lines were bad.
fn read(name: &Path, mut input: impl BufRead, log: &mut Log) -> anyhow::Result<u64> {
    let mut line = Vec::new();
    let (mut number, mut n_bad) = (0_u64, 0);
    while read_line(&mut input, &mut line, LINE_BYTES_MAX)
        .with_context(|| format!("read {}", name.display()))?
    {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Err(error) = log.take(&line) {
            n_bad += 1;
            tracing::error!("{}:{number}: {error}; line passed over", name.display());
        }
    }
    Ok(n_bad)
}
