//! The kernel's own word on nf_tables, from the socket to what the pipeline takes.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::path::Path;

use crate::config::Settings;
use crate::host::clock;
use crate::host::netfilter::{
    Listener, ListenerCounters, NetfilterError, RECEIVE_BUFFER_BYTES, Received, listed, snapshot,
};
use crate::host::procfs::Procfs;
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::change::{FirewallChange, SetName};
use crate::pipeline::firewall::finding::Witness;
use crate::pipeline::firewall::netlink::remembered::{Listed, Remembered};
use crate::pipeline::firewall::netlink::snapshot::Snapshot;
use crate::pipeline::firewall::netlink::{Counters, Limits, Transaction, Transactions};
use crate::pipeline::firewall::tamper::Made;
use crate::pipeline::process_tree::ProcessTree;
use crate::pipeline::watch::{ChangeGap, NetfilterBooks};
use crate::state::{Keeper, LISTED_BYTES_MAX, Unlisted};

/// Most datagrams of one turn; what is left is read after the loop has seen to its other duties.
const DATAGRAMS_MAX: usize = 1024;

/// The witness of nf_tables; blind where the kernel does not let it listen.
pub(super) struct Netfilter {
    listener: Option<Listener>,
    transactions: Transactions,
    procfs: Procfs,
    /// There is more than the last turn took.
    more: bool,
    /// When everything that had come was read for the last time.
    read_up_to: Time,
    /// Where the kernel dropped messages, since that was last asked.
    gap: Option<ChangeGap>,
}

/// The witness of nf_tables, where changes of the firewall are judged, and what changed since the last run.
pub(super) fn netfilter(
    settings: &Settings,
    root: &Path,
    keeper: &mut Keeper,
    now: Time,
) -> (Netfilter, Option<Made>) {
    let procfs = Procfs::new(root.join("proc"));
    if settings.tamper.enabled {
        Netfilter::open(procfs, keeper.recall_ruleset().as_ref(), now)
    } else {
        (Netfilter::closed(procfs), None)
    }
}

/// Starts to write what the next run is to remember, as far as it is new.
pub(super) fn save_state(keeper: &mut Keeper, tree: &ProcessTree, netfilter: &Netfilter) {
    keeper.save(tree);
    if let Some(generation) = netfilter.generation() {
        keeper.save_ruleset(generation, clock::now(), ruleset_to_keep);
    }
}

/// What was heard in one turn.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) transactions: Vec<Transaction>,
    /// What changed meanwhile, when the kernel dropped messages.
    pub(super) changed: Vec<Made>,
}

impl Netfilter {
    /// Listens from now on, learns the ruleset as it is, and tells what it has that was not there when
    /// `remembered` was kept. Must be called within a tokio runtime.
    fn open(procfs: Procfs, remembered: Option<&Remembered>, now: Time) -> (Self, Option<Made>) {
        Self::open_with(RECEIVE_BUFFER_BYTES, procfs, remembered, now)
    }

    fn open_with(
        receive_buffer_bytes: usize,
        procfs: Procfs,
        remembered: Option<&Remembered>,
        now: Time,
    ) -> (Self, Option<Made>) {
        let mut netfilter = Self::closed(procfs);
        netfilter.read_up_to = now;
        netfilter.listener = Listener::open(receive_buffer_bytes)
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "changes of nf_tables are seen by their commands alone"
                );
            })
            .ok();
        if netfilter.listener.is_none() {
            return (netfilter, None);
        }
        match snapshot() {
            Ok(snapshot) => {
                let changed =
                    remembered.and_then(|remembered| since_last_run(remembered, &snapshot, now));
                drop(netfilter.transactions.adopt(snapshot));
                (netfilter, changed)
            }
            Err(error) => {
                say_unlisted(&error);
                (netfilter, None)
            }
        }
    }

    /// One that hears nothing.
    fn closed(procfs: Procfs) -> Self {
        Self {
            listener: None,
            transactions: Transactions::new(Limits::default()),
            procfs,
            more: false,
            read_up_to: Time::default(),
            gap: None,
        }
    }

    pub(super) fn hears(&self) -> bool {
        self.listener.is_some()
    }

    /// Returns when there is something to hear. May be given up and called again at any point.
    pub(super) async fn wait(&self) -> io::Result<()> {
        match &self.listener {
            Some(_) if self.more => Ok(()),
            Some(listener) => listener.readable().await,
            None => pending().await,
        }
    }

    /// Whether the last turn left something.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    /// The latest transaction that was told of the agent's own namespace.
    fn generation(&self) -> Option<u32> {
        self.listener.as_ref()?;
        self.transactions.generation()
    }

    /// From when to when messages were dropped, since that was last asked: from the last time that everything
    /// was read until the drop was noticed.
    pub(super) fn take_gap(&mut self) -> Option<ChangeGap> {
        self.gap.take()
    }

    /// `None`: it does not listen.
    pub(super) fn books(&self) -> Option<NetfilterBooks> {
        let ListenerCounters {
            datagrams,
            overruns,
            refused,
        } = self.listener.as_ref()?.counters();
        let Counters {
            transactions,
            malformed,
            ignored: _,
            omitted,
            // One for each time that the ruleset was listed anew.
            overruns: _,
            namespaces_forgotten,
        } = self.transactions.counters();
        Some(NetfilterBooks {
            datagrams,
            refused,
            overruns,
            transactions,
            malformed,
            omitted,
            namespaces_forgotten,
        })
    }

    /// Takes what has come, up to a bound.
    pub(super) fn hear(&mut self, now: Time) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let Some(listener) = &mut self.listener else {
            return Ok(heard);
        };
        self.more = true;
        let mut overruns = 0;
        for _ in 0..DATAGRAMS_MAX {
            match listener.receive()? {
                Received::Datagram { nsid, bytes } => {
                    let ended = self.transactions.handle_datagram(nsid, bytes, now);
                    heard.transactions.extend(ended);
                }
                Received::Overrun => overruns += 1,
                Received::Refused => {}
                Received::Nothing => {
                    self.more = false;
                    break;
                }
            }
        }
        if overruns > 0 {
            self.note_gap(overruns, now);
            heard.changed.extend(self.relist(now));
        }
        if !self.more {
            self.read_up_to = now;
        }
        Ok(heard)
    }

    /// The kernel dropped messages: what the ruleset is now, is compared with what it was.
    fn relist(&mut self, now: Time) -> Option<Made> {
        tracing::error!("changes of nf_tables lost: the kernel dropped messages");
        self.transactions.handle_overrun();
        let changes = match snapshot() {
            Ok(snapshot) => self.transactions.adopt(snapshot),
            Err(error) => {
                say_unlisted(&error);
                return None;
            }
        };
        (!changes.is_empty()).then(|| found(changes, now))
    }

    fn note_gap(&mut self, overruns: u64, now: Time) {
        let gap = self.gap.get_or_insert(ChangeGap {
            number: 0,
            from: self.read_up_to,
            to: now,
            overruns: 0,
        });
        gap.to = now;
        gap.overruns += overruns;
    }

    /// Of the sets whose elements changed, those whose members are stopped.
    fn stopping_sets(&self, nsid: Option<i32>, changes: &[FirewallChange]) -> BTreeSet<SetName> {
        let changed: BTreeSet<SetName> = changes
            .iter()
            .filter_map(FirewallChange::set_name)
            .collect();
        let ruleset = self
            .transactions
            .ruleset(nsid)
            .filter(|_| !changed.is_empty());
        ruleset.map_or_else(BTreeSet::new, |ruleset| ruleset.stopping_sets(&changed))
    }

    /// What a transaction says, with the process in place of the thread. The thread may be over by now; then the
    /// tree still knows its process, if the thread was the leader. `/proc` comes first: a thread may have the
    /// number of a process that has ended.
    pub(super) fn made(&self, transaction: Transaction, tree: &ProcessTree) -> Made {
        let Transaction {
            nsid,
            generation: _,
            thread_id,
            name: _,
            changes,
            changes_omitted,
            elements_omitted,
            incomplete,
            time,
        } = transaction;
        let leader = || tree.at(thread_id, time).map(|process| process.tgid);
        Made {
            time,
            tgids: self
                .procfs
                .tgid_of(thread_id)
                .or_else(leader)
                .into_iter()
                .collect(),
            nsid,
            stopping_sets: self.stopping_sets(nsid, &changes),
            changes,
            omitted: changes_omitted + elements_omitted + u64::from(incomplete),
            witness: Witness::Netlink,
            while_blind: false,
        }
    }
}

/// What the present ruleset has that was not there when the remembered one was kept.
fn since_last_run(remembered: &Remembered, present: &Snapshot, now: Time) -> Option<Made> {
    let left_out = remembered.snapshot.ruleset.left_out() + present.ruleset.left_out();
    if left_out > 0 {
        tracing::warn!(
            left_out,
            "the ruleset of nf_tables is too large to be compared: what changed while the agent was down is not known"
        );
    }
    let changes = remembered.changes_until(present);
    if changes.is_empty() {
        return None;
    }
    tracing::warn!(
        changes = changes.len(),
        same_boot = remembered.same_boot,
        "the ruleset of nf_tables changed while the agent was down"
    );
    Some(found(changes, now))
}

/// Changes that nobody was seen making.
fn found(changes: Vec<FirewallChange>, now: Time) -> Made {
    Made {
        time: now,
        tgids: Vec::new(),
        nsid: None,
        changes,
        omitted: 0,
        stopping_sets: BTreeSet::new(),
        witness: Witness::Netlink,
        while_blind: true,
    }
}

/// The ruleset of the calling thread's namespace, to be kept.
fn ruleset_to_keep() -> Result<Listed, Unlisted> {
    listed(LISTED_BYTES_MAX).map_err(|error| {
        if let NetfilterError::TooLarge { .. } = error {
            return Unlisted::TooLarge;
        }
        Unlisted::Failed(error.to_string())
    })
}

fn say_unlisted(error: &NetfilterError) {
    tracing::warn!(%error, "the ruleset of nf_tables cannot be listed");
}
