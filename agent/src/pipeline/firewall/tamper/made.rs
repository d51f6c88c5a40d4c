//! Changes that the kernel is known to have made, or was told to make, and who made them.

use std::collections::BTreeSet;

use super::{Actor, Deed, Tamper};
use crate::pipeline::exec::{Time, XtablesReplace};
use crate::pipeline::firewall::assess::{Meaning, meaning};
use crate::pipeline::firewall::change::{Backend, FirewallChange, Operation, SetName};
use crate::pipeline::firewall::finding::{ChangeEvidence, FindingKind, Reason, Witness};
use crate::pipeline::process_tree::ProcessTree;

/// What the kernel says was done, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub time: Time,
    /// Thread groups of who did it: none where that is not known, and several where each of them may have.
    pub tgids: Vec<u32>,
    /// Network namespace as netlink numbers it; `None` for the agent's own.
    pub nsid: Option<i32>,
    pub changes: Vec<FirewallChange>,
    /// Changes that were made and are not in `changes`, for want of room or because messages were lost.
    pub omitted: u64,
    /// Sets among those in `changes` whose members are dropped or rejected: family, table and name.
    pub stopping_sets: BTreeSet<SetName>,
    pub witness: Witness,
    /// It was found by comparing, and nobody was seen doing it.
    pub while_blind: bool,
}

impl Made {
    /// With what is known of the sets: to ban somebody opens nothing, and to let go of a ban does. A table that cannot
    /// be read may hold anything.
    fn meaning(&self, change: &FirewallChange) -> Option<Meaning> {
        let is_unreadable = matches!(change.operation, Operation::Other { .. });
        if self.witness == Witness::Table && is_unreadable {
            return Some(Meaning::of(FindingKind::ChangedWhileBlind));
        }
        let set = change.set_name();
        if set.is_none_or(|set| !self.stopping_sets.contains(&set)) {
            return meaning(change);
        }
        let bans = matches!(change.operation, Operation::AddElements { .. });
        (!bans).then(|| Meaning::of(FindingKind::SetOpened))
    }

    /// What it means, change by change.
    fn meanings(&self) -> Vec<(FindingKind, Meaning, &FirewallChange)> {
        let changes = self.changes.iter();
        let meanings = changes.filter_map(|change| {
            let meaning = self.meaning(change)?;
            Some((meaning.kind, meaning, change))
        });
        meanings.collect()
    }

    /// What of it nobody looked at, as a change of its own: a flood must not hide what it carries.
    fn unseen(&self) -> Option<FirewallChange> {
        let first = self.changes.first();
        (self.omitted > 0).then(|| FirewallChange {
            backend: first.map_or(Backend::Nftables, |change| change.backend),
            family: first.and_then(|change| change.family),
            table: None,
            chain: None,
            operation: Operation::Other {
                what: format!("{} more changes of one transaction, unseen", self.omitted)
                    .into_bytes(),
            },
        })
    }
}

impl From<&XtablesReplace> for Made {
    fn from(replace: &XtablesReplace) -> Self {
        Self {
            time: replace.time,
            tgids: vec![replace.process.tgid],
            nsid: None,
            changes: vec![FirewallChange {
                backend: Backend::XtablesLegacy,
                family: Some(replace.family),
                table: replace.table().map(<[u8]>::to_vec),
                chain: None,
                operation: Operation::Other {
                    what: b"replace the table".to_vec(),
                },
            }],
            omitted: 0,
            stopping_sets: BTreeSet::new(),
            witness: Witness::Setsockopt,
            while_blind: false,
        }
    }
}

impl Tamper {
    /// To be called when every exec from before it has been handled.
    pub fn handle_made(&mut self, made: &Made, tree: &ProcessTree) {
        self.counters.transactions += 1;
        for actor in self.actors(made, tree) {
            if !actor.is_kernel_thread() {
                self.add_made(made, &actor);
            }
        }
    }

    /// Who made it, or may have: one for each origin, whose findings it goes to.
    fn actors(&self, made: &Made, tree: &ProcessTree) -> Vec<Actor> {
        if made.tgids.is_empty() {
            return vec![self.actor(None, None, tree)];
        }
        let mut actors: Vec<Actor> = Vec::new();
        for &tgid in &made.tgids {
            let process = tree.at(tgid, made.time);
            let exec = process.and_then(|process| self.tool(process));
            let mut actor = self.actor(process, exec, tree);
            if made.tgids.len() > 1 {
                // Which of them it was is not known.
                actor.process = None;
                actor.reasons.insert(Reason::SeveralActors);
            }
            let origin = |actor: &Actor| actor.origin.as_ref().map(|origin| origin.process);
            let is_new = |known: &Actor| {
                origin(known) != origin(&actor) || known.pretence() != actor.pretence()
            };
            if actors.iter().all(is_new) {
                actors.push(actor);
            }
        }
        actors
    }

    fn add_made(&mut self, made: &Made, actor: &Actor) {
        let mut meanings = made.meanings();
        let pretence = actor.pretence().filter(|_| !made.while_blind);
        if let Some(pretence) = pretence {
            meanings.extend(
                made.changes
                    .first()
                    .map(|change| (pretence, Meaning::of(pretence), change)),
            );
        }
        if made.while_blind {
            // They are one finding, which lists the first and the latest: a flood must not hide what opens.
            meanings.sort_by_key(|(kind, meaning, _)| {
                (!meaning.unrestricted, *kind == FindingKind::DropRemoved)
            });
        }
        let unseen = made.unseen();
        meanings.extend(unseen.as_ref().map(|unseen| {
            let kind = FindingKind::ChangedWhileBlind;
            (kind, Meaning::of(kind), unseen)
        }));
        for (kind, meaning, change) in meanings {
            let kind = if made.while_blind {
                FindingKind::ChangedWhileBlind
            } else {
                kind
            };
            let evidence = ChangeEvidence {
                time: made.time,
                witness: made.witness,
                process: actor.process,
                nsid: made.nsid,
                change: change.clone(),
            };
            let deed = Deed::Change(meaning, evidence);
            self.add(kind, actor, deed, made.time);
        }
    }
}
