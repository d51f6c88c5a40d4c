//! Edits of the files from which a firewall is loaded: what is written there holds from the next start on.

use std::sync::Arc;

use super::{Actor, Deed, Tamper};
use crate::pipeline::exec::{ExePath, basename};
use crate::pipeline::firewall::edit::{ConfigEdit, EditEvidence};
use crate::pipeline::firewall::finding::{FindingKind, Reason};
use crate::pipeline::firewall::origin::is_system_path;
use crate::pipeline::process_tree::ProcessTree;

/// Tools that keep these files themselves (`ufw(8)`, `firewall-offline-cmd(1)`, `netfilter-persistent(8)`). What
/// they are asked for is judged by their command lines.
const KEEPERS: &[&str] = &["ufw", "firewall-offline-cmd", "netfilter-persistent"];

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
        if actor.keeps_config() {
            actor.reasons.insert(Reason::KnownManager);
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

    /// Whether it is one of [`KEEPERS`], by its executable or by the script that it interprets.
    fn keeps_config(&self) -> bool {
        let Some(actor) = self.lineage.first() else {
            return false;
        };
        let script = actor.script.as_deref();
        let mut files = [actor.exe.known(), script].into_iter().flatten();
        files.any(|path| {
            let name = basename(path);
            is_system_path(path) && KEEPERS.iter().any(|keeper| keeper.as_bytes() == name)
        })
    }
}

#[cfg(test)]
mod tests;
