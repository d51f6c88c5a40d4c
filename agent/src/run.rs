//! The agent: its one event loop.

use std::future::pending;
use std::io;
use std::path::Path;
use std::time::Duration;

mod edits;
mod manager;
mod netfilter;
mod timer;
mod xtables;

use anyhow::Context;
use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use self::edits::Edits;
use self::manager::{Manager, Progress};
use self::netfilter::{Netfilter, netfilter, save_state};
use self::timer::{every, sleep_or_never, tick};
use self::xtables::{Xtables, xtables};
use crate::compose::{alert_context, attach, block_on, pipeline};
use crate::config::{self, Settings};
use crate::delivery::encode::{
    AlertContext, Shape, heartbeat_line, notice_line, shaped, shaped_change_gap, shaped_finding,
    shaped_gap, shaped_summary,
};
use crate::delivery::store;
use crate::delivery::writer::{Accepted, StorePlace, Writer, WriterCounts};
use crate::host::clock;
use crate::host::counters::Counters;
use crate::host::hasher::Hasher;
use crate::host::identity::Identity;
use crate::host::procfs::Procfs;
use crate::host::sensor::Sight;
use crate::host::source::Source;
use crate::host::systemd::ServiceManager;
use crate::host::xtables::Look;
use crate::pipeline::Pipeline;
use crate::pipeline::exec::{Event, Running, Time};
use crate::pipeline::firewall::finding::Finding;
use crate::pipeline::loss::Loss;
use crate::pipeline::process_tree::TreeLimits;
use crate::pipeline::repeats::Summary;
use crate::pipeline::watch::{AgentState, Repair};
use crate::report::{Gaps, Pulse, Told, heartbeat, say_totals};
use crate::state::Keeper;

/// How often the counters are compared with what came.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(1);

/// Drains that a comparison waits for: twice what the largest of the usual rings holds. Whoever fills them
/// faster than they are drained must not keep the loop busy.
const CATCH_UP_DRAINS_MAX: usize = 16;

/// Execs that one look at the running processes brings back at most. Each costs some system calls, and
/// nothing is drained meanwhile.
const RECOVERED_MAX: usize = 1024;

/// Turns in which what nf_tables said is read when the agent stops; each takes up to 1024 datagrams.
const LAST_TURNS_MAX: usize = 64;

/// How long the last look at the tables of x_tables may take.
const LAST_LOOK_MAX: Duration = Duration::from_secs(2);

/// How long the writer may take to write what waits when the agent stops.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Alerts that were made and are neither stored nor delivered.
#[derive(Debug, thiserror::Error)]
#[error("{lost} alert lines reached neither the store nor the local log")]
pub struct AlertsLost {
    pub lost: u64,
}

/// Runs the agent until SIGTERM or SIGINT. `shape` is that of standard output, if alerts go
/// there; the log has JSON lines.
pub fn run(settings: &Settings, root: &Path, shape: Shape) -> anyhow::Result<()> {
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
        let mut hangup = signal(SignalKind::hangup()).context("watch SIGHUP")?;
        let mut agent = Agent::start(settings, root, shape)?;
        let mut kernel_log = KernelLog::new(&mut agent.source, settings)?;
        let mut reconcile = every(RECONCILE_INTERVAL);
        let mut save = every(settings.state.save_interval);
        let mut heartbeat = settings.heartbeat.interval.map(every);
        let mut look = agent.manager.look_interval().map(every);
        agent.beat(AgentState::Armed);
        let status = agent.status();
        agent.manager.ready(status);
        loop {
            let due = agent.pipeline.poll_timeout(clock::now());
            let look_due = agent.xtables.due(clock::now());
            tokio::select! {
                ready = agent.source.wait() => {
                    ready.context("wait for the rings")?;
                    agent.drain();
                }
                () = sleep_or_never(due) => agent.pipeline.handle_timeout(clock::now()),
                _ = reconcile.tick() => agent.reconcile().context("read what nf_tables says")?,
                _ = save.tick() => {
                    save_state(&mut agent.keeper, agent.pipeline.tree(), &agent.netfilter);
                    agent.xtables.save(&mut agent.keeper, clock::now());
                }
                () = agent.keeper.finished() => {}
                () = tick(&mut heartbeat) => agent.beat(AgentState::Watching),
                () = tick(&mut look) => agent.feed_watchdog(),
                ready = agent.netfilter.wait() => {
                    ready.context("wait for nf_tables")?;
                    agent.hear().context("read what nf_tables says")?;
                }
                () = sleep_or_never(look_due) => {
                    agent.xtables.look(agent.pipeline.tree(), clock::now());
                }
                look = agent.xtables.answer() => agent.take_look(look),
                ready = agent.edits.wait() => {
                    ready.context("wait for edits of the firewall's configuration")?;
                    agent.take_edits().context("read edits of the firewall's configuration")?;
                }
                (content, sha256) = agent.hasher.answer() => agent.pipeline.handle_hash(content, sha256),
                ready = kernel_log.flush() => ready.context("read the kernel programs' log")?,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => agent.reload(),
            }
            agent.deliver();
        }
        agent.stop().await
    })
}

struct Agent {
    source: Source,
    pipeline: Pipeline,
    writer: Writer,
    keeper: Keeper,
    netfilter: Netfilter,
    xtables: Xtables,
    edits: Edits,
    hasher: Hasher,
    manager: Manager,
    /// Drains of the rings since the start.
    drains: u64,
    /// How alerts are shown on standard output, if they go there.
    stdout: Option<Shape>,
    context: AlertContext,
    told: Told,
    gaps: Gaps,
    since: Time,
    heartbeat_interval: Option<Duration>,
    heartbeats: u64,
    /// Alert lines handed to the log.
    alerts: u64,
}

impl Agent {
    fn start(settings: &Settings, root: &Path, shape: Shape) -> anyhow::Result<Self> {
        let identity = Identity::read(root);
        let mut pipeline = pipeline(settings)?;
        pipeline.limit_repeats(settings.repeats);
        let mut keeper = Keeper::new(&settings.state, identity.boot_id);
        pipeline.recall(keeper.recall(TreeLimits::default().processes_max));
        let mut source = attach(settings, &identity, root, settings.tamper.enabled)?;
        // What happens while the store is read waits in the rings.
        let place = StorePlace {
            directory: &settings.state.directory.join(store::DIRECTORY_NAME),
            settings: &settings.store,
        };
        let writer = Writer::spawn(&settings.alerts, &settings.sinks, Some(place), clock::now)
            .context("open the alert log")?;
        let since = clock::now();
        let (netfilter, changed) = netfilter(settings, root, &mut keeper, since);
        pipeline.hears_netlink(netfilter.hears());
        let hears_calls = source.watches_xtables();
        let (xtables, tables_changed) =
            xtables(&settings.tamper, root, &mut keeper, hears_calls, since);
        pipeline.reads_tables_of(xtables.reads());
        let edits = edits(settings, root);
        let procfs = Procfs::new(root.join("proc"));
        let hasher = Hasher::spawn(procfs).context("start the thread that hashes")?;
        take_in_running(&mut source, &mut pipeline)?;
        pipeline.end_recall();
        for made in changed.iter().chain(&tables_changed) {
            pipeline.handle_made(made);
        }
        if let Sight::Classic = source.sight() {
            tracing::warn!("half blind: {}", source.sight());
        }
        for doubt in settings.doubts(clock::now().wall_ns) {
            tracing::warn!("{doubt}");
        }
        tracing::info!(
            kernel = identity.kernel,
            sight = %source.sight(),
            processes = pipeline.tree().len(),
            recalled = keeper.counts().recalled,
            alerts = %settings.alerts.path.display(),
            rule = settings.rules.linux_iptables_firewall_modification.spec.identity.name,
            "armed"
        );
        let context = alert_context(settings, identity);
        Ok(Self {
            source,
            pipeline,
            writer,
            keeper,
            netfilter,
            xtables,
            edits,
            hasher,
            manager: Manager::new(ServiceManager::of_environment()),
            drains: 0,
            stdout: settings.alerts.stdout.then_some(shape),
            context,
            told: Told::default(),
            gaps: Gaps::default(),
            since,
            heartbeat_interval: settings.heartbeat.interval,
            heartbeats: 0,
            alerts: 0,
        })
    }

    fn drain(&mut self) -> usize {
        self.drains += 1;
        let Self {
            source,
            pipeline,
            xtables,
            ..
        } = self;
        source.drain(|event, now| {
            pipeline.handle_event(&event, now);
            xtables.handle_event(&event, pipeline.tree());
        })
    }

    /// Takes in what nf_tables says was done, when every exec from before it has been taken in: an exec's
    /// record is in its ring before the program can change anything.
    fn hear(&mut self) -> io::Result<()> {
        let heard = self.netfilter.hear(clock::now())?;
        self.catch_up();
        for transaction in heard.transactions {
            let made = self.netfilter.made(transaction, self.pipeline.tree());
            self.pipeline.handle_made(&made);
        }
        for made in &heard.changed {
            self.pipeline.handle_made(made);
        }
        Ok(())
    }

    /// Takes in what came until the end: what is not told in this run must not be in what is kept of the ruleset.
    fn hear_all(&mut self) -> io::Result<()> {
        for _ in 0..LAST_TURNS_MAX {
            self.hear()?;
            if !self.netfilter.has_more() {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what the tables of x_tables hold, when every call from before it has been taken in.
    fn take_look(&mut self, look: Look) {
        self.catch_up();
        for made in self.xtables.made(look) {
            self.pipeline.handle_made(&made);
        }
        self.pipeline.reads_tables_of(self.xtables.reads());
    }

    /// Looks a last time: what is not told in this run must not be in what is kept of the tables.
    async fn last_look(&mut self) {
        let look = async {
            if self.xtables.is_looking() {
                let look = self.xtables.answer().await;
                self.take_look(look);
            }
            self.xtables.look(self.pipeline.tree(), clock::now());
            if self.xtables.is_looking() {
                let look = self.xtables.answer().await;
                self.take_look(look);
            }
        };
        if timeout(LAST_LOOK_MAX, look).await.is_err() {
            tracing::warn!("the tables of x_tables could not be read a last time");
        }
    }

    /// Takes in who edited the firewall's configuration, when every exec from before it has been taken in.
    fn take_edits(&mut self) -> io::Result<()> {
        let edits = self.edits.read(clock::now())?;
        self.catch_up();
        for edit in &edits {
            self.pipeline.handle_edit(edit);
        }
        Ok(())
    }

    /// Drains the rings until they are empty, or up to a bound.
    fn catch_up(&mut self) {
        for _ in 0..CATCH_UP_DRAINS_MAX {
            if self.drain() == 0 {
                break;
            }
            self.deliver();
        }
    }

    /// Hands every alert to the writer, and only then says so.
    fn deliver(&mut self) {
        let mut next = self.pipeline.next_alert();
        if next.is_some()
            && let Some(counters) = self.counters()
        {
            self.told.say(&counters, &self.source, &self.pipeline);
        }
        while let Some(mut alert) = next {
            alert.blindness.lost = self.told.execs;
            let line = shaped(&alert, &self.context, Shape::JsonLines);
            if let Some(shape) = self.stdout {
                self.writer.show(match shape {
                    Shape::JsonLines => line.clone(),
                    Shape::Human => shaped(&alert, &self.context, shape),
                });
            }
            self.alerts += 1;
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
        while let Some(finding) = self.pipeline.next_finding() {
            self.deliver_finding(&finding);
        }
        while let Some(summary) = self.pipeline.next_summary() {
            self.deliver_summary(&summary);
        }
        while let Some(wanted) = self.pipeline.next_wanted() {
            if let Some((content, sha256)) = self.hasher.ask(wanted) {
                self.pipeline.handle_hash(content, sha256);
            }
        }
    }

    fn deliver_finding(&mut self, finding: &Finding) {
        let line = shaped_finding(finding, &self.context, Shape::JsonLines);
        if let Some(shape) = self.stdout {
            self.writer.show(match shape {
                Shape::JsonLines => line.clone(),
                Shape::Human => shaped_finding(finding, &self.context, shape),
            });
        }
        self.alerts += 1;
        let accepted = self.writer.accept(line);
        let (id, revision, finding) = (finding.id, finding.revision, finding.kind.as_str());
        if accepted == Accepted::Dropped {
            tracing::error!(%id, revision, finding, "finding lost: the queue is full");
        } else {
            tracing::info!(%id, revision, finding, "finding");
        }
    }

    fn deliver_summary(&mut self, summary: &Summary) {
        let line = shaped_summary(summary, &self.context, Shape::JsonLines);
        if let Some(shape) = self.stdout {
            self.writer
                .show(shaped_summary(summary, &self.context, shape));
        }
        let Summary { id, withheld, .. } = summary;
        tracing::warn!(%id, withheld, what = &*summary.what, "a storm: the others are only counted");
        if self.writer.accept(line) == Accepted::Dropped {
            tracing::error!(%id, "summary lost: the queue is full");
        }
    }

    /// Compares what was seen with what came. What is missing becomes a gap. What is in the rings by now is
    /// taken in first: it may say whose the missing were.
    fn reconcile(&mut self) -> io::Result<()> {
        // So that a gap in what nf_tables says is known to within the interval.
        self.hear()?;
        self.tell_change_gap();
        self.tell_notices();
        if self.manager.is_there() {
            let status = self.status();
            self.manager.status(status);
        }
        let Some(counters) = self.counters() else {
            return Ok(());
        };
        self.told.say(&counters, &self.source, &self.pipeline);
        self.check_attached();
        if let Some(loss) = self.source.loss(&counters, clock::now()) {
            self.tell(&loss, &counters);
        }
        Ok(())
    }

    /// Tells when changes of nf_tables were not heard, if that was so. What is missing has been found by then,
    /// as far as a listing can.
    fn tell_change_gap(&mut self) {
        let Some(gap) = self.netfilter.take_gap() else {
            return;
        };
        let gap = self.gaps.next_change_gap(gap);
        let shape = |shape| shaped_change_gap(&gap, &self.context, shape);
        let line = shape(Shape::JsonLines);
        let shown = self.stdout.map(shape);
        self.accept_gap(gap.number, line, shown);
    }

    /// Tells what happened to alerts on their way.
    fn tell_notices(&mut self) {
        for notice in self.writer.notices() {
            let line = notice_line(&notice, clock::now(), &self.context);
            if self.writer.accept(line) == Accepted::Dropped {
                tracing::error!(?notice, "notice lost: the queue is full");
            }
        }
    }

    /// SIGHUP.
    fn reload(&mut self) {
        self.manager.reloading();
        tracing::info!("certificates and secrets of the sinks are read anew");
        self.writer.reload_sinks();
        let status = self.status();
        self.manager.ready(status);
    }

    /// For whoever asks the service manager.
    fn status(&self) -> String {
        manager::status(self.alerts, self.told.execs, &self.writer.store_books())
    }

    /// The rings are drained once a second at least, when the counters are compared.
    fn feed_watchdog(&mut self) {
        self.manager.look(Progress {
            drains: self.drains,
            store_turns: self.writer.store_turns(),
        });
    }

    fn accept_gap(&mut self, gap: u64, line: Vec<u8>, shown: Option<Vec<u8>>) {
        if let Some(shown) = shown {
            self.writer.show(shown);
        }
        if self.writer.accept(line) == Accepted::Dropped {
            tracing::error!(gap, "gap event lost: the queue is full");
        }
    }

    fn check_attached(&mut self) {
        match self.source.sensor_mut().check_attached() {
            Ok(false) => {}
            Ok(true) => tracing::error!("somebody took off a kernel program; it is back"),
            Err(error) => {
                tracing::error!("somebody took off a kernel program, which stays off: {error:#}");
            }
        }
    }

    fn counters(&self) -> Option<Counters> {
        let counters = self.source.counters();
        counters
            .inspect_err(|error| tracing::error!(%error, "the sensor's counters cannot be read"))
            .ok()
    }

    /// Repairs a loss as far as that can be done, and tells the rest.
    fn tell(&mut self, loss: &Loss, counters: &Counters) {
        let repair = self
            .repair(clock::at(loss.to_ns))
            .inspect_err(|error| tracing::warn!("the gap is not repaired: {error:#}"))
            .ok()
            .flatten();
        let mut gap = self.gaps.next(
            loss,
            counters,
            &mut self.source,
            &self.pipeline,
            repair,
            clock::at,
        );
        self.pipeline.redaction().gap(&mut gap);
        let causes: Vec<String> = gap
            .losses
            .causes()
            .map(|(cause, execs)| format!("{execs} {}", cause.as_str()))
            .collect();
        tracing::error!(
            gap = gap.number,
            lost = gap.losses.total(),
            causes = causes.join(", "),
            "execs lost"
        );
        let line = shaped_gap(&gap, &self.context, Shape::JsonLines);
        let shown = self.stdout;
        let shown = shown.map(|shape| shaped_gap(&gap, &self.context, shape));
        self.accept_gap(gap.number, line, shown);
    }

    /// Judges what runs now and was missed when it began. `None` where the kernel cannot list what runs.
    fn repair(&mut self, gap_end: Time) -> anyhow::Result<Option<Repair>> {
        let listed = clock::now();
        let Some(running) = self.source.list().context("list the processes")? else {
            return Ok(None);
        };
        let missed = self.pipeline.compare_with_running(&running, listed);
        let repair = Repair {
            processes: running.len() as u64,
            execs: missed.execs.len().min(RECOVERED_MAX) as u64,
            execs_omitted: missed.execs.len().saturating_sub(RECOVERED_MAX) as u64,
            ended: missed.ended,
        };
        for index in missed.execs.into_iter().take(RECOVERED_MAX) {
            let mut exec = running[index].clone();
            self.source.complete_listed(&mut exec, listed);
            self.pipeline.handle_recovered(exec, gap_end, clock::now());
        }
        Ok(Some(repair))
    }

    /// Says that the agent lives, and what its books say.
    fn beat(&mut self, state: AgentState) {
        let Some(counters) = self.counters() else {
            return;
        };
        self.heartbeats += 1;
        let is_last = state == AgentState::Stopping;
        let pulse = Pulse {
            number: self.heartbeats,
            state,
            time: clock::now(),
            since: self.since,
            interval_s: self
                .heartbeat_interval
                .filter(|_| !is_last)
                .map(|interval| interval.as_secs()),
            alerts: self.alerts,
            gaps: self.gaps.count(),
            lines: self.writer.line_counts(),
            store: self.writer.store_books(),
            netfilter: self.netfilter.books(),
            xtables: self.xtables.books(),
        };
        let heartbeat = heartbeat(pulse, &counters, &self.source, &self.pipeline);
        let line = heartbeat_line(&heartbeat, &self.context);
        if self.stdout == Some(Shape::JsonLines) {
            self.writer.show(line.clone());
        }
        if self.writer.accept(line) == Accepted::Dropped {
            tracing::error!("heartbeat lost: the queue is full");
        }
    }

    /// Ends the watch, takes in what was seen until then, brings every open alert up to date and writes
    /// what waits.
    async fn stop(mut self) -> anyhow::Result<()> {
        self.manager.stopping();
        self.source.detach().context("detach the sensor")?;
        while self.drain() > 0 {
            self.deliver();
        }
        self.hear_all().context("read what nf_tables says")?;
        self.last_look().await;
        self.take_edits()
            .context("read edits of the firewall's configuration")?;
        self.pipeline.flush(clock::now());
        self.deliver();
        self.pipeline.flush_summaries(clock::now());
        self.deliver();
        self.tell_change_gap();
        let counters = self.source.counters().context("read the counters")?;
        self.told.say(&counters, &self.source, &self.pipeline);
        if let Some(loss) = self.source.last_loss(&counters, clock::now()) {
            self.tell(&loss, &counters);
            self.deliver();
        }
        self.beat(AgentState::Stopping);
        say_totals(&counters, &self.source, &self.pipeline);
        let written = self.writer.shutdown(STOP_DEADLINE);
        let (tree, netfilter, xtables) = (self.pipeline.tree(), &self.netfilter, &self.xtables);
        let save = |keeper: &mut Keeper| {
            save_state(keeper, tree, netfilter);
            xtables.save(keeper, clock::now());
        };
        let state = self.keeper.close(save, STOP_DEADLINE).await;
        check_written(&written)?;
        tracing::info!(?written, ?state, "stopped");
        Ok(())
    }
}

/// The watch of the firewall's configuration, where changes of the firewall are judged.
fn edits(settings: &Settings, root: &Path) -> Edits {
    if settings.tamper.enabled {
        Edits::open(root)
    } else {
        Edits::closed()
    }
}

/// What runs when the sensor has just been attached: all that starts from here on is recorded.
fn take_in_running(source: &mut Source, pipeline: &mut Pipeline) -> anyhow::Result<()> {
    let now = clock::now();
    let Some(execs) = source.list().context("list the processes")? else {
        for running in source.list_procfs().context("read /proc")? {
            pipeline.handle_event(&Event::Running(Box::new(running)), now);
        }
        return Ok(());
    };
    for mut exec in execs {
        source.complete_listed(&mut exec, now);
        pipeline.handle_event(&Event::Running(Box::new(Running::from(exec))), now);
    }
    Ok(())
}

fn check_written(counts: &WriterCounts) -> Result<(), AlertsLost> {
    match counts.lost() {
        0 => Ok(()),
        lost => Err(AlertsLost { lost }),
    }
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
