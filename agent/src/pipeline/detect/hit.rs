//! One exec that fits the rule.

use std::ops::Range;
use std::sync::Arc;

use super::excerpt::{WHOLE_BYTES_MAX, excerpt};
use super::rule::Rule;
use crate::pipeline::alert::{Evidence, Excerpt};
use crate::pipeline::exec::{ArgvSource, Exec};
use crate::pipeline::filter::Fits;

/// What a group learns from one exec.
#[derive(Clone, Debug)]
pub struct Hit {
    /// When it happened, on the window's clock.
    pub at: u64,
    pub port: Option<Arc<str>>,
    pub text: Text,
    pub evidence: Evidence,
    /// Its command line was cut.
    pub truncated: bool,
    /// Its command line had to be read elsewhere, or could not be read.
    pub fault: bool,
    /// Which filters fit its command line.
    pub fits: Fits,
}

impl Hit {
    /// From an exec whose command line is `process`, and which filters fit it.
    pub fn new(rule: &Rule, exec: &Exec, process: &[u8], fits: Fits) -> Self {
        let extracted = rule.extractor().extract(process);
        let mut matches = rule.clauses().ranges(process);
        matches.extend(extracted.as_ref().map(|extracted| extracted.range.clone()));
        let port = extracted.map(|extracted| extracted.port);
        let text = Text::new(process, &matches);
        Self {
            at: rule.window().clock(exec.time),
            evidence: evidence(exec, text.excerpt(), port.as_deref()),
            port,
            text,
            truncated: exec.argv.truncated(),
            fault: matches!(exec.argv.source, ArgvSource::Procfs | ArgvSource::Unread),
            fits,
        }
    }
}

/// A command line as a group keeps it: what is shown of it, and what puts it in order.
///
/// The order is that of the whole texts. Only texts that are shortened and agree up to
/// [`WHOLE_BYTES_MAX`] are ordered by what is shown of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    /// The text up to [`WHOLE_BYTES_MAX`].
    head: Box<[u8]>,
    /// What is shown when that is not all.
    shortened: Option<Excerpt>,
}

impl Text {
    fn new(text: &[u8], matches: &[Range<usize>]) -> Self {
        let head = &text[..text.len().min(WHOLE_BYTES_MAX)];
        Self {
            head: head.into(),
            shortened: (head.len() < text.len()).then(|| excerpt(text, matches)),
        }
    }

    pub fn excerpt(&self) -> Excerpt {
        let shortened = self.shortened.clone();
        shortened.unwrap_or_else(|| excerpt(&self.head, &[]))
    }

    /// Memory it takes, itself included.
    pub fn bytes(&self) -> usize {
        let shortened = self.shortened.as_ref().map_or(0, excerpt_bytes);
        size_of::<Self>() + self.head.len() + shortened
    }
}

/// Memory to which one entry of the evidence refers.
pub fn evidence_bytes(evidence: &Evidence) -> usize {
    let port = evidence.port.as_ref().map_or(0, String::len);
    let exe = evidence.exe.known().map_or(0, <[u8]>::len);
    port + exe + excerpt_bytes(&evidence.process_text)
}

fn excerpt_bytes(excerpt: &Excerpt) -> usize {
    let parts = excerpt.parts.iter();
    parts.map(|part| size_of_val(part) + part.bytes.len()).sum()
}

pub fn evidence(exec: &Exec, process_text: Excerpt, port: Option<&str>) -> Evidence {
    Evidence {
        time: exec.time,
        guid: exec.guid(),
        process: exec.process,
        exe: exec.exe.clone(),
        exe_deleted: exec.exe_deleted,
        exe_memfd: exec.exe_memfd,
        exe_file: exec.exe_file,
        exe_stat: exec.exe_stat,
        exe_sha256: None,
        script: exec.script().map(Box::from),
        user: exec.user.clone(),
        uid: exec.uid,
        euid: exec.euid,
        login_uid: exec.login_uid,
        cgroup_id: exec.cgroup_id,
        session_id: exec.session_id,
        tty: exec.tty,
        cap_effective: exec.cap_effective,
        cgroup: exec.cgroup.clone(),
        namespaces: exec.namespaces,
        stdout_null: exec.stdout_null,
        stderr_null: exec.stderr_null,
        process_text,
        argv_bytes_lost: exec
            .argv
            .bytes_full
            .saturating_sub(exec.argv.bytes.len() as u64),
        argv_source: exec.argv.source,
        port: port.map(str::to_owned),
    }
}
