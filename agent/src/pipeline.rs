//! The brain: bytes and facts in, alerts out. It does no I/O and reads no clock; `now` is an argument.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

pub mod alert;
pub mod assemble;
pub mod cgroup;
pub mod decode;
pub mod detect;
pub mod exec;
pub mod failed_exec;
pub mod filter;
pub mod firewall;
pub mod interpreter;
pub mod loss;
pub mod process_tree;
pub mod provenance;
pub mod redact;
pub mod repeats;
pub mod tty;
pub mod watch;

use alert::{Alert, Ancestor};
use detect::{Detector, OverlongPaths, Who};
use exec::{Event, ExePath, Exec, Time, Unknown};
use firewall::edit::ConfigEdit;
use firewall::finding::Finding;
use firewall::hashes::{Content, Wanted};
use firewall::origin::origin;
use firewall::tamper::{Made, Tamper, TamperCounters};
use process_tree::memory::Remembered;
use process_tree::{ProcessTree, TreeLimits};
use provenance::Program;
use redact::Redaction;
use repeats::{RepeatLimits, Repeats, Summary};

/// What a listing of the running processes brings to light.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Of the listing, those whose exec was lost.
    pub execs: Vec<usize>,
    /// Processes that had ended unseen.
    pub ended: u64,
}

/// What was made of one exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub rule: detect::explain::Explanation,
    /// The parent claims another executable than the one it was started from, and is not excluded by it.
    pub parent_is_replaced: bool,
    /// `None` when changes of the firewall are not judged.
    pub tamper: Option<firewall::tamper::explain::Explanation>,
}

/// The stages, in the order in which an event passes them.
pub struct Pipeline {
    tree: ProcessTree,
    detector: Detector,
    overlong: OverlongPaths,
    /// `None` when changes of the firewall are not judged.
    tamper: Option<Tamper>,
    redaction: Redaction,
    repeats: Repeats,
}

impl Pipeline {
    pub fn new(detector: Detector, tamper: Option<Tamper>, tree_limits: TreeLimits) -> Self {
        Self {
            tree: ProcessTree::new(tree_limits),
            detector,
            overlong: OverlongPaths::default(),
            tamper,
            redaction: Redaction::default(),
            repeats: Repeats::default(),
        }
    }

    /// What leaves the pipeline from now on shows no secret that fits.
    #[must_use]
    pub fn with_redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// From now on a storm becomes a few alerts and a summary.
    pub fn limit_repeats(&mut self, limits: RepeatLimits) {
        self.repeats = Repeats::new(limits);
    }

    pub fn handle_event(&mut self, event: &Event, now: Time) {
        self.tree.handle_event(event);
        if let Event::XtablesReplace(replace) = event {
            self.handle_made(&Made::from(replace));
        }
        if let Event::Exec(exec) = event {
            self.overlong.handle_exec(exec);
            if let Some(tamper) = &mut self.tamper {
                tamper.handle_exec(exec, &self.tree);
            }
            let Self {
                tree,
                detector,
                tamper,
                ..
            } = self;
            let who = || who(exec, tree, tamper.as_ref());
            detector.handle_exec_of(&as_it_counts(exec, tree), who, now);
        }
    }

    /// What every layer makes of an exec. To be asked when it has been handled, and before the next one.
    pub fn explain(&self, exec: &Exec) -> Explanation {
        let counted = as_it_counts(exec, &self.tree);
        Explanation {
            rule: self.detector.explain(&counted),
            parent_is_replaced: matches!(counted, Cow::Owned(_)),
            tamper: self.tamper.as_ref().map(|tamper| tamper.explain(exec)),
        }
    }

    /// What the kernel says was done to the firewall. Every exec from before it must have been handled.
    pub fn handle_made(&mut self, made: &Made) {
        if let Some(tamper) = &mut self.tamper {
            tamper.handle_made(made, &self.tree);
        }
    }

    /// A file from which a firewall is loaded was edited. Every exec from before it must have been handled.
    pub fn handle_edit(&mut self, edit: &ConfigEdit) {
        if let Some(tamper) = &mut self.tamper {
            tamper.handle_edit(edit, &self.tree);
        }
    }

    /// From now on [`handle_made`](Self::handle_made) is called for each change of nf_tables.
    pub fn hears_netlink(&mut self, hears: bool) {
        if let Some(tamper) = &mut self.tamper {
            tamper.set_hears_netlink(hears);
        }
    }

    /// From now on [`handle_made`](Self::handle_made) is called for each change of a table of x_tables in that network
    /// namespace, by its inode number; `None`: it is not.
    pub fn reads_tables_of(&mut self, net: Option<u32>) {
        if let Some(tamper) = &mut self.tamper {
            tamper.set_reads_tables_of(net);
        }
    }

    /// Which of the running processes run something that the tree does not know of: their exec was lost. And
    /// those that the tree takes for living, and that are not listed, have ended.
    pub fn compare_with_running(&mut self, running: &[Exec], listed: Time) -> Missed {
        let execs = (0..running.len())
            .filter(|&index| self.tree.lacks_exec_of(&running[index]))
            .collect();
        let living = running.iter().map(|exec| exec.process).collect();
        Missed {
            execs,
            ended: self.tree.end_all_but(&living, listed),
        }
    }

    /// An exec that was lost, of a process that still runs. When it was is not known: at the earliest when
    /// the process began, at the latest at the end of the gap.
    pub fn handle_recovered(&mut self, mut exec: Exec, gap_end: Time, now: Time) {
        let start_ns = exec.process.start_ns;
        let since_start_ns = gap_end.boot_ns.saturating_sub(start_ns);
        exec.time = gap_end;
        if self.tree.is_new(exec.process) {
            exec.time = Time {
                boot_ns: gap_end.boot_ns - since_start_ns,
                wall_ns: gap_end.wall_ns.saturating_sub(since_start_ns),
            };
        }
        self.handle_event(&Event::Exec(Box::new(exec)), now);
    }

    /// What an earlier run of the agent remembered of this boot. To be called before the first event; when
    /// every process that runs has been handled, [`end_recall`](Self::end_recall) follows.
    pub fn recall(&mut self, remembered: impl IntoIterator<Item = Remembered>) {
        self.tree.recall(remembered);
    }

    /// Every process that runs has been handled: what was remembered and is not among them has ended.
    pub fn end_recall(&mut self) {
        self.tree.end_recall();
    }

    /// Harmless early, harmful late: sends what is due and lets go of what is over.
    pub fn handle_timeout(&mut self, now: Time) {
        self.detector.handle_timeout(now);
        if let Some(tamper) = &mut self.tamper {
            tamper.handle_timeout(now);
        }
        self.repeats.handle_timeout(now);
    }

    /// The input has ended (a replay): every open alert gets its last revision.
    pub fn handle_end(&mut self, now: Time) {
        self.detector.handle_end(now);
        self.flush_findings();
    }

    /// The agent stops, nothing is over: every open alert is brought up to date.
    pub fn flush(&mut self, now: Time) {
        self.detector.flush(now);
        self.flush_findings();
    }

    fn flush_findings(&mut self) {
        if let Some(tamper) = &mut self.tamper {
            tamper.flush();
        }
    }

    /// How long from `now` until [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self, now: Time) -> Option<Duration> {
        let due = [
            self.detector.poll_timeout(now),
            self.tamper
                .as_ref()
                .and_then(|tamper| tamper.poll_timeout(now)),
            self.repeats.poll_timeout(now),
        ];
        due.into_iter().flatten().min()
    }

    /// The next executable of a finding whose hash is not known.
    pub fn next_wanted(&mut self) -> Option<Wanted> {
        self.tamper.as_mut()?.next_wanted()
    }

    /// What was found out of one that was wanted; `None` when that could not be.
    pub fn handle_hash(&mut self, content: Content, sha256: Option<[u8; 32]>) {
        if let Some(tamper) = &mut self.tamper {
            tamper.handle_hash(content, sha256);
        }
    }

    /// Tells of what was withheld, as far as it has been taken out by now.
    pub fn flush_summaries(&mut self, now: Time) {
        self.repeats.flush(now);
    }

    pub fn next_finding(&mut self) -> Option<Finding> {
        let tamper = self.tamper.as_mut()?;
        let mut finding = loop {
            let finding = tamper.next_finding()?;
            if self.repeats.admits_finding(&finding) {
                break finding;
            }
        };
        self.redaction.finding(&mut finding);
        Some(finding)
    }

    pub fn tamper_counters(&self) -> Option<TamperCounters> {
        Some(self.tamper.as_ref()?.counters())
    }

    /// Lines that each filter withheld, by its name.
    pub fn suppressed(&self) -> BTreeMap<String, u64> {
        let mut suppressed = self.detector.counters().suppressed;
        let of_findings = self.tamper.iter().flat_map(Tamper::suppressed);
        for (name, lines) in of_findings {
            *suppressed.entry(name.clone()).or_default() += lines;
        }
        suppressed
    }

    pub fn next_alert(&mut self) -> Option<Alert> {
        let mut alert = loop {
            let next = self.detector.next_alert();
            let alert = next.or_else(|| self.overlong.next_alert())?;
            if self.repeats.admits_alert(&alert) {
                break alert;
            }
        };
        alert.ancestry = self.tree.lineage(alert.parent);
        alert.origin = self.origin(&alert);
        if alert.ancestry.is_empty() {
            alert.ancestry.push(parent_alone(&alert));
        }
        self.redaction.alert(&mut alert);
        Some(alert)
    }

    /// Who began the first exec of an alert, when the parent only adopted its process.
    fn origin(&self, alert: &Alert) -> Vec<Ancestor> {
        let Some(exec) = alert.execs.first() else {
            return Vec::new();
        };
        let mut origin = self.tree.lineage(exec.process);
        let is_by_parent = origin
            .get(1)
            .is_none_or(|creator| creator.process.tgid == alert.parent.tgid);
        if is_by_parent {
            return Vec::new();
        }
        origin.remove(0);
        origin
    }

    /// Of alerts and findings that were not told one by one.
    pub fn next_summary(&mut self) -> Option<Summary> {
        self.repeats.next_summary()
    }

    /// Lines of alerts and findings that only summaries count.
    pub fn repeats_withheld(&self) -> u64 {
        self.repeats.lines_withheld()
    }

    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Execs with a path beyond `PATH_MAX` that were counted and not told.
    pub fn overlong_repeated(&self) -> u64 {
        self.overlong.repeated()
    }

    pub fn tree(&self) -> &ProcessTree {
        &self.tree
    }
}

/// Who is behind an exec, for filters.
fn who(exec: &Exec, tree: &ProcessTree, tamper: Option<&Tamper>) -> Who {
    let lineage = tree.lineage(exec.process);
    let managers = tamper.map_or(&[][..], Tamper::managers);
    let origin = origin(&lineage, exec.cgroup.as_deref(), managers);
    Who { lineage, origin }
}

/// The exec as the rule counts it. A parent's path that is a pretence is none.
fn as_it_counts<'a>(exec: &'a Exec, tree: &ProcessTree) -> Cow<'a, Exec> {
    if !tree.parent_is_replaced(exec) {
        return Cow::Borrowed(exec);
    }
    Cow::Owned(Exec {
        parent_exe: ExePath::Unknown(Unknown::Replaced),
        ..exec.clone()
    })
}

/// What the execs themselves tell about the parent, when the tree has lost it.
fn parent_alone(alert: &Alert) -> Ancestor {
    Ancestor {
        process: alert.parent,
        script: None,
        claimed_script: None,
        program: Program::default(),
        exe: match alert.parent_unknown {
            Some(reason) => ExePath::Unknown(reason),
            None => ExePath::Known(alert.key.parent_process_path.clone()),
        },
        command_line: Vec::new(),
        command_line_bytes_full: 0,
        exec_time: None,
        ended: false,
    }
}
