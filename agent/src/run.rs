//! The agent: its one event loop.

use std::future::pending;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::compose::{attach, block_on, dest, pipeline};
use crate::config::{self, Settings};
use crate::delivery::encode::{AlertContext, HostIdentity, Shape, shaped};
use crate::delivery::writer::{Accepted, Writer, WriterCounts};
use crate::host::clock;
use crate::host::identity::Identity;
use crate::host::procfs::Procfs;
use crate::host::sensor::Sight;
use crate::host::source::Source;
use crate::pipeline::Pipeline;
use crate::pipeline::exec::Event;
use crate::report::{Losses, say_totals};

/// How often the counters are read and losses are said.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// How long the writer may take to write what waits when the agent stops.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Alerts that were made and did not reach the local log.
#[derive(Debug, thiserror::Error)]
#[error("{lost} alert lines did not reach the local log")]
pub struct AlertsLost {
    pub lost: u64,
}

/// Runs the agent until SIGTERM, SIGINT or SIGHUP. `shape` is that of standard output, if alerts go
/// there; the log has JSON lines.
pub fn run(settings: &Settings, root: &Path, shape: Shape) -> anyhow::Result<()> {
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
        let mut hangup = signal(SignalKind::hangup()).context("watch SIGHUP")?;
        let mut agent = Agent::start(settings, root, shape)?;
        let mut kernel_log = KernelLog::new(&mut agent.source, settings)?;
        let mut report = interval(REPORT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = agent.pipeline.poll_timeout(clock::now());
            tokio::select! {
                ready = agent.source.wait() => {
                    ready.context("wait for the rings")?;
                    agent.drain();
                }
                () = sleep_or_never(due) => agent.pipeline.handle_timeout(clock::now()),
                _ = report.tick() => agent.report(),
                ready = kernel_log.flush() => ready.context("read the kernel programs' log")?,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => break,
            }
            agent.deliver();
        }
        agent.stop()
    })
}

async fn sleep_or_never(due: Option<Duration>) {
    match due {
        Some(due) => sleep(due).await,
        None => pending().await,
    }
}

struct Agent {
    source: Source,
    pipeline: Pipeline,
    writer: Writer,
    /// How alerts are shown on standard output, if they go there.
    stdout: Option<Shape>,
    context: AlertContext,
    losses: Losses,
}

impl Agent {
    fn start(settings: &Settings, root: &Path, shape: Shape) -> anyhow::Result<Self> {
        let identity = Identity::read(root);
        let writer = Writer::spawn(&settings.alerts).context("open the alert log")?;
        let mut pipeline = pipeline(settings)?;
        let source = attach(settings, &identity, root)?;
        // The sensor is attached: what starts from here on is recorded, what runs is found here.
        let processes = Procfs::new(root.join("proc"))
            .processes()
            .context("read /proc")?;
        for process in processes {
            pipeline.handle_event(&Event::Running(Box::new(process)), clock::now());
        }
        if let Sight::Classic = source.sight() {
            tracing::warn!("half blind: {}", source.sight());
        }
        tracing::info!(
            kernel = identity.kernel,
            sight = %source.sight(),
            processes = pipeline.tree().len(),
            alerts = %settings.alerts.path.display(),
            rule = settings.rules.linux_iptables_firewall_modification.spec.identity.name,
            "armed"
        );
        let context = AlertContext {
            host: HostIdentity {
                name: dest(settings, &identity).to_owned(),
                id: identity.machine_id,
                boot_id: Some(identity.boot_id),
                os: identity.os,
                kernel: Some(identity.kernel),
            },
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Self {
            source,
            pipeline,
            writer,
            stdout: settings.alerts.stdout.then_some(shape),
            context,
            losses: Losses::default(),
        })
    }

    fn drain(&mut self) -> usize {
        let Self {
            source, pipeline, ..
        } = self;
        source.drain(|event, now| pipeline.handle_event(&event, now))
    }

    /// Hands every alert to the writer, and only then says so.
    fn deliver(&mut self) {
        let mut next = self.pipeline.next_alert();
        if next.is_some() {
            self.report();
        }
        while let Some(mut alert) = next {
            alert.blindness.lost = self.losses.execs;
            let line = shaped(&alert, &self.context, Shape::JsonLines);
            if let Some(shape) = self.stdout {
                self.writer.show(match shape {
                    Shape::JsonLines => line.clone(),
                    Shape::Human => shaped(&alert, &self.context, shape),
                });
            }
            let accepted = self.writer.accept(line);
            let (id, revision) = (alert.id, alert.revision);
            if accepted == Accepted::Dropped {
                tracing::error!(%id, revision, "alert lost: the queue is full");
            } else {
                let (ports, count) = (alert.port_count, alert.count);
                tracing::info!(%id, revision, rule = alert.rule.name, ports, count, "alert");
            }
            next = self.pipeline.next_alert();
        }
    }

    /// Says what has been lost since it was last said.
    fn report(&mut self) {
        match self.source.counters() {
            Ok(counters) => self.losses.report(&counters, &self.source, &self.pipeline),
            Err(error) => tracing::error!(%error, "the sensor's counters cannot be read"),
        }
    }

    /// Ends the watch, takes in what was seen until then, brings every open alert up to date and writes
    /// what waits.
    fn stop(mut self) -> anyhow::Result<()> {
        self.source.detach().context("detach the sensor")?;
        while self.drain() > 0 {
            self.deliver();
        }
        self.pipeline.flush(clock::now());
        self.deliver();
        self.report();
        let counters = self.source.counters().context("read the counters")?;
        say_totals(&counters, &self.source, &self.pipeline);
        let written = self.writer.shutdown(STOP_DEADLINE);
        check_written(written)?;
        tracing::info!(?written, "stopped");
        Ok(())
    }
}

fn check_written(counts: WriterCounts) -> Result<(), AlertsLost> {
    let lost = counts.log.dropped + counts.log.waiting;
    if lost > 0 {
        return Err(AlertsLost { lost });
    }
    Ok(())
}

/// The kernel programs' own log, when it is on.
struct KernelLog(Option<AsyncFd<EbpfLogger<&'static dyn log::Log>>>);

impl KernelLog {
    fn new(source: &mut Source, settings: &Settings) -> anyhow::Result<Self> {
        if settings.sensor.kernel_log == config::KernelLog::Off {
            return Ok(Self(None));
        }
        let logger = source
            .sensor_mut()
            .kernel_log()
            .context("open the kernel log")?;
        // SAFETY: the logger owns its ring's descriptor and keeps it for as long as it lives.
        let logger = unsafe {
            AsyncFd::register_with_interest(logger, Interest::READABLE)
                .map_err(io::Error::from)
                .context("watch the kernel log")?
        };
        Ok(Self(Some(logger)))
    }

    /// Hands on what the programs have said, as soon as they say something.
    async fn flush(&mut self) -> io::Result<()> {
        let Some(logger) = &mut self.0 else {
            return pending().await;
        };
        let mut guard = logger.readable_mut().await?;
        guard.get_inner_mut().flush();
        guard.clear_ready();
        Ok(())
    }
}
