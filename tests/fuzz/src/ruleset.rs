//! Rulesets as text: what iptables-restore reads, and what `nft -f` reads.

#[cfg(test)]
use wallwatch::pipeline::firewall::change::Command;
use wallwatch::pipeline::firewall::iptables::{
    CHANGES_MAX, Restored, XtablesProgram, parse_restore,
};
use wallwatch::pipeline::firewall::nft;

use crate::{check_changes, check_command, repeated};

const PROGRAMS: [&[u8]; 3] = [
    b"iptables-restore",
    b"ip6tables-restore",
    b"ebtables-restore",
];

/// `data` is a ruleset in either language.
pub fn check(data: &[u8]) {
    check_text(data);
    if let Some(long) = repeated(data) {
        check_text(&long);
    }
}

fn check_text(text: &[u8]) {
    for name in PROGRAMS {
        let program = XtablesProgram::from_name(name).expect("it is one of them");
        for flushes in [true, false] {
            check_restored(&parse_restore(program, flushes, text), text);
        }
    }
    check_command(&nft::parse_text(text), text.len());
}

fn check_restored(restored: &Restored, text: &[u8]) {
    assert!(restored.changes.len() <= CHANGES_MAX);
    // A line of a ruleset takes three bytes at least, with its end.
    assert_eq!(restored.n_left_out, 0, "{} bytes", text.len());
    check_changes(&restored.changes, text.len());
    if let Some(fault) = &restored.fault {
        assert!(fault.line >= 1 && fault.line <= text.len() as u64 + 1);
        assert!(!fault.reason.is_empty());
    }
}

/// What each of the two languages makes of `text`.
#[cfg(test)]
pub(crate) fn meanings(text: &[u8]) -> (Restored, Command) {
    let program = XtablesProgram::from_name(PROGRAMS[0]).expect("it is one of them");
    (parse_restore(program, true, text), nft::parse_text(text))
}
