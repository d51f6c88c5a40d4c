//! Reads alert logs, as an agent has written them.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;
use thiserror::Error;

use crate::delivery::encode::human::passive_within;
use crate::exit_code::ExitCode;
use crate::lines::read_line;
use crate::replay;

/// Longest line that is read: sixteen times what an agent writes.
pub const LINE_BYTES_MAX: u64 = 1 << 20;

/// Of what is wrong with a line, as it is shown.
const WHY_BYTES_MAX: usize = 400;

/// Why a line is no event.
#[derive(Debug, Error)]
pub enum NoEvent {
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("expected a JSON object: {0}")]
    Json(#[from] serde_json::Error),
    #[error("expected a JSON object")]
    NotAnObject,
}

/// A line as what it is: a JSON object.
pub fn event(line: &[u8]) -> Result<Value, NoEvent> {
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(NoEvent::TooLong);
    }
    let value: Value = serde_json::from_slice(line)?;
    match value.is_object() {
        true => Ok(value),
        false => Err(NoEvent::NotAnObject),
    }
}

/// Hands each line of `files`, in whatever order, to `take`; `-` is standard input. A line that is bad is named on
/// standard error and passed over, and the status says so; so it does of a file that cannot be opened, after
/// which nothing is read. Fails where reading fails midway.
pub fn read<E: Display>(
    files: &[PathBuf],
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::Success;
    for file in files {
        let name = file.display();
        let mut input = match replay::open(file) {
            Ok(input) => input,
            Err(error) => {
                tracing::error!("{name}: cannot be opened: {error}");
                return Ok(ExitCode::NoInput);
            }
        };
        let mut line = Vec::new();
        let mut number = 0_u64;
        while read_line(&mut input, &mut line, LINE_BYTES_MAX)
            .with_context(|| format!("read {name}"))?
        {
            number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            if let Err(error) = take(&line) {
                code = ExitCode::DataError;
                // It repeats what stands in the log, and that is anybody's.
                let why = passive_within(&error.to_string(), WHY_BYTES_MAX);
                tracing::error!("{name}:{number}: {why}; line passed over");
            }
        }
    }
    Ok(code)
}
