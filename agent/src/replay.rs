//! The pipeline over recorded execs: no root, no kernel, no clock. Time is the records' own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::delivery::encode::human::explained;
use crate::delivery::encode::{AlertContext, HostIdentity, Shape, shaped, shaped_finding};
use crate::exit_code::ExitCode;
use crate::lines::read_line;
use crate::pipeline::Pipeline;
use crate::pipeline::exec::{Event, Exec, Time};
use crate::recording;

/// Longest line that is read: 6 MiB of arguments, the most that an exec can have, each a single byte
/// that has to be written as base64.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub execs: u64,
    pub lines_skipped: u64,
    pub alert_lines: u64,
    /// Came when what they belong with was over.
    pub execs_late: u64,
    pub groups_evicted: u64,
}

impl Summary {
    pub fn exit_code(self) -> ExitCode {
        if self.lines_skipped > 0 || self.execs_late > 0 {
            ExitCode::DataError
        } else {
            ExitCode::Success
        }
    }
}

/// What a replay writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Alerts(Shape),
    /// Why each exec matched or did not, and between them the alerts, for a person.
    Explained,
}

impl Show {
    fn shape(self) -> Shape {
        match self {
            Self::Alerts(shape) => shape,
            Self::Explained => Shape::Human,
        }
    }
}

/// Opens the recording; `-` is standard input.
pub fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::new(File::open(file)?)))
}

/// Replays `input` and writes what is to be shown to `output`. A bad line is named on standard error, with
/// `name` and its number, and skipped. What may have been missed is said there in the end.
pub fn replay(
    mut pipeline: Pipeline,
    name: &Path,
    mut input: impl BufRead,
    output: impl Write,
    show: Show,
    dest: Option<&str>,
) -> anyhow::Result<Summary> {
    let shape = show.shape();
    let dest: Option<Arc<str>> = dest.map(Arc::from);
    let mut output = BufWriter::new(output);
    let mut summary = Summary::default();
    let mut now = Time::default();
    let mut line = Vec::new();
    let mut number = 0;
    while read_line(&mut input, &mut line, LINE_BYTES_MAX).context("read the recording")? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match parse(&line) {
            Ok(None) => {}
            Ok(Some(mut exec)) => {
                if dest.is_some() {
                    exec.dest.clone_from(&dest);
                }
                summary.execs += 1;
                now = latest(now, exec.time);
                pipeline.handle_timeout(now);
                let event = Event::Exec(Box::new(exec));
                pipeline.handle_event(&event, now);
                if let (Show::Explained, Event::Exec(exec)) = (show, &event) {
                    let text = explained(exec, &pipeline.explain(exec));
                    output
                        .write_all(text.as_bytes())
                        .context("write the explanation")?;
                }
            }
            Err(error) => {
                summary.lines_skipped += 1;
                tracing::error!("{}:{number}: {error}; line skipped", name.display());
            }
        }
        summary.alert_lines += write_alerts(&mut pipeline, &mut output, shape)?;
    }
    pipeline.handle_end(now);
    summary.alert_lines += write_alerts(&mut pipeline, &mut output, shape)?;
    output.flush().context("write the alerts")?;
    let counters = pipeline.detector().counters();
    summary.execs_late = counters.late;
    summary.groups_evicted = counters.groups_evicted;
    say_what_may_be_missed(name, summary);
    Ok(summary)
}

fn say_what_may_be_missed(name: &Path, summary: Summary) {
    let name = name.display();
    if summary.execs_late > 0 {
        tracing::error!(
            "{name}: execs that came too late to be counted with others of their time: {}; \
             the recording should be sorted by time",
            summary.execs_late
        );
    }
    if summary.groups_evicted > 0 {
        tracing::warn!(
            "{name}: groups given up for lack of room: {}; an attack may have been among them",
            summary.groups_evicted
        );
    }
}

fn parse(line: &[u8]) -> Result<Option<Exec>, String> {
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    recording::read_line(line).map_err(|error| error.to_string())
}

/// A recording need not be in order; the replay's time never goes back.
fn latest(now: Time, time: Time) -> Time {
    Time {
        boot_ns: now.boot_ns.max(time.boot_ns),
        wall_ns: now.wall_ns.max(time.wall_ns),
    }
}

fn write_alerts(
    pipeline: &mut Pipeline,
    output: &mut impl Write,
    shape: Shape,
) -> anyhow::Result<u64> {
    let mut n = 0;
    while let Some(alert) = pipeline.next_alert() {
        let bytes = shaped(&alert, &context(&alert.key.dest), shape);
        output.write_all(&bytes).context("write the alerts")?;
        n += 1;
    }
    while let Some(finding) = pipeline.next_finding() {
        let context = context(finding.dest.as_deref().unwrap_or("unknown"));
        let bytes = shaped_finding(&finding, &context, shape);
        output.write_all(&bytes).context("write the findings")?;
        n += 1;
    }
    Ok(n)
}

/// A recording names the host of each exec, and nothing else of it.
fn context(dest: &str) -> AlertContext {
    AlertContext {
        host: HostIdentity {
            name: dest.to_owned(),
            id: None,
            boot_id: None,
            os: None,
            kernel: None,
        },
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
        let mut input = vec![b'x'; LINE_BYTES_MAX as usize + 100];
        input.extend_from_slice(b"\nnext\n");
        let mut input = BufReader::new(input.as_slice());
        let mut line = Vec::new();
        assert!(read_line(&mut input, &mut line, LINE_BYTES_MAX).unwrap());
        assert!(parse(&line).unwrap_err().contains("longer than"));
        assert!(read_line(&mut input, &mut line, LINE_BYTES_MAX).unwrap());
        assert_eq!(line, b"next\n");
        assert!(!read_line(&mut input, &mut line, LINE_BYTES_MAX).unwrap());
    }
}
