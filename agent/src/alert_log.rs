//! Reads alert logs, as an agent has written them.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::Context;

use crate::exit_code::ExitCode;
use crate::lines::read_line;
use crate::replay;

/// Longest line that is read: sixteen times what an agent writes.
pub const LINE_BYTES_MAX: u64 = 1 << 20;

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
                tracing::error!("{name}:{number}: {error}; line passed over");
            }
        }
    }
    Ok(code)
}
