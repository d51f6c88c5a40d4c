//! `wallwatch doctor`: whether watching works on this host, and what to do where it does not.
//!
//! ```text
//!   facts ──────────→ judge ──────→ show
//!   read, no opinion  pure          a person or a script
//!   canary ─────────↗
//!   the real sensor, pipeline and log, with a rule of their own
//! ```
//!
//! The canary is the proof. The other checks say why, where it fails, and what will fail some day.

pub mod canary;
pub mod check;
pub mod facts;
pub mod judge;
pub mod show;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::config::{self, Problems, Settings};

use check::Report;
use facts::{Configuration, Facts};

/// Examines the host under `root` with the settings that were `loaded` from the file that was `named`, or
/// with the defaults where they cannot be used. The canary gets `patience` for its alert. Fails only by a
/// fault of the program itself.
pub fn examine(
    loaded: Result<Settings, Problems>,
    named: Option<&Path>,
    root: &Path,
    patience: Duration,
) -> anyhow::Result<Report> {
    let path = named.unwrap_or(Path::new(config::DEFAULT_PATH));
    let (settings, problems) = match loaded {
        Ok(settings) => (settings, Vec::new()),
        Err(problems) => {
            let defaults = config::parse(path.into(), "").context("use the defaults")?;
            (defaults, problems.iter().map(ToString::to_string).collect())
        }
    };
    let configuration = Configuration {
        path: path.to_owned(),
        is_there: path.exists(),
        problems,
    };
    let facts = Facts::read(root, configuration, &settings);
    let outcome = canary::fly(&settings, root, patience);
    Ok(Report {
        checks: judge::checks(&facts, &outcome),
    })
}
