//! From the stream of messages to transactions: who changed what, at once.

use std::collections::BTreeMap;

use super::pending::{Pending, Room};
use super::record::Generation;
use super::ruleset::Ruleset;
use super::snapshot::{Snapshot, diff};
use super::{Datagram, Message};
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::change::FirewallChange;

/// What one transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The network namespace, by the id that the agent's own has for it; `None`: the agent's own.
    pub nsid: Option<i32>,
    /// Counts the transactions of the namespace.
    pub generation: u32,
    /// The *thread* that made it, in the initial pid namespace: it leads to its process by the forks, or by
    /// `/proc/TID/status`.
    pub thread_id: u32,
    /// That thread's `comm`, which it chooses.
    pub name: Vec<u8>,
    /// In their order.
    pub changes: Vec<FirewallChange>,
    /// Changes beyond [`Limits`], which are not in `changes`.
    pub changes_omitted: u64,
    /// Elements of sets beyond [`Limits`].
    pub elements_omitted: u64,
    /// Messages were lost before its end: it may have changed more.
    pub incomplete: bool,
    /// When its end was read.
    pub time: Time,
}

/// The bounds of [`Transactions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Changes of rules and elements that are kept of one transaction; and as many of tables, chains and sets.
    pub changes_max: usize,
    /// Elements that are kept of one change.
    pub elements_max: usize,
    /// Network namespaces beside the agent's own whose rulesets are known.
    pub namespaces_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            changes_max: 1024,
            elements_max: 1024,
            namespaces_max: 64,
        }
    }
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub transactions: u64,
    pub malformed: u64,
    pub ignored: u64,
    /// Changes and elements beyond [`Limits`].
    pub omitted: u64,
    /// The kernel dropped messages for want of room.
    pub overruns: u64,
    /// Namespaces that were forgotten for want of room.
    pub namespaces_forgotten: u64,
}

/// Puts messages together until the one that ends their transaction, each namespace for itself, and keeps
/// the rulesets up to date.
#[derive(Debug)]
pub struct Transactions {
    limits: Limits,
    namespaces: BTreeMap<Option<i32>, Namespace>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Namespace {
    ruleset: Ruleset,
    /// The transaction up to which a listing told the ruleset.
    listed: Option<u32>,
    /// The latest transaction that was told, by a listing or by its messages.
    told: Option<u32>,
    pending: Pending,
    incomplete: bool,
    latest: Time,
}

impl Transactions {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            namespaces: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is known of a namespace.
    pub fn ruleset(&self, nsid: Option<i32>) -> Option<&Ruleset> {
        self.namespaces.get(&nsid).map(|known| &known.ruleset)
    }

    /// The latest transaction of the agent's own namespace that was told; `None`: none was, nor was the
    /// ruleset listed.
    pub fn generation(&self) -> Option<u32> {
        self.namespaces.get(&None)?.told
    }

    /// Takes one datagram of the namespace, read at `now`, and gives the transactions that it ends.
    pub fn handle_datagram(
        &mut self,
        nsid: Option<i32>,
        bytes: &[u8],
        now: Time,
    ) -> Vec<Transaction> {
        let datagram = Datagram::decode(bytes);
        self.counters.malformed += datagram.malformed;
        self.counters.ignored += datagram.ignored;
        let room = Room {
            details: self.limits.changes_max,
            frames: self.limits.changes_max,
            elements: self.limits.elements_max,
        };
        let lost = datagram.malformed > 0;
        let namespace = self.namespace(nsid, now);
        namespace.incomplete |= lost;
        let mut ended = Vec::new();
        let mut messages = datagram.messages.iter().peekable();
        while let Some(message) = messages.next() {
            if let Message::Generation(generation) = message {
                ended.push(namespace.end(nsid, generation, now));
                continue;
            }
            if let Some(old) = messages.next_if(|next| namespace.is_replaced(message, next)) {
                namespace.take(old, room);
            }
            namespace.take(message, room);
        }
        self.count(&ended);
        ended
    }

    fn count(&mut self, ended: &[Transaction]) {
        self.counters.transactions += ended.len() as u64;
        let omitted = ended.iter();
        let omitted = omitted.map(|one| one.changes_omitted + one.elements_omitted);
        self.counters.omitted += omitted.sum::<u64>();
    }

    /// The namespace; a new one may cost the one that has been quiet for the longest time.
    fn namespace(&mut self, nsid: Option<i32>, now: Time) -> &mut Namespace {
        if !self.namespaces.contains_key(&nsid) {
            self.make_room();
        }
        let may_lack = self.counters.overruns > 0;
        let namespace = self.namespaces.entry(nsid);
        let namespace = namespace.or_insert_with(|| Namespace::begun(may_lack, now));
        namespace.latest = now;
        namespace
    }

    fn make_room(&mut self) {
        let others = self.namespaces.iter().filter(|(nsid, _)| nsid.is_some());
        if others.clone().count() < self.limits.namespaces_max {
            return;
        }
        let quietest = others.min_by_key(|(_, known)| known.latest);
        if let Some(nsid) = quietest.map(|(nsid, _)| *nsid) {
            self.namespaces.remove(&nsid);
            self.counters.namespaces_forgotten += 1;
        }
    }

    /// The namespace is gone, or its id stands for another one.
    pub fn forget(&mut self, nsid: i32) {
        self.namespaces.remove(&Some(nsid));
    }

    /// The kernel dropped messages: what has been put together so far is no whole, and of other namespaces
    /// nothing is known any more. [`adopt`](Self::adopt) is to follow, with a new listing.
    pub fn handle_overrun(&mut self) {
        self.counters.overruns += 1;
        for (nsid, namespace) in &mut self.namespaces {
            namespace.incomplete = true;
            if nsid.is_some() {
                *namespace = Namespace::begun(true, namespace.latest);
            }
        }
    }

    /// Takes over a listing of the agent's own namespace, and gives what it has that was not known. Datagrams
    /// of transactions that are in the listing already may still come: their changes then are told twice.
    pub fn adopt(&mut self, snapshot: Snapshot) -> Vec<FirewallChange> {
        let own = self.namespaces.entry(None).or_default();
        let known = Snapshot {
            generation: 0,
            ruleset: std::mem::take(&mut own.ruleset),
        };
        let changes = diff(&known, &snapshot);
        own.listed = Some(snapshot.generation);
        own.told = own.listed;
        own.ruleset = snapshot.ruleset;
        own.pending = Pending::default();
        changes
    }
}

impl Namespace {
    fn take(&mut self, message: &Message, room: Room) {
        self.pending.take(message, &self.ruleset, room);
        self.ruleset.apply(message);
    }

    /// Whether `next` tells of the end of a rule in whose place `message` has put another: before Linux 5.15 it comes
    /// behind the new one, which has its handle. A rule that is added and deleted at once was not known before.
    fn is_replaced(&self, message: &Message, next: &Message) -> bool {
        let (Message::NewRule(new), Message::DeleteRule(old)) = (message, next) else {
            return false;
        };
        let is_same =
            new.handle == old.handle && new.family == old.family && new.table == old.table;
        is_same && self.ruleset.rule(old).is_some()
    }

    /// `incomplete`: messages of its first transaction may have been lost.
    fn begun(incomplete: bool, latest: Time) -> Self {
        Self {
            incomplete,
            latest,
            ..Self::default()
        }
    }

    fn end(&mut self, nsid: Option<i32>, generation: &Generation, time: Time) -> Transaction {
        self.ruleset.settle();
        let pending = std::mem::take(&mut self.pending);
        // Serial numbers, which begin again after the highest (RFC 1982).
        let is_listed = self
            .listed
            .is_some_and(|listed| generation.id.wrapping_sub(listed).cast_signed() <= 0);
        if !is_listed {
            self.told = Some(generation.id);
        }
        Transaction {
            nsid,
            generation: generation.id,
            thread_id: generation.thread_id,
            name: generation.name.clone(),
            changes_omitted: pending.omitted,
            elements_omitted: pending.elements_omitted,
            changes: pending.into_changes(is_listed),
            incomplete: std::mem::take(&mut self.incomplete),
            time,
        }
    }
}
