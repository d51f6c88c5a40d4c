//! `wallwatch sinks`: the receivers of the configuration, and a marked event through each of them.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use uuid::Uuid;

use crate::config::{Destination, SinkSettings, SyslogTransport, Written};
use crate::delivery::encode::human::passive_within;
use crate::delivery::encode::json::{passive_line, stamped};
use crate::delivery::encode::{AlertContext, notice_line};
use crate::delivery::sink::{Delivery, Record, Trouble};
use crate::delivery::sinks::Receiver;
use crate::exit_code::ExitCode;
use crate::host::clock;
use crate::pipeline::watch::{Notice, NoticeKind};

/// Of what a receiver answered, as it is shown.
const ANSWER_BYTES_MAX: usize = 1000;

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Delivered,
    /// The agent would try again.
    Failed,
    /// Somebody has to change something.
    Held,
    /// The receiver would never take it.
    Refused,
    TimedOut,
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed: the agent tries again until it succeeds",
            Self::Held => {
                "held: the agent waits until this is changed and wallwatch gets a SIGHUP; it also tries once a minute"
            }
            Self::Refused => {
                "refused: the agent puts such an event among the dead letters and goes on"
            }
            Self::TimedOut => "no answer within the time of this test",
        }
    }
}

#[derive(Debug, Serialize)]
struct Tested {
    sink: String,
    to: String,
    outcome: Outcome,
    milliseconds: u64,
    /// Why it was not delivered.
    why: Option<String>,
    /// What the receiver said.
    answer: Option<String>,
}

/// Sends a marked event to the sinks that are `named`, or to all, whatever each selects, and says what came back.
/// Exit status 1: one of them does not have it, or there is no such sink.
pub fn test(
    sinks: &[Written<SinkSettings>],
    named: &[String],
    context: &AlertContext,
    timeout: Duration,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    for name in named {
        if !sinks.iter().any(|sink| sink.value.name == *name) {
            tracing::error!(
                "no sink is called {}",
                passive_within(name, ANSWER_BYTES_MAX)
            );
            return Ok(ExitCode::Found);
        }
    }
    let is_meant = |sink: &&SinkSettings| named.is_empty() || named.contains(&sink.name);
    let meant = sinks.iter().map(|sink| &sink.value).filter(is_meant);
    let mut running = Vec::new();
    for sink in meant {
        running.push((sink, begin(sink, context)?));
    }
    if running.is_empty() {
        tracing::warn!("the configuration has no [[sinks]]: alerts go to the local log alone");
    }
    let end = clock::now()
        .boot_ns
        .saturating_add(timeout.as_nanos() as u64);
    let mut code = ExitCode::Success;
    for (sink, answer) in running {
        let left = Duration::from_nanos(end.saturating_sub(clock::now().boot_ns));
        let tested = finish(sink, &answer, left, timeout);
        if tested.outcome != Outcome::Delivered {
            code = ExitCode::Found;
        }
        if as_json {
            out.write_all(&passive_line(&tested)?)?;
        } else {
            out.write_all(text(&tested)?.as_bytes())?;
        }
    }
    Ok(code)
}

/// What a thread of its own makes of one sink: none waits for another.
struct Answer {
    delivery: Delivery,
    words: Option<String>,
    milliseconds: u64,
}

fn begin(sink: &SinkSettings, context: &AlertContext) -> anyhow::Result<mpsc::Receiver<Answer>> {
    let record = test_record(&sink.name, context);
    let mut receiver = Receiver::new(sink);
    let (answered, answer) = mpsc::channel();
    let work = move || {
        let begin = clock::now().boot_ns;
        let delivery = receiver.deliver_unselected(&record);
        let took_ns = clock::now().boot_ns.saturating_sub(begin);
        let words = receiver.answer();
        let milliseconds = took_ns / 1_000_000;
        // Whoever asked may have given up.
        answered
            .send(Answer {
                delivery,
                words,
                milliseconds,
            })
            .ok();
    };
    let named = thread::Builder::new().name("sink-test".to_owned());
    named.spawn(work).context("start a thread")?;
    Ok(answer)
}

/// An event like those about the agent itself, which says that it is a test.
fn test_record(sink: &str, context: &AlertContext) -> Record {
    let notice = Notice {
        sink: sink.to_owned(),
        kind: NoticeKind::Test,
    };
    let line = notice_line(&notice, clock::now(), context);
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    // It is in no store: an epoch of its own, so that no receiver takes it for another one.
    let (epoch, seq) = (Uuid::new_v4(), 1);
    Record {
        seq,
        json: stamped(line, epoch, seq),
    }
}

fn finish(
    sink: &SinkSettings,
    answer: &mpsc::Receiver<Answer>,
    left: Duration,
    timeout: Duration,
) -> Tested {
    let tested = |outcome, milliseconds, why, answer| Tested {
        sink: sink.name.clone(),
        to: target(&sink.destination),
        outcome,
        milliseconds,
        why,
        answer,
    };
    let Answer {
        delivery,
        words,
        milliseconds,
    } = match answer.recv_timeout(left) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => {
            let milliseconds = timeout.as_millis() as u64;
            return tested(Outcome::TimedOut, milliseconds, None, None);
        }
        Err(RecvTimeoutError::Disconnected) => {
            let why = Some("the test itself failed".to_owned());
            return tested(Outcome::Failed, 0, why, None);
        }
    };
    let (outcome, why) = match delivery.trouble {
        // A warning beside success, as of a receiver that is near its capacity.
        Some(Trouble::Retry { why, .. } | Trouble::Hold { why }) if delivery.delivered > 0 => {
            (Outcome::Delivered, Some(why))
        }
        Some(Trouble::Retry { why, .. }) => (Outcome::Failed, Some(why)),
        Some(Trouble::Hold { why }) => (Outcome::Held, Some(why)),
        Some(Trouble::Poison { why }) => (Outcome::Refused, Some(why)),
        None if delivery.delivered > 0 => (Outcome::Delivered, None),
        None => (Outcome::Failed, None),
    };
    tested(outcome, milliseconds, why, words)
}

fn text(tested: &Tested) -> anyhow::Result<String> {
    let Tested {
        sink,
        to,
        outcome,
        milliseconds,
        why,
        answer,
    } = tested;
    let mut text = format!("{sink} ({})\n", passive_within(to, ANSWER_BYTES_MAX));
    writeln!(text, "  {} ({milliseconds} ms)", outcome.words())?;
    for (head, words) in [("why", why), ("answer", answer)] {
        if let Some(words) = words {
            writeln!(
                text,
                "  {head}: {}",
                passive_within(words, ANSWER_BYTES_MAX)
            )?;
        }
    }
    Ok(text)
}

/// One line for each sink: its name, its type, where it is, in which format.
pub fn list(sinks: &[Written<SinkSettings>], out: &mut impl Write) -> anyhow::Result<ExitCode> {
    for sink in sinks {
        let SinkSettings {
            name,
            format,
            selection: _,
            destination,
        } = &sink.value;
        let to = passive_within(&target(destination), ANSWER_BYTES_MAX);
        writeln!(out, "{name} {to} {}", format.as_str())?;
    }
    Ok(ExitCode::Success)
}

/// The type and the place of a receiver.
fn target(destination: &Destination) -> String {
    match destination {
        Destination::File(file) => format!("file {}", file.path.display()),
        Destination::Journald(journald) => format!("journald {}", journald.socket.display()),
        Destination::Syslog(syslog) => match &syslog.transport {
            SyslogTransport::Udp { address } => format!("syslog udp {address}"),
            SyslogTransport::Tcp { address } => format!("syslog tcp {address}"),
            SyslogTransport::Tls { address, .. } => format!("syslog tls {address}"),
            SyslogTransport::Unix { path } => format!("syslog unix {}", path.display()),
        },
        Destination::Hec(hec) => format!("hec {}", hec.endpoint.server()),
        Destination::Otlp(otlp) => format!("otlp {}", otlp.endpoint.server()),
        Destination::Http(http) => format!("http {}", http.endpoint.server()),
        Destination::Elastic(elastic) => format!("elastic {}", elastic.endpoint.server()),
    }
}
