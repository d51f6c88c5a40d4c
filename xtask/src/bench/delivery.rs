//! The way of alerts: how many a second are stored for good, how many a second reach a receiver, and what memory it
//! takes when the spool is full and nobody answers. No root, no kernel.

use std::fmt::{self, Display};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Serialize;

use super::process::{Memory, Process, memory};
use super::table::Table;
use crate::{cmd, time};

/// Events of about 1.1 KiB. The writer's store holds some 58,000 of them.
const EVENTS: u64 = 30_000;
const EVENTS_OF_FULL_SPOOL: u64 = 160_000;
const DEAD_SINKS: u64 = 5;
/// Events after which the memory is read.
const LOOKS: [u64; 5] = [5_000, 40_000, 80_000, 120_000, 160_000];
/// Of one measurement.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    stored_per_s: f64,
    delivered_per_s: f64,
    /// By events stored so far.
    memory: Vec<(u64, Memory)>,
}

impl Delivery {
    pub(crate) fn measure(folder: &Path) -> anyhow::Result<Self> {
        let arguments = ["build", "--locked", "--release", "-p", "wallwatch"];
        cmd::run(
            cmd::cargo()
                .args(arguments)
                .args(["--example", "store-writer"]),
        )?;
        let writer = cmd::target().join("release/examples/store-writer");
        let bench = Bench { writer, folder };
        Ok(Self {
            stored_per_s: bench.stored()?,
            delivered_per_s: bench.delivered()?,
            memory: bench.memory()?,
        })
    }
}

impl Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rates = Table::new(["events of 1.1 KiB", "a second"]);
        let rate = |rate: f64| format!("{rate:.0}");
        rates.row([
            "stored for good, and in the local log".into(),
            rate(self.stored_per_s),
        ]);
        rates.row([
            "at a syslog receiver over TCP".into(),
            rate(self.delivered_per_s),
        ]);
        writeln!(f, "{rates}")?;
        let dead = format!("own memory with {DEAD_SINKS} dead sinks, KiB");
        let mut table = Table::new(["events stored".to_owned(), dead, "resident, KiB".to_owned()]);
        for (events, memory) in &self.memory {
            let Memory {
                anonymous_kib,
                resident_kib,
            } = memory;
            table.row([events, anonymous_kib, resident_kib].map(u64::to_string));
        }
        write!(f, "{table}")
    }
}

struct Bench<'a> {
    writer: PathBuf,
    folder: &'a Path,
}

impl Bench<'_> {
    /// A writer of so many events, with a state of its own, and what it says.
    fn start(&self, name: &str, events: u64, sinks: &str) -> anyhow::Result<(Process, Lines)> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let config = folder.join("wallwatch.toml");
        fs::write(&config, sinks).context("write the sinks")?;
        let mut command = Command::new(&self.writer);
        command.args([folder.join("state"), folder.join("alerts.jsonl")]);
        command.args(["1", &events.to_string()]).arg(config);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(&mut command)?;
        let stdout = process.0.stdout.take().context("its output")?;
        Ok((process, Lines(BufReader::new(stdout))))
    }

    fn stored(&self) -> anyhow::Result<f64> {
        let (mut process, mut lines) = self.start("stored", EVENTS, "")?;
        let first = lines.stored_up_to(1)?.context("nothing was stored")?;
        let begin = time::now();
        let mut last = first;
        while let Some(stored) = lines.stored_up_to(last + 1)? {
            last = stored;
        }
        let took = begin.elapsed();
        process.stop(libc::SIGTERM, PATIENCE)?;
        ensure!(last > EVENTS / 2, "only {last} events were stored");
        Ok((last - first) as f64 / took.as_secs_f64())
    }

    fn delivered(&self) -> anyhow::Result<f64> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
        let address = listener.local_addr().context("which port")?;
        let got = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&got);
        thread::spawn(move || {
            if let Ok((connection, _)) = listener.accept() {
                count(connection, &theirs);
            }
        });
        let sink = format!(
            "[[sinks]]\nname = \"syslog\"\ntype = \"syslog\"\ntransport = \"tcp\"\naddress = \"{address}\"\n"
        );
        let begin = time::now();
        let (mut process, mut lines) = self.start("delivered", EVENTS, &sink)?;
        // Its output must not fill its pipe.
        thread::spawn(move || while lines.stored_up_to(1).is_ok_and(|line| line.is_some()) {});
        while got.load(Ordering::Relaxed) < EVENTS {
            if begin.elapsed() > PATIENCE {
                bail!("{} of {EVENTS} events came", got.load(Ordering::Relaxed));
            }
            thread::sleep(Duration::from_millis(5));
        }
        let took = begin.elapsed();
        process.stop(libc::SIGKILL, PATIENCE)?;
        Ok(EVENTS as f64 / took.as_secs_f64())
    }

    fn memory(&self) -> anyhow::Result<Vec<(u64, Memory)>> {
        // Nobody listens there.
        let sink = |number| {
            format!(
                "[[sinks]]\nname = \"dead-{number}\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1\"\n"
            )
        };
        let sinks: String = (1..=DEAD_SINKS).map(sink).collect();
        let (mut process, mut lines) = self.start("memory", EVENTS_OF_FULL_SPOOL, &sinks)?;
        let mut looks = Vec::new();
        for events in LOOKS {
            if lines.stored_up_to(events)?.is_none() {
                bail!("the writer ended before {events} events were stored");
            }
            looks.push((events, memory(process.pid())?));
        }
        process.stop(libc::SIGKILL, PATIENCE)?;
        Ok(looks)
    }
}

/// What a writer says: `stored N`.
struct Lines(BufReader<ChildStdout>);

impl Lines {
    /// Reads until at least so many are stored; `None` when it says no more.
    fn stored_up_to(&mut self, events: u64) -> anyhow::Result<Option<u64>> {
        let mut line = String::new();
        while self
            .0
            .read_line(&mut line)
            .context("read what the writer says")?
            > 0
        {
            let stored = line.trim_end().strip_prefix("stored ");
            let stored = stored.and_then(|number| number.parse().ok());
            if let Some(stored) = stored.filter(|stored| *stored >= events) {
                return Ok(Some(stored));
            }
            line.clear();
        }
        Ok(None)
    }
}

/// Frames of RFC 6587, section 3.4.1, which are let go.
fn count(connection: TcpStream, got: &AtomicU64) {
    let mut stream = BufReader::new(connection);
    loop {
        let mut length = Vec::new();
        if stream.read_until(b' ', &mut length).is_err() {
            return;
        }
        let length = str::from_utf8(&length)
            .ok()
            .and_then(|text| text.trim_end().parse().ok());
        let Some(length) = length else { return };
        let mut message = (&mut stream).take(length);
        if std::io::copy(&mut message, &mut std::io::sink()).ok() != Some(length) {
            return;
        }
        got.fetch_add(1, Ordering::Relaxed);
    }
}
