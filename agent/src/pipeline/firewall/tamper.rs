//! The join: what commands ask for and what the kernel says was done, by process, lineage and origin, into
//! findings that grow instead of repeating themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::allowed::Allowed;
use super::assess::{Meaning, meaning};
use super::change::{Backend, Command, FirewallChange, Operation, Which};
use super::disguise;
use super::edit::EditEvidence;
use super::finding::{ChangeEvidence, Finding, FindingKind, Reason, Witness};
use super::group::Group;
use super::hashes::{Content, Hashes, Wanted};
use super::origin::{Origin, is_system_path, origin};
use super::program::{command_of, may_be_tool};
use super::severity::{reasons_of_exec, reasons_of_lineage};
use crate::pipeline::alert::{Ancestor, Evidence};
use crate::pipeline::detect::excerpt::excerpt;
use crate::pipeline::detect::hit::evidence;
use crate::pipeline::exec::{ExePath, Exec, ProcessKey, Time, Unknown, basename};
use crate::pipeline::filter::{self, Fits};
use crate::pipeline::process_tree::ProcessTree;

/// How much the layer may hold, and when it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TamperLimits {
    /// Findings that may still grow. The one that was quiet for longest gives way.
    pub groups_max: usize,
    /// Execs of firewall tools that are remembered for the change that follows.
    pub tools_max: usize,
    /// A finding is over when nothing was added for so long.
    pub quiet: Duration,
    /// A finding that grew is told again after so long, not at each step.
    pub revision_interval: Duration,
    /// The same for one that is informational.
    pub revision_interval_informational: Duration,
}

impl Default for TamperLimits {
    fn default() -> Self {
        Self {
            groups_max: 1024,
            tools_max: 1024,
            quiet: Duration::from_secs(300),
            revision_interval: Duration::from_secs(2),
            revision_interval_informational: Duration::from_secs(3600),
        }
    }
}

/// What the layer saw, and what it could not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TamperCounters {
    /// Execs of firewall tools that change something.
    pub commands: u64,
    /// Those that only read.
    pub queries: u64,
    /// Those that the tool itself refuses.
    pub rejected: u64,
    /// Transactions of netfilter.
    pub transactions: u64,
    /// Edits of files from which a firewall is loaded.
    pub edits: u64,
    /// Findings closed before their time, for lack of room.
    pub groups_dropped: u64,
    /// Executables that were to be hashed and were not, for lack of room.
    pub hashes_refused: u64,
}

/// What a finding has to show.
enum Deed {
    /// The exec itself, which the actor has.
    Exec,
    Change(Meaning, ChangeEvidence),
    Edit(EditEvidence),
}

/// Who did it, and what is known of that.
struct Actor {
    process: Option<ProcessKey>,
    lineage: Vec<Ancestor>,
    origin: Option<Origin>,
    exec: Option<Arc<Evidence>>,
    reasons: BTreeSet<Reason>,
}

/// The stage.
#[derive(Debug)]
pub struct Tamper {
    limits: TamperLimits,
    /// Executables and scripts that are managers by the operator's word.
    managers: Vec<Box<[u8]>>,
    allowed: Allowed,
    hashes: Hashes,
    groups: BTreeMap<(FindingKind, Option<ProcessKey>), Group>,
    /// Oldest first.
    tools: VecDeque<Arc<Evidence>>,
    findings: VecDeque<Finding>,
    counters: TamperCounters,
    /// Whether the kernel's own word on nf_tables is heard: then what a command line cannot tell is left to
    /// it.
    hears_netlink: bool,
    /// The network namespace whose tables of x_tables are read after each change: the same goes for those.
    reads_tables_of: Option<u32>,
    /// The latest moment that it was told of.
    latest_ns: u64,
    host: Host,
}

/// As the first exec named it.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    pub(super) dest: Option<Arc<str>>,
    id: Option<Arc<str>>,
}

impl Host {
    fn learn(&mut self, exec: &Exec) {
        if self.dest.is_none() && self.id.is_none() {
            self.dest = exec.dest.clone();
            self.id = exec.host_id.clone();
        }
    }
}

impl Tamper {
    pub fn new(limits: TamperLimits, managers: Vec<Box<[u8]>>) -> Self {
        Self {
            limits,
            managers,
            allowed: Allowed::default(),
            hashes: Hashes::default(),
            groups: BTreeMap::new(),
            tools: VecDeque::new(),
            findings: VecDeque::new(),
            counters: TamperCounters::default(),
            hears_netlink: false,
            reads_tables_of: None,
            latest_ns: 0,
            host: Host::default(),
        }
    }

    /// With what the operator wants not to be told.
    #[must_use]
    pub fn with_allowed(self, allowed: Allowed) -> Self {
        Self { allowed, ..self }
    }

    pub fn managers(&self) -> &[Box<[u8]>] {
        &self.managers
    }

    /// Lines that each filter withheld, by its name.
    pub fn suppressed(&self) -> &BTreeMap<String, u64> {
        self.allowed.suppressed()
    }

    /// From now on [`handle_made`](Self::handle_made) is called for each change of nf_tables.
    pub fn set_hears_netlink(&mut self, hears: bool) {
        self.hears_netlink = hears;
    }

    /// From now on [`handle_made`](Self::handle_made) is called for each change of a table of x_tables in that network
    /// namespace, by its inode number; `None`: it is not.
    pub fn set_reads_tables_of(&mut self, net: Option<u32>) {
        self.reads_tables_of = net;
    }

    pub fn counters(&self) -> TamperCounters {
        TamperCounters {
            hashes_refused: self.hashes.refused(),
            ..self.counters
        }
    }

    /// To be called when the tree knows of the exec.
    pub fn handle_exec(&mut self, exec: &Exec, tree: &ProcessTree) {
        self.host.learn(exec);
        let command = command(exec);
        let mut kinds: Vec<_> = disguises(exec, command.as_ref())
            .map(|kind| (kind, None))
            .collect();
        match &command {
            None => {}
            Some(Command::Query) => self.counters.queries += 1,
            Some(Command::Rejected { .. }) => self.counters.rejected += 1,
            Some(Command::Changes(changes)) => {
                self.counters.commands += 1;
                kinds.extend(changes.iter().filter_map(|change| {
                    self.judge(change, exec)
                        .map(|meaning| (meaning.kind, Some((meaning, change))))
                }));
            }
        }
        if command.is_none() && kinds.is_empty() {
            return;
        }
        let mut text = Vec::new();
        exec.argv.join_into(&mut text);
        let mut found = evidence(exec, excerpt(&text, &[]), None);
        found.exe_sha256 = self.hashes.of(exec);
        let found = Arc::new(found);
        if command.is_some() {
            self.remember(Arc::clone(&found));
        }
        if kinds.is_empty() {
            return;
        }
        let actor = self.actor(Some(exec.process), Some(found), tree);
        for (kind, judged) in kinds {
            let deed = judged.map_or(Deed::Exec, |(meaning, change)| {
                let evidence = ChangeEvidence {
                    time: exec.time,
                    witness: Witness::Command,
                    process: Some(exec.process),
                    nsid: None,
                    change: change.clone(),
                };
                Deed::Change(meaning, evidence)
            });
            self.add(kind, &actor, deed, exec.time);
        }
    }

    /// Harmless early, harmful late.
    pub fn handle_timeout(&mut self, now: Time) {
        self.latest_ns = self.latest_ns.max(now.boot_ns);
        let Self {
            limits,
            groups,
            findings,
            allowed,
            ..
        } = self;
        for group in groups.values_mut() {
            findings.extend(group.handle_timeout(limits, allowed, now));
        }
        groups.retain(|_, group| !group.is_closed());
    }

    pub fn poll_timeout(&self, now: Time) -> Option<Duration> {
        let due_ns = self
            .groups
            .values()
            .map(|group| group.due_ns(&self.limits))
            .min()?;
        Some(Duration::from_nanos(due_ns.saturating_sub(now.boot_ns)))
    }

    /// Nothing is over, but the agent stops: what was not told is told now.
    pub fn flush(&mut self) {
        let Self {
            groups,
            findings,
            allowed,
            ..
        } = self;
        let untold = groups.values_mut().filter_map(|group| group.flush(allowed));
        findings.extend(untold);
    }

    /// The next executable of a finding whose hash is not known.
    pub fn next_wanted(&mut self) -> Option<Wanted> {
        self.hashes.next_wanted()
    }

    /// What was found out of one that was wanted; `None` when that could not be.
    pub fn handle_hash(&mut self, content: Content, sha256: Option<[u8; 32]>) {
        self.hashes.answer(content, sha256);
        let Some(sha256) = sha256 else { return };
        for group in self.groups.values_mut() {
            group.add_hash(content, sha256);
        }
        for tool in &mut self.tools {
            content.enter(sha256, Arc::make_mut(tool));
        }
    }

    pub fn next_finding(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// What a change means that a command asks for, as far as the command can tell.
    fn judge(&self, change: &FirewallChange, exec: &Exec) -> Option<Meaning> {
        self.is_judged(change, exec).then(|| meaning(change))?
    }

    /// Whether a command's own word is enough. Which rule goes by its number, and what the members of a
    /// set get, only the kernel can tell, if it is heard.
    fn is_judged(&self, change: &FirewallChange, exec: &Exec) -> bool {
        let needs_more = matches!(
            change.operation,
            Operation::DeleteRule(Which::Index(_) | Which::Handle(_))
                | Operation::ReplaceRule {
                    which: Which::Index(_) | Which::Handle(_),
                    ..
                }
                | Operation::AddElements { .. }
                | Operation::DeleteElements { .. }
        );
        let is_told = match change.backend {
            Backend::Nftables | Backend::XtablesNft => self.hears_netlink,
            Backend::XtablesLegacy => self.reads_tables_of == Some(exec.namespaces.net.inum),
            Backend::Xtables
            | Backend::Ipset
            | Backend::Ufw
            | Backend::Firewalld
            | Backend::Service
            | Backend::Kernel => false,
        };
        !(needs_more && is_told)
    }

    fn add(&mut self, kind: FindingKind, actor: &Actor, deed: Deed, time: Time) {
        if actor.ends_trial(&deed) {
            return;
        }
        let origin = actor.origin.as_ref().map(|origin| origin.process);
        let key = (kind, origin);
        if !self.groups.contains_key(&key) {
            self.make_room();
        }
        let fits = self.fits(actor, &deed);
        let host = &self.host;
        let group = self.groups.entry(key).or_insert_with(|| {
            let id = finding_id(host, kind, origin, time);
            Group::new(
                id,
                kind,
                host.clone(),
                actor.origin.clone().unwrap_or_else(Origin::unknown),
                time,
            )
        });
        if let Some(fits) = fits {
            group.add_fits(fits);
        }
        group.add_reasons(&actor.reasons);
        group.add_actor(&actor.lineage, actor.exec.as_ref());
        match deed {
            Deed::Exec => {}
            Deed::Change(meaning, change) => {
                if meaning.indirect {
                    group.add_reasons(&BTreeSet::from([Reason::Indirect]));
                }
                if meaning.unrestricted {
                    group.add_reasons(&BTreeSet::from([Reason::Unrestricted]));
                }
                group.add_change(change);
            }
            Deed::Edit(edit) => group.add_edit(edit),
        }
        self.latest_ns = self.latest_ns.max(time.boot_ns);
        group.seen(time, self.latest_ns);
        self.findings
            .extend(group.first_revision(&mut self.allowed));
    }

    /// Which filters fit what was done; `None` where there are none.
    fn fits(&self, actor: &Actor, deed: &Deed) -> Option<Fits> {
        let filters = self.allowed.filters();
        if filters.is_empty() {
            return None;
        }
        let change = match deed {
            Deed::Change(_, evidence) => Some(self.allowed.describe(&evidence.change)),
            Deed::Exec | Deed::Edit(_) => None,
        };
        let path = match deed {
            Deed::Edit(edit) => Some(&*edit.path),
            Deed::Exec | Deed::Change(..) => None,
        };
        let [process, parent] = [0, 1].map(|index| actor.lineage.get(index));
        let exec = actor.exec.as_deref();
        let whole = exec.filter(|exec| exec.argv_bytes_lost == 0);
        Some(filters.fits(&filter::deed::Deed {
            user: exec.and_then(|exec| exec.user.as_deref()),
            process_path: process.and_then(|process| process.exe.known()),
            parent_process_path: parent.and_then(|parent| parent.exe.known()),
            parent_process_id: parent.map(|parent| parent.process.tgid),
            process: whole.and_then(|exec| exec.process_text.whole()),
            cgroup: exec.and_then(|exec| exec.cgroup.as_deref()),
            lineage: &actor.lineage,
            origin: actor.origin.as_ref(),
            change: change.as_deref(),
            path,
        }))
    }

    fn actor(
        &self,
        process: Option<ProcessKey>,
        exec: Option<Arc<Evidence>>,
        tree: &ProcessTree,
    ) -> Actor {
        let lineage = process.map_or_else(Vec::new, |process| tree.lineage(process));
        let cgroup = exec.as_ref().and_then(|exec| exec.cgroup.clone());
        let origin = origin(&lineage, cgroup.as_deref(), &self.managers);
        let mut reasons = reasons_of_lineage(&lineage, origin.as_ref());
        if let Some(exec) = &exec {
            reasons.extend(reasons_of_exec(exec));
        }
        Actor {
            process,
            lineage,
            origin,
            exec,
            reasons,
        }
    }

    /// The finding that was quiet for longest is closed.
    fn make_room(&mut self) {
        while self.groups.len() >= self.limits.groups_max {
            let quietest = self
                .groups
                .iter()
                .min_by_key(|(_, group)| group.touched_ns())
                .map(|(key, _)| *key);
            let Some(mut group) = quietest.and_then(|key| self.groups.remove(&key)) else {
                return;
            };
            self.counters.groups_dropped += 1;
            self.findings.extend(group.close(&mut self.allowed));
        }
    }

    fn remember(&mut self, tool: Arc<Evidence>) {
        if self.tools.len() >= self.limits.tools_max {
            self.tools.pop_front();
        }
        self.tools.push_back(tool);
    }

    fn tool(&self, process: ProcessKey) -> Option<Arc<Evidence>> {
        let newest_first = self.tools.iter().rev();
        let mut own = newest_first.filter(|tool| tool.process == process);
        own.next().map(Arc::clone)
    }
}

/// What the command line of a firewall tool means; `None` when it is none.
fn command(exec: &Exec) -> Option<Command> {
    let exe = exec.exe.known();
    let name = exec.argv.arguments().next()?;
    if !may_be_tool(exe, name) {
        return None;
    }
    let arguments: Vec<&[u8]> = exec.argv.arguments().collect();
    command_of(exe, &arguments).map(|(_, command)| command)
}

/// What an exec pretends to be.
fn disguises(exec: &Exec, command: Option<&Command>) -> impl Iterator<Item = FindingKind> {
    let as_kernel_thread = disguise::as_kernel_thread(exec);
    let of_tool = matches!(command, Some(Command::Changes(_))) && disguise::of_tool(exec);
    [
        (as_kernel_thread, FindingKind::KernelThreadDisguise),
        (of_tool, FindingKind::ToolDisguised),
    ]
    .into_iter()
    .filter_map(|(holds, kind)| holds.then_some(kind))
}

/// UUIDv5 over the host, the kind, the origin and when it began: a replay gives the same.
fn finding_id(host: &Host, kind: FindingKind, origin: Option<ProcessKey>, first: Time) -> Uuid {
    /// UUIDv4, made for this purpose.
    const NAMESPACE: Uuid = Uuid::from_u128(0x7c0e_4d3a_52c1_4f6e_9d5b_0b6f_33a9_1c42);
    let host = host.id.as_deref().or(host.dest.as_deref());
    let origin = origin.map_or((0, 0), |origin| (origin.tgid, origin.start_ns));
    let name = format!(
        "{}\0{}\0{}\0{}\0{}",
        host.unwrap_or("unknown"),
        kind.as_str(),
        origin.0,
        origin.1,
        first.boot_ns
    );
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

impl Actor {
    /// What the process pretends to be by making the change, if it is not what makes such changes.
    fn pretence(&self) -> Option<FindingKind> {
        if self.reasons.contains(&Reason::KnownManager) {
            return None;
        }
        let actor = self.lineage.first().map(|actor| &actor.exe);
        // Who is gone before anybody could tell who it was is not better off than who stays.
        let Some(ExePath::Known(path)) = actor else {
            return Some(FindingKind::ChangeWithoutTool);
        };
        let name = basename(path);
        if !disguise::changes_netfilter(name) {
            return Some(FindingKind::ChangeWithoutTool);
        }
        (!is_system_path(path)).then_some(FindingKind::ToolDisguised)
    }

    /// The end of a network namespace is the work of one. To have no executable is not enough: a process whose
    /// leader has ended may seem to have none.
    fn is_kernel_thread(&self) -> bool {
        /// `kthreadd` (`rest_init`, `init/main.c`), from which all of them come.
        const KTHREADD: u32 = 2;
        let actor = self.lineage.first().map(|actor| &actor.exe);
        matches!(actor, Some(ExePath::Unknown(Unknown::Absent)))
            && self
                .lineage
                .iter()
                .any(|ancestor| ancestor.process.tgid == KTHREADD)
    }
}

mod edits;
pub mod explain;
mod made;
mod trial;

pub use made::Made;

#[cfg(test)]
mod tests;
