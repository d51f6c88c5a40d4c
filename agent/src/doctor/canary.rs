//! The canary: harmless tagged execs, which the real sensor, the real pipeline and the real alert log
//! must bring to the disk.
//!
//! The rule is the doctor's own and fits nothing but the tag, so that neither an exec of the host nor
//! an agent that runs beside it has a part in this.

mod flock;
mod log_folder;
mod outcome;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use crate::compose::{alert_context, attach, block_on};
use crate::config::Settings;
use crate::delivery::encode::{AlertContext, Shape, shaped};
use crate::delivery::writer::Writer;
use crate::host::identity::Identity;
use crate::host::procfs::Procfs;
use crate::host::sensor::SensorError;
use crate::host::source::Source;
use crate::host::{capabilities, clock};
use crate::pipeline::Pipeline;
use crate::pipeline::alert::{Alert, RuleIdentity, Severity, WindowMode};
use crate::pipeline::detect::rule::{RuleSpec, WindowSpec};
use crate::pipeline::detect::{Detector, Limits, Rule};
use crate::pipeline::exec::{Event, Exec, Time, basename};
use crate::pipeline::process_tree::TreeLimits;

use flock::Flock;
use log_folder::LogFolder;
pub use outcome::{Books, Flight, Landed, Landing, Outcome, Times};

/// What each canary says its port is; all of them together make the alert.
pub const PORTS: [&str; 3] = ["1", "2", "3"];

/// Bytes of a name that the map of urgent names takes.
const URGENT_NAME_BYTES_MAX: usize = 15;

/// The hidden command: stays until its standard input ends, so that a sensor which has to look into
/// `/proc` finds it alive. Nothing else.
pub fn sing() -> io::Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

/// Lets the canaries fly and waits for their alert, at most for `patience`.
pub fn fly(settings: &Settings, root: &Path, patience: Duration) -> Outcome {
    let missing = capabilities::missing();
    if !missing.is_empty() {
        return Outcome::NotAllowed { missing };
    }
    block_on(try_to_fly(settings, root, patience)).unwrap_or_else(|error| {
        match error.downcast_ref::<SensorError>() {
            Some(sensor) => Outcome::NotAttached {
                is_permission: sensor.is_permission(),
                error: format!("{error:#}"),
            },
            None => Outcome::Broken {
                error: format!("{error:#}"),
            },
        }
    })
}

async fn try_to_fly(
    settings: &Settings,
    root: &Path,
    patience: Duration,
) -> anyhow::Result<Outcome> {
    let exe = fs::read_link("/proc/self/exe").context("find the own program")?;
    let tag = format!(
        "wallwatch-{:x}-{:x}",
        std::process::id(),
        clock::now().boot_ns
    );
    let mut settings = settings.clone();
    // The canary takes the urgent ring, as the execs that matter do; its forks take the other one.
    settings.sensor.urgent_names.extend(urgent_name(&exe));
    let identity = Identity::read(root);
    let source = attach(&settings, &identity, root, false)?;
    let mut watch = Watch {
        source,
        pipeline: pipeline(&tag)?,
        tag: tag.clone().into_bytes(),
        seen: BTreeMap::new(),
    };
    watch.find_running(root);
    let flock = Flock::start(&tag, &PORTS).context("start the canary")?;
    let alert = match timeout(patience, watch.alert()).await {
        Ok(alert) => Some(alert?),
        Err(_) => None,
    };
    let alerted_ns = clock::now().boot_ns;
    flock.end();
    let landing = match alert {
        None => Landing::Missing { waited: patience },
        Some(alert) => {
            let context = alert_context(&settings, identity);
            land(&settings, &alert, &context, patience).map_or_else(
                |error| Landing::Unwritten {
                    error: format!("{error:#}"),
                },
                |landed| Landing::Landed(watch.compare(landed, &alert, alerted_ns, &exe)),
            )
        }
    };
    watch.end(landing)
}

/// The letters by which the kernel program would know the canary; none when its name has none.
fn urgent_name(exe: &Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    let letters: String = basename(exe.as_os_str().as_bytes())
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .take(URGENT_NAME_BYTES_MAX)
        .map(|&byte| char::from(byte))
        .collect();
    (!letters.is_empty()).then_some(letters)
}

fn pipeline(tag: &str) -> anyhow::Result<Pipeline> {
    let rule = Rule::compile(rule(tag)).context("compile the canary's rule")?;
    let detector = Detector::new(rule, Limits::default());
    Ok(Pipeline::new(detector, None, TreeLimits::default()))
}

fn rule(tag: &str) -> RuleSpec {
    RuleSpec {
        identity: RuleIdentity {
            id: "wallwatch-doctor-canary".to_owned(),
            name: "wallwatch doctor canary".to_owned(),
            version: 1,
            severity: Severity::Informational,
            risk_score: 0,
            mitre_technique_id: Vec::new(),
        },
        process: vec![format!("* canary {tag} *")],
        not_parent_process_path: Vec::new(),
        port_prefix: "--port ".to_owned(),
        ports: PORTS.map(str::to_owned).to_vec(),
        port_count_min: PORTS.len() as u64,
        window: WindowSpec {
            mode: WindowMode::Sliding,
            span_s: 3600,
            offset_s: 0,
        },
        filters: Vec::new(),
    }
}

/// An alert on its way to the disk.
struct Written {
    directory: PathBuf,
    substitute: Option<String>,
    disk_ns: u64,
    line: Value,
}

/// Writes the alert as the agent does, to a log of its own, and reads it back.
fn land(
    settings: &Settings,
    alert: &Alert,
    context: &AlertContext,
    patience: Duration,
) -> anyhow::Result<Written> {
    let folder = LogFolder::beside(&settings.alerts.path)?;
    let mut alerts = settings.alerts.clone();
    alerts.path = folder.log();
    alerts.stdout = false;
    let writer = Writer::spawn(&alerts, &[], None, clock::now).context("open the canary's log")?;
    // Whatever the answer is, the line is in the log afterwards or it is not.
    let accepted = writer.accept(shaped(alert, context, Shape::JsonLines));
    let counts = writer.shutdown(patience);
    let disk_ns = clock::now().boot_ns;
    let text = fs::read_to_string(&alerts.path).context("read the canary's log")?;
    let line = serde_json::from_str(&text)
        .with_context(|| format!("read the alert back ({accepted:?}, {counts:?})"))?;
    Ok(Written {
        directory: folder.beside.clone(),
        substitute: folder.substitute.clone(),
        disk_ns,
        line,
    })
}

/// The attached sensor, and what it told of the canaries.
struct Watch {
    source: Source,
    pipeline: Pipeline,
    tag: Vec<u8>,
    /// Each canary's exec, and when its record was taken from the ring.
    seen: BTreeMap<Uuid, (Exec, Time)>,
}

impl Watch {
    /// As the agent does when it is armed.
    fn find_running(&mut self, root: &Path) {
        let processes = Procfs::new(root.join("proc")).processes();
        for process in processes.unwrap_or_default() {
            let event = Event::Running(Box::new(process));
            self.pipeline.handle_event(&event, clock::now());
        }
    }

    async fn alert(&mut self) -> anyhow::Result<Alert> {
        loop {
            self.source.wait().await.context("wait for the rings")?;
            self.drain();
            self.pipeline.handle_timeout(clock::now());
            if let Some(alert) = self.pipeline.next_alert() {
                return Ok(alert);
            }
        }
    }

    fn drain(&mut self) -> usize {
        let Self {
            source,
            pipeline,
            tag,
            seen,
        } = self;
        source.drain(|event, now| {
            if let Event::Exec(exec) = &event
                && exec.argv.arguments().any(|argument| argument == tag)
            {
                seen.insert(exec.guid(), ((**exec).clone(), now));
            }
            pipeline.handle_event(&event, now);
        })
    }

    /// What was written against what was seen.
    fn compare(&self, written: Written, alert: &Alert, alert_ns: u64, exe: &Path) -> Landed {
        let last = self.seen.values().max_by_key(|(exec, _)| exec.time.boot_ns);
        let times = Times {
            exec_ns: last.map_or(0, |(exec, _)| exec.time.boot_ns),
            record_ns: last.map_or(0, |(_, now)| now.boot_ns),
            alert_ns,
            disk_ns: written.disk_ns,
        };
        Landed {
            id: alert.id,
            differences: differences(&written.line, alert, &self.seen, exe),
            directory: written.directory,
            substitute: written.substitute,
            times,
        }
    }

    /// Detaches the sensor and takes in what is left, so that the books can be compared.
    fn end(mut self, landing: Landing) -> anyhow::Result<Outcome> {
        self.source.detach().context("detach the sensor")?;
        while self.drain() > 0 {}
        let books = match self.source.counters() {
            Ok(counters) => Ok(Books::of(&counters, self.source.received())),
            Err(error) => Err(format!("{:#}", anyhow::Error::new(error))),
        };
        Ok(Outcome::Flown(Box::new(Flight {
            sight: self.source.sight().clone(),
            seen: self.seen.len(),
            landing,
            books,
        })))
    }
}

/// Each line names one thing that the alert on the disk has otherwise than it was.
fn differences(
    line: &Value,
    alert: &Alert,
    seen: &BTreeMap<Uuid, (Exec, Time)>,
    exe: &Path,
) -> Vec<String> {
    let strings = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        let mut strings: Vec<_> = items.filter_map(Value::as_str).map(str::to_owned).collect();
        strings.sort();
        strings
    };
    let guids: Vec<String> = seen.keys().map(Uuid::to_string).collect();
    let mut commands: Vec<String> = seen.values().map(|(exec, _)| command(exec)).collect();
    commands.sort();
    let mut differences = Vec::new();
    let mut expect = |what: &str, found: String, is_right: bool| {
        if !is_right {
            differences.push(format!("{what} is {found}"));
        }
    };
    let id = line["id"].as_str();
    expect("id", format!("{id:?}"), id == Some(&*alert.id.to_string()));
    let found = strings(&line["guids"]);
    expect("guids", format!("{found:?}"), found == guids);
    let found = strings(&line["ports"]);
    expect("ports", format!("{found:?}"), found == PORTS);
    let found = strings(&line["processes_exec"]);
    expect("processes_exec", format!("{found:?}"), found == commands);
    // In a changed root the kernel's path is longer than that of the process itself.
    let own = exe.to_string_lossy();
    let found = line["parent_process_path"].as_str();
    let is_own = found.is_some_and(|path| path.ends_with(own.trim_end_matches(" (deleted)")));
    expect("parent_process_path", format!("{found:?}"), is_own);
    differences
}

fn command(exec: &Exec) -> String {
    let mut bytes = Vec::new();
    exec.argv.join_into(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
