//! How much a finding matters: what was done, and every reason that is known of who did it.

use std::collections::BTreeSet;

use super::finding::{FindingKind, Reason};
use super::managers::Doubt;
use super::origin::{Origin, OriginKind};
use crate::pipeline::alert::{Ancestor, Evidence, Severity};
use crate::pipeline::exec::ExePath;
use crate::pipeline::tty::Tty;

/// Directories in which anyone, or any service, may put a file (`hier(7)`).
pub const WRITABLE: &[&str] = &[
    "/tmp/",
    "/var/tmp/",
    "/dev/shm/",
    "/run/user/",
    "/home/",
    "/var/www/",
    "/var/spool/",
    "/srv/",
];

/// What an exec says for or against it.
pub fn reasons_of_exec(exec: &Evidence) -> BTreeSet<Reason> {
    let container = exec
        .cgroup
        .as_ref()
        .and_then(|cgroup| cgroup.container.as_ref());
    [
        (exec.exe_memfd, Reason::MemfdExecutable),
        (exec.exe_deleted, Reason::DeletedExecutable),
        (exec.stdout_null && exec.stderr_null, Reason::OutputSilenced),
        (exec.login_uid.is_none(), Reason::NoLogin),
        (
            exec.login_uid.is_some() && exec.tty == Tty::None,
            Reason::NoTerminal,
        ),
        (container.is_some(), Reason::Container),
    ]
    .into_iter()
    .filter_map(|(holds, reason)| holds.then_some(reason))
    .collect()
}

/// What a lineage says for or against it.
pub fn reasons_of_lineage(lineage: &[Ancestor], origin: Option<&Origin>) -> BTreeSet<Reason> {
    let mut reasons = BTreeSet::new();
    let is_writable = |ancestor: &Ancestor| {
        let scripts = [&ancestor.script, &ancestor.claimed_script];
        let [script, claimed] = scripts.map(Option::as_deref);
        [ancestor.exe.known(), script, claimed]
            .into_iter()
            .flatten()
            .any(|path| {
                WRITABLE
                    .iter()
                    .any(|directory| path.starts_with(directory.as_bytes()))
            })
    };
    if lineage.iter().any(is_writable) {
        reasons.insert(Reason::WritableOrigin);
    }
    reasons.extend(match origin.map(|origin| origin.kind) {
        None => Some(Reason::ActorUnknown),
        Some(OriginKind::Login) => Some(Reason::InteractiveLogin),
        Some(OriginKind::Manager) => Some(Reason::KnownManager),
        Some(OriginKind::PackageManager) => Some(Reason::PackageManager),
        Some(OriginKind::NetworkService) => Some(Reason::NetworkService),
        Some(OriginKind::Container) => Some(Reason::Container),
        Some(OriginKind::Unknown) => Some(Reason::OriginUnknown),
        Some(OriginKind::Scheduled | OriginKind::Unit) => None,
    });
    let doubts = origin.iter().flat_map(|origin| &origin.doubts);
    reasons.extend(doubts.map(|doubt| reason_of_doubt(*doubt)));
    let actor = lineage.first().map(|actor| &actor.exe);
    if matches!(actor, Some(ExePath::Unknown(_))) {
        reasons.insert(Reason::ActorUnknown);
    }
    reasons
}

/// How a finding tells it.
pub fn reason_of_doubt(doubt: Doubt) -> Reason {
    match doubt {
        Doubt::File => Reason::ManagerFile,
        Doubt::ForeignCode => Reason::ManagerForeignCode,
        Doubt::Unit => Reason::ManagerUnit,
        Doubt::Child => Reason::ManagerChild,
    }
}

/// What a finding weighs at least of which one reason is a pretence: medium.
const PRETENCE_RISK_MIN: i32 = 40;

/// The risk, 0 to 100, and what CIM calls it.
pub fn weigh(kind: FindingKind, reasons: &BTreeSet<Reason>) -> (u8, Severity) {
    let sum: i32 = reasons.iter().map(|reason| reason.weight()).sum();
    let pretends = reasons.iter().any(|reason| reason.is_pretence());
    let least = if pretends { PRETENCE_RISK_MIN } else { 0 };
    let risk = u8::try_from((kind.base_risk() + sum).clamp(least, 100)).unwrap_or(100);
    let severity = match risk {
        0..20 => Severity::Informational,
        20..40 => Severity::Low,
        40..60 => Severity::Medium,
        60..80 => Severity::High,
        80.. => Severity::Critical,
    };
    (risk, severity)
}
