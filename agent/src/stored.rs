//! `wallwatch alerts` and `wallwatch spool`: what is stored, and how far each sink is. They only read; but `spool
//! drain` delivers itself where no agent runs.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use crate::config::Settings;
use crate::delivery::encode::human::passive;
use crate::delivery::store::view::{Records, cursors, epoch};
use crate::delivery::store::{Cursor, DIRECTORY_NAME, Owner};
use crate::delivery::writer::{StorePlace, Writer};
use crate::exit_code::ExitCode;
use crate::host::clock;

/// Between two looks at the cursors of an agent that drains.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Lists what is stored with a larger number than `after`: one line for each event, or as stored.
pub fn list(state: &Path, after: u64, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let directory = state.join(DIRECTORY_NAME);
    let mut records = open(&directory, after)?;
    for record in &mut records {
        let record = record.context("read the store")?;
        if as_json {
            out.write_all(&record.json)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", summary(record.seq, &record.json))?;
        }
    }
    complain(&records);
    Ok(())
}

/// Shows every stored revision of the alert or finding with that id.
pub fn show(
    state: &Path,
    id: &str,
    after: u64,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let directory = state.join(DIRECTORY_NAME);
    let mut records = open(&directory, after)?;
    let mut code = ExitCode::Found;
    for record in &mut records {
        let record = record.context("read the store")?;
        let event: Value = serde_json::from_slice(&record.json).unwrap_or_default();
        if event["id"] != id {
            continue;
        }
        code = ExitCode::Success;
        if as_json {
            out.write_all(&record.json)?;
            writeln!(out)?;
        } else {
            let pretty = serde_json::to_string_pretty(&event)?;
            for line in pretty.lines() {
                writeln!(out, "{}", passive(line))?;
            }
        }
    }
    complain(&records);
    Ok(code)
}

fn open(directory: &Path, after: u64) -> anyhow::Result<Records> {
    Records::after(directory, after).with_context(|| format!("read {}", directory.display()))
}

fn complain(records: &Records) {
    if records.damaged > 0 {
        let lines = records.damaged;
        tracing::warn!(lines, "damaged lines in the store are not shown");
    }
}

/// Number, time, severity, kind, id and title of an event.
fn summary(seq: u64, json: &[u8]) -> String {
    let event: Value = serde_json::from_slice(json).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let kind = text(&event["kind"]);
    let what = match &*kind {
        "alert" => text(&event["rule"]["name"]),
        "finding" => text(&event["finding"]),
        "gap" => text(&event["why"]),
        _ => text(&event["state"]),
    };
    let revision = event["revision"].as_u64();
    let revision = revision.map_or(String::new(), |revision| format!("/{revision}"));
    let line = format!(
        "{seq} {} {} {kind} {}{revision} {what}",
        time(&event).unwrap_or("-"),
        text(&event["severity"]),
        text(&event["id"]),
    );
    passive(&line)
}

/// The moment of an event, as it stands there.
fn time(event: &Value) -> Option<&str> {
    let fields = ["last_seen", "to", "time"];
    fields.iter().find_map(|field| event[field].as_str())
}

#[derive(Debug, Serialize)]
struct Status {
    schema: &'static str,
    epoch: Option<String>,
    /// The last number that is stored or delivered.
    seq: u64,
    records: u64,
    damaged: u64,
    /// Whether an agent runs with this store.
    owned: bool,
    sinks: Vec<SinkStatus>,
    /// Sinks whose cursor is damaged: they get again what is stored.
    unreadable: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SinkStatus {
    cursor: Cursor,
    /// Stored records that it does not have.
    backlog: u64,
    /// When the oldest of them happened.
    oldest: Option<String>,
}

impl Status {
    fn read(state: &Path) -> anyhow::Result<Self> {
        let directory = state.join(DIRECTORY_NAME);
        let read = || format!("read {}", directory.display());
        // Before the records: what is stored meanwhile only makes a backlog longer.
        let (cursors, unreadable) = cursors(&directory).with_context(read)?;
        let mut status = Self {
            schema: "wallwatch.spool/1",
            epoch: epoch(&directory),
            seq: cursors.iter().map(|cursor| cursor.seq).max().unwrap_or(0),
            records: 0,
            damaged: 0,
            owned: Owner::is_owned(&directory).unwrap_or(false),
            sinks: Vec::new(),
            unreadable,
        };
        let sink = |cursor| SinkStatus {
            cursor,
            backlog: 0,
            oldest: None,
        };
        status.sinks = cursors.into_iter().map(sink).collect();
        let mut records = Records::after(&directory, 0).with_context(read)?;
        for record in &mut records {
            let record = record.with_context(read)?;
            status.records += 1;
            status.seq = status.seq.max(record.seq);
            for sink in &mut status.sinks {
                if record.seq > sink.cursor.seq {
                    sink.backlog += 1;
                    if sink.oldest.is_none() {
                        let event: Value = serde_json::from_slice(&record.json).unwrap_or_default();
                        sink.oldest = time(&event).map(str::to_owned);
                    }
                }
            }
        }
        status.damaged = records.damaged;
        Ok(status)
    }

    fn is_drained(&self) -> bool {
        self.sinks.iter().all(|sink| sink.backlog == 0)
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let epoch = self
            .epoch
            .as_deref()
            .unwrap_or("not written yet, or damaged");
        writeln!(text, "epoch    {epoch}")?;
        writeln!(text, "seq      {}", self.seq)?;
        writeln!(
            text,
            "stored   {} records, {} damaged",
            self.records, self.damaged
        )?;
        let owner = if self.owned {
            "an agent runs"
        } else {
            "no agent runs"
        };
        writeln!(text, "owner    {owner}")?;
        for SinkStatus {
            cursor,
            backlog,
            oldest,
        } in &self.sinks
        {
            let oldest = oldest.as_deref();
            let since = oldest.map_or(String::new(), |time| format!(", the oldest of {time}"));
            writeln!(
                text,
                "sink     {}: at {}, backlog {backlog}{since}; delivered {}, dropped {}, damaged {}, dead letters {}",
                passive(&cursor.sink),
                cursor.seq,
                cursor.delivered,
                cursor.dropped,
                cursor.damaged,
                cursor.dead_letters,
            )?;
            for dropped in &cursor.dropped_ranges {
                let (first, last, records) = (dropped.first, dropped.last, dropped.records);
                writeln!(
                    text,
                    "           dropped {first} to {last} ({records} records)"
                )?;
            }
            if let Some(trouble) = &cursor.trouble {
                writeln!(text, "           in trouble: {}", passive(trouble))?;
            }
        }
        for sink in &self.unreadable {
            writeln!(text, "sink     {}: its cursor is damaged", passive(sink))?;
        }
        Ok(text)
    }
}

/// Says how far each sink is. With an exit status of 1 where something was dropped, is damaged, or is in trouble.
pub fn status(state: &Path, as_json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let status = Status::read(state)?;
    if as_json {
        serde_json::to_writer(&mut *out, &status)?;
        writeln!(out)?;
    } else {
        out.write_all(status.text()?.as_bytes())?;
    }
    let is_well = |sink: &SinkStatus| {
        let cursor = &sink.cursor;
        cursor.dropped + cursor.damaged + cursor.dead_letters == 0 && cursor.trouble.is_none()
    };
    let are_readable = status.damaged == 0 && status.unreadable.is_empty();
    match are_readable && status.sinks.iter().all(is_well) {
        true => Ok(ExitCode::Success),
        false => Ok(ExitCode::Found),
    }
}

/// Waits until every sink has everything that is stored by now, for `timeout` at most. Where no agent runs that
/// would do it, this delivers. Exit status 1: some of it is still there.
pub fn drain(settings: &Settings, timeout: Duration) -> anyhow::Result<ExitCode> {
    let state = &settings.state.directory;
    let directory = &state.join(DIRECTORY_NAME);
    // Nothing is created where there is no store.
    drop(open(directory, u64::MAX - 1)?);
    if Owner::is_owned(directory).context("ask who owns the store")? {
        return watch_drain(state, timeout);
    }
    let place = StorePlace {
        directory,
        settings: &settings.store,
    };
    let writer = Writer::spawn(&settings.alerts, &settings.sinks, Some(place), clock::now)
        .context("open the alert log")?;
    // A sink that has to try again gets the time to do so.
    let has_backlog = || {
        writer
            .store_books()
            .sinks
            .iter()
            .any(|sink| sink.backlog > 0)
    };
    for _ in 0..timeout.as_millis() / LOOK_AGAIN.as_millis() {
        if !has_backlog() {
            break;
        }
        thread::sleep(LOOK_AGAIN);
    }
    let books = writer.shutdown(LOOK_AGAIN).store;
    if !books.durable {
        bail!("the store in {} cannot be used", directory.display());
    }
    match books.sinks.iter().all(|sink| sink.backlog == 0) {
        true => Ok(ExitCode::Success),
        false => Ok(ExitCode::Found),
    }
}

fn watch_drain(state: &Path, timeout: Duration) -> anyhow::Result<ExitCode> {
    let status = Status::read(state)?;
    if status.is_drained() {
        return Ok(ExitCode::Success);
    }
    let directory = state.join(DIRECTORY_NAME);
    for _ in 0..=timeout.as_millis() / LOOK_AGAIN.as_millis() {
        let (cursors, _) = cursors(&directory).context("read how far the sinks are")?;
        if cursors.iter().all(|cursor| cursor.seq >= status.seq) {
            return Ok(ExitCode::Success);
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(ExitCode::Found)
}

/// A reader that went away wants no more.
pub fn unless_broken_pipe(result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let is_gone = |error: &anyhow::Error| {
        let cause = error.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    };
    match result {
        Err(error) if is_gone(&error) => Ok(ExitCode::Success),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_in_one_line_shows_what_an_operator_looks_for() {
        let alert = br#"{"kind":"alert","id":"a1","revision":2,"severity":"medium","rule":{"name":"Modi\u001bfication"},"last_seen":"2026-11-24T02:40:43Z"}"#;
        assert_eq!(
            summary(7, alert),
            "7 2026-11-24T02:40:43Z medium alert a1/2 Modi\\x1bfication"
        );
        assert_eq!(summary(8, b"no JSON"), "8 - - - - -");
    }
}
