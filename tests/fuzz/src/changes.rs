//! What must hold for every change that a command asks for.

use wallwatch::pipeline::firewall::change::{Command, FirewallChange};

/// What all changes come to, written out, for each byte that was read: a field that is absent is written too,
/// and one byte can be a rule.
const SHOWN_BYTES_MAX: usize = 512;

/// The same for a command without a byte.
const SHOWN_BYTES_LEAST: usize = 4096;

/// Longest reason for which a command is refused: it names what was wrong, and does not repeat it.
const REASON_BYTES_MAX: usize = 1024;

pub(crate) fn check_command(command: &Command, n_bytes: usize) {
    match command {
        Command::Changes(changes) => {
            assert!(!changes.is_empty(), "that is a query");
            check_changes(changes, n_bytes);
        }
        Command::Query => {}
        Command::Rejected { reason } => {
            assert!(!reason.is_empty());
            assert!(reason.len() <= REASON_BYTES_MAX, "{} bytes", reason.len());
        }
    }
}

pub(crate) fn check_changes(changes: &[FirewallChange], n_bytes: usize) {
    let n_most = SHOWN_BYTES_LEAST + SHOWN_BYTES_MAX * n_bytes;
    let mut n = 0;
    for change in changes {
        n += format!("{change:?}").len();
        assert!(n <= n_most, "{n} bytes of changes from {n_bytes}");
    }
}
