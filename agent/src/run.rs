//! The composition root, and the one event loop.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::Settings;
use crate::delivery::encode::{AlertContext, HostIdentity, Shape, shaped};
use crate::delivery::writer::{Accepted, Writer};
use crate::host::clock;
use crate::host::complete::Completer;
use crate::host::identity::Identity;
use crate::host::procfs::Procfs;
use crate::host::source::Source;
use crate::pipeline::Pipeline;
use crate::pipeline::decode::Decoder;
use crate::pipeline::detect::Detector;
use crate::pipeline::detect::limits::Limits;
use crate::pipeline::detect::rule::Rule;
use crate::pipeline::exec::Event;
use crate::pipeline::process_tree::TreeLimits;

/// How often the counters are read and compared.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// How long the writer may take to write what waits when the agent stops.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the agent until SIGTERM or SIGINT.
/// `shape` is that of standard output, if alerts go there; the log has JSON lines.
pub fn run(settings: &Settings, root: &Path, shape: Shape) -> anyhow::Result<()> {
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
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
            }
            agent.deliver();
        }
        agent.stop()
    })
}

/// Runs a future on a runtime of this one thread.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the event loop")?
        .block_on(future)
}

/// The host as a source of events, set up as the settings say.
pub fn attach(settings: &Settings, identity: &Identity, root: &Path) -> anyhow::Result<Source> {
    let decoder = Decoder {
        boot_id: identity.boot_id,
        dest: Some(dest(settings, identity).into()),
        host_id: identity.machine_id.as_deref().map(Arc::from),
    };
    let completer = Completer::new(Procfs::new(root.join("proc")));
    Source::attach(&settings.sensor, decoder, completer).context("attach the sensor")
}

/// The pipeline, set up as the settings say.
pub fn pipeline(settings: &Settings) -> anyhow::Result<Pipeline> {
    let spec = &settings.rules.linux_iptables_firewall_modification.spec;
    let rule = Rule::compile(spec.clone()).context("compile the rule")?;
    let detector = Detector::new(rule, Limits::default());
    Ok(Pipeline::new(detector, TreeLimits::default()))
}

/// CIM's `dest`: what the operator says, or the host's own name.
fn dest<'a>(settings: &'a Settings, identity: &'a Identity) -> &'a str {
    settings.host.name.as_deref().unwrap_or(&identity.name)
}

async fn sleep_or_never(due: Option<Duration>) {
    match due {
        Some(due) => sleep(due).await,
        None => std::future::pending().await,
    }
}

struct Agent {
    source: Source,
    pipeline: Pipeline,
    writer: Writer,
    /// How alerts are shown on standard output, if they go there.
    stdout: Option<Shape>,
    context: AlertContext,
    /// Execs lost, as last reported.
    lost: u64,
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
            lost: 0,
        })
    }

    fn drain(&mut self) -> usize {
        let Self {
            source, pipeline, ..
        } = self;
        source.drain(|event, now| pipeline.handle_event(&event, now))
    }

    fn deliver(&mut self) {
        while let Some(mut alert) = self.pipeline.next_alert() {
            alert.blindness.lost = match self.source.counters() {
                Ok(counters) => counters.execs_lost(),
                Err(_) => self.lost,
            };
            tracing::info!(
                id = %alert.id,
                revision = alert.revision,
                rule = alert.rule.name,
                ports = alert.port_count,
                count = alert.count,
                "alert"
            );
            if let Some(shape) = self.stdout {
                self.writer.show(shaped(&alert, &self.context, shape));
            }
            let line = shaped(&alert, &self.context, Shape::JsonLines);
            if self.writer.accept(line) == Accepted::Dropped {
                tracing::error!(id = %alert.id, revision = alert.revision, "alert lost: the queue is full");
            }
        }
    }

    /// Says so when execs have been lost since the last report.
    fn report(&mut self) {
        let counters = match self.source.counters() {
            Ok(counters) => counters,
            Err(error) => {
                tracing::error!(%error, "the sensor's counters cannot be read");
                return;
            }
        };
        let lost = counters.execs_lost();
        if lost > self.lost {
            let since = lost - self.lost;
            tracing::error!(lost = since, "execs lost: the agent could not keep up");
        }
        self.lost = lost;
    }

    /// Drains what is there, brings every open alert up to date and writes what waits.
    fn stop(mut self) -> anyhow::Result<()> {
        while self.drain() > 0 {
            self.deliver();
        }
        self.pipeline.flush(clock::now());
        self.deliver();
        self.report();
        self.say_totals()?;
        let written = self.writer.shutdown(STOP_DEADLINE);
        tracing::info!(?written, "stopped");
        Ok(())
    }

    fn say_totals(&self) -> anyhow::Result<()> {
        use wallwatch_common::Counter;
        let counters = self
            .source
            .counters()
            .context("read the sensor's counters")?;
        let received = self.source.received();
        tracing::info!(
            execs_seen = counters.get(Counter::ExecSeen),
            execs_urgent = counters.get(Counter::ExecUrgent),
            execs_bulk = counters.get(Counter::ExecBulk),
            execs_rescued = counters.get(Counter::ExecRescued),
            execs_dropped = counters.execs_dropped(),
            execs_missed = counters.execs_missed(),
            execs_received = received.execs,
            urgent_full = counters.get(Counter::UrgentFull),
            forks_seen = counters.get(Counter::ForkSeen),
            forks_dropped = counters.get(Counter::ForkDropped),
            exits_seen = counters.get(Counter::ExitSeen),
            exits_dropped = counters.get(Counter::ExitDropped),
            lineage_skipped = counters.lineage_skipped,
            argv_faults = counters.get(Counter::ArgvFault),
            argv_continued = counters.get(Counter::ArgvContinued),
            argv_broken = self.source.argv_broken(),
            exe_path_unknown = counters.get(Counter::ExePathUnknown),
            parent_path_unknown = counters.get(Counter::ParentPathUnknown),
            undecoded = received.undecoded,
            reconciled = counters.reconcile(),
            detector = ?self.pipeline.detector().counters(),
            "totals"
        );
        Ok(())
    }
}

/// The kernel programs' own log, when it is on.
struct KernelLog(Option<AsyncFd<aya_log::EbpfLogger<&'static dyn log::Log>>>);

impl KernelLog {
    fn new(source: &mut Source, settings: &Settings) -> anyhow::Result<Self> {
        if settings.sensor.kernel_log == crate::config::KernelLog::Off {
            return Ok(Self(None));
        }
        let logger = source
            .sensor_mut()
            .kernel_log()
            .context("open the kernel log")?;
        // SAFETY: the logger owns its ring's descriptor and keeps it for as long as it lives.
        let logger = unsafe {
            AsyncFd::register_with_interest(logger, tokio::io::Interest::READABLE)
                .map_err(io::Error::from)
                .context("watch the kernel log")?
        };
        Ok(Self(Some(logger)))
    }

    /// Hands on what the programs have said, as soon as they say something.
    async fn flush(&mut self) -> io::Result<()> {
        let Some(logger) = &mut self.0 else {
            return std::future::pending().await;
        };
        let mut guard = logger.readable_mut().await?;
        guard.get_inner_mut().flush();
        guard.clear_ready();
        Ok(())
    }
}
