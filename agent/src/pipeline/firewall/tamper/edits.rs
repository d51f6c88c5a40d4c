//! Edits of the files from which a firewall is loaded: what is written there holds from the next start on.

use std::sync::Arc;

use super::{Actor, Deed, Tamper};
use crate::pipeline::exec::ExePath;
use crate::pipeline::firewall::edit::{ConfigEdit, EditEvidence};
use crate::pipeline::firewall::finding::{FindingKind, Reason};
use crate::pipeline::firewall::managers::keeper;
use crate::pipeline::firewall::severity::reason_of_doubt;
use crate::pipeline::process_tree::ProcessTree;

impl Tamper {
    /// To be called when every exec from before it has been handled.
    pub fn handle_edit(&mut self, edit: &ConfigEdit, tree: &ProcessTree) {
        self.counters.edits += 1;
        let ConfigEdit {
            time,
            path,
            tgid,
            what,
        } = edit;
        let process = tgid.and_then(|tgid| tree.at(tgid, *time));
        let exec = process.and_then(|process| self.tool(process));
        let mut actor = self.actor(process, exec, tree);
        match actor.lineage.first().and_then(keeper) {
            Some(Ok(())) => {
                actor.reasons.insert(Reason::KnownManager);
            }
            Some(Err(doubt)) => {
                actor.reasons.insert(reason_of_doubt(doubt));
            }
            None => {}
        }
        let evidence = EditEvidence {
            time: *time,
            process,
            exe: actor.exe(),
            path: path.clone(),
            what: *what,
        };
        let deed = Deed::Edit(evidence);
        self.add(FindingKind::ConfigEdited, &actor, deed, *time);
    }
}

impl Actor {
    fn exe(&self) -> Option<Arc<[u8]>> {
        match &self.lineage.first()?.exe {
            ExePath::Known(path) => Some(Arc::clone(path)),
            ExePath::Unknown(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
