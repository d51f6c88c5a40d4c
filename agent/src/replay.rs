//! The pipeline over recorded execs: no root, no kernel, no clock. Time is the records' own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::delivery::encode::human::{explained, passive_within};
use crate::delivery::encode::{AlertContext, HostIdentity, Shape, shaped, shaped_finding};
use crate::exit_code::ExitCode;
use crate::formats::{Counters, Format, Guess, Item, Reader};
use crate::lines::read_line;
use crate::pipeline::Pipeline;
use crate::pipeline::exec::{Event, Exec, Time};

/// Longest line that is read: 6 MiB of arguments, the most that an exec can have, each a single byte
/// that has to be written as base64.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Of what is wrong with a line, as it is shown.
const WHY_BYTES_MAX: usize = 400;

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub execs: u64,
    /// Lines, records and events that could not be read.
    pub malformed: u64,
    /// Those that are of no exec that succeeded.
    pub passed_over: u64,
    pub alert_lines: u64,
    /// Came when what they belong with was over.
    pub execs_late: u64,
    pub groups_evicted: u64,
}

impl Summary {
    pub fn exit_code(self) -> ExitCode {
        if self.malformed > 0 || self.execs_late > 0 {
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

/// How to replay.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whose log it is; `None` to tell it from the first lines.
    pub format: Option<Format>,
    pub show: Show,
    /// The host of every exec, whatever the log says.
    pub dest: Option<&'a str>,
}

/// Replays `input` and writes what is to be shown to `output`. What cannot be read is named on standard error, with
/// `name` and the number of its line, and skipped. What may have been missed is said there in the end.
pub fn replay(
    pipeline: Pipeline,
    name: &Path,
    mut input: impl BufRead,
    output: impl Write,
    options: Options<'_>,
) -> anyhow::Result<Summary> {
    let mut replay = Replay {
        pipeline,
        name,
        reader: options.format.map(new_reader),
        guess: Guess::default(),
        number: 0,
        items: Vec::new(),
        output: BufWriter::new(output),
        show: options.show,
        dest: options.dest.map(Arc::from),
        now: Time::default(),
        summary: Summary::default(),
    };
    let mut line = Vec::new();
    while read_line(&mut input, &mut line, LINE_BYTES_MAX).context("read the recording")? {
        replay.handle_line(&line)?;
    }
    replay.finish()
}

fn new_reader(format: Format) -> Reader {
    Reader::new(format, LINE_BYTES_MAX as usize)
}

/// A replay while it goes on.
struct Replay<'a, W: Write> {
    pipeline: Pipeline,
    name: &'a Path,
    /// None until the format is known.
    reader: Option<Reader>,
    guess: Guess,
    /// Of the latest line that was read.
    number: u64,
    items: Vec<Item>,
    output: BufWriter<W>,
    show: Show,
    dest: Option<Arc<str>>,
    now: Time,
    summary: Summary,
}

impl<W: Write> Replay<'_, W> {
    fn handle_line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        if self.reader.is_some() {
            return self.read(line);
        }
        match self.guess.handle_line(line) {
            Some(Ok(format)) => self.begin(Some(format)),
            Some(Err(_)) => self.begin(None),
            None => Ok(()),
        }
    }

    /// The format is known, or no line says which it is. What was held is read.
    fn begin(&mut self, format: Option<Format>) -> anyhow::Result<()> {
        let name = self.name.display();
        match format {
            Some(Format::Wallwatch) => {}
            Some(format) => tracing::info!("{name}: read as --format {}", format.as_str()),
            None => tracing::warn!(
                "{name}: no line says which format this is; read as --format wallwatch"
            ),
        }
        self.reader = Some(new_reader(format.unwrap_or(Format::Wallwatch)));
        for line in self.guess.take_lines() {
            self.read(&line)?;
        }
        Ok(())
    }

    fn read(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.number += 1;
        if line.len() as u64 > LINE_BYTES_MAX {
            let number = self.number;
            self.say_malformed(number, &format!("longer than {LINE_BYTES_MAX} bytes"));
        } else if let Some(reader) = &mut self.reader {
            reader.handle_line(line, self.number, &mut self.items);
        }
        self.handle_items()
    }

    fn handle_items(&mut self) -> anyhow::Result<()> {
        let mut items = std::mem::take(&mut self.items);
        for item in items.drain(..) {
            match item {
                Item::Exec(exec) => self.handle_exec(exec)?,
                Item::PassedOver => self.summary.passed_over += 1,
                Item::Malformed(malformed) => self.say_malformed(malformed.line, &malformed.why),
            }
        }
        self.items = items;
        Ok(())
    }

    fn say_malformed(&mut self, line: u64, why: &str) {
        self.summary.malformed += 1;
        // It repeats what stands in the log, and that is anybody's.
        let why = passive_within(why, WHY_BYTES_MAX);
        tracing::error!("{}:{line}: {why}; skipped", self.name.display());
    }

    fn handle_exec(&mut self, mut exec: Box<Exec>) -> anyhow::Result<()> {
        if self.dest.is_some() {
            exec.dest.clone_from(&self.dest);
        }
        self.summary.execs += 1;
        self.now = latest(self.now, exec.time);
        self.pipeline.handle_timeout(self.now);
        let event = Event::Exec(exec);
        self.pipeline.handle_event(&event, self.now);
        if let (Show::Explained, Event::Exec(exec)) = (self.show, &event) {
            let text = explained(exec, &self.pipeline.explain(exec));
            self.output
                .write_all(text.as_bytes())
                .context("write the explanation")?;
        }
        self.write_alerts()
    }

    fn write_alerts(&mut self) -> anyhow::Result<()> {
        let shape = self.show.shape();
        let n = write_alerts(&mut self.pipeline, &mut self.output, shape)?;
        self.summary.alert_lines += n;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<Summary> {
        if self.reader.is_none() && self.guess.says_anything() {
            self.begin(None)?;
        }
        if let Some(reader) = &mut self.reader {
            reader.handle_end(&mut self.items);
        }
        self.handle_items()?;
        self.pipeline.handle_end(self.now);
        self.write_alerts()?;
        self.output.flush().context("write the alerts")?;
        let counters = self.pipeline.detector().counters();
        self.summary.execs_late = counters.late;
        self.summary.groups_evicted = counters.groups_evicted;
        say_what_may_be_missed(self.name, self.summary);
        say_what_was_not_read(
            self.name,
            self.summary,
            self.reader
                .map_or_else(Counters::default, |reader| reader.counters()),
        );
        Ok(self.summary)
    }
}

fn say_what_was_not_read(name: &Path, summary: Summary, counters: Counters) {
    let name = name.display();
    if summary.malformed > 0 {
        tracing::error!("{name}: could not be read: {}", summary.malformed);
    }
    if summary.passed_over > 0 {
        tracing::info!(
            "{name}: passed over, for they are of no exec: {}",
            summary.passed_over
        );
    }
    if counters.events_cut_short > 0 {
        tracing::warn!(
            "{name}: audit events of which not all records came: {}",
            counters.events_cut_short
        );
    }
    if counters.parents_forgotten > 0 {
        tracing::warn!(
            "{name}: processes forgotten for lack of room, unknown as parents: {}",
            counters.parents_forgotten
        );
    }
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
        labels: BTreeMap::new(),
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
        assert!(line.len() as u64 > LINE_BYTES_MAX);
        assert!(read_line(&mut input, &mut line, LINE_BYTES_MAX).unwrap());
        assert_eq!(line, b"next\n");
        assert!(!read_line(&mut input, &mut line, LINE_BYTES_MAX).unwrap());
    }
}
