//! nf_tables' messages: datagrams through the transactions, a listing through the rulesets that are compared.

use wallwatch::pipeline::exec::Time;
use wallwatch::pipeline::firewall::netlink::remembered::{Listed, Remembered};
use wallwatch::pipeline::firewall::netlink::snapshot::{Snapshot, diff};
use wallwatch::pipeline::firewall::netlink::{
    Datagram, Limits, Message, RULESET_BYTES_MAX, Ruleset, Transactions,
};

use crate::repeated;

/// Small, so that they are reached.
const LIMITS: Limits = Limits {
    changes_max: 16,
    elements_max: 16,
    namespaces_max: 2,
};

/// Bytes of the header of a message, and the least that one takes.
const HEADER_BYTES: usize = 16;

/// `data` is messages, one after the other.
pub fn check(data: &[u8]) {
    check_messages(data);
    check_listing(data);
    if let Some(long) = repeated(data) {
        check_messages(&long);
        check_listing(&long);
    }
}

/// How many changes `data` leads to.
#[cfg(test)]
pub(crate) fn changes_of(data: &[u8]) -> usize {
    let mut known = Transactions::new(Limits::default());
    let ended = known.handle_datagram(None, data, Time::default());
    ended.iter().map(|ended| ended.changes.len()).sum()
}

fn check_messages(data: &[u8]) {
    let decoded = Datagram::decode(data);
    let n_messages = decoded.messages.len() as u64;
    let n_most = data.len().div_ceil(HEADER_BYTES) as u64;
    assert!(n_messages + decoded.malformed <= n_most);
    assert!(decoded.ignored <= n_most);

    let is_end = |message: &&Message| matches!(message, Message::Generation(_));
    let n_ends = decoded.messages.iter().filter(is_end).count();
    let mut known = Transactions::new(LIMITS);
    for nsid in [None, Some(1), Some(2), Some(3), None] {
        let ended = known.handle_datagram(nsid, data, Time::default());
        assert_eq!(ended.len(), n_ends);
        for transaction in &ended {
            assert_eq!(transaction.nsid, nsid);
            assert!(transaction.changes.len() <= 2 * LIMITS.changes_max);
        }
    }
    let forgotten = known.counters().namespaces_forgotten;
    assert_eq!(forgotten, 1, "one of three beside the agent's own");
    let ruleset = known.ruleset(None).expect("the agent's own is kept");
    check_bounds(ruleset, data);
}

/// The least that one thing of a ruleset takes in a message is its header.
fn check_bounds(ruleset: &Ruleset, data: &[u8]) {
    assert!(ruleset.bytes() <= RULESET_BYTES_MAX);
    assert!(things(ruleset) <= 2 * data.len().div_ceil(4));
}

fn things(ruleset: &Ruleset) -> usize {
    ruleset.tables().count()
        + ruleset.chains().count()
        + ruleset.rules().count()
        + ruleset.sets().count()
        + ruleset.element_count()
}

fn check_listing(data: &[u8]) {
    let listed = Listed {
        generation: 1,
        messages: data.to_vec(),
    };
    let Some(snapshot) = listed.decode() else {
        return;
    };
    check_bounds(&snapshot.ruleset, data);
    let nothing = Snapshot::default();
    assert_eq!(diff(&snapshot, &snapshot), []);
    let n_things = things(&snapshot.ruleset);
    // A table may be dormant, which is told beside it.
    for changes in [diff(&nothing, &snapshot), diff(&snapshot, &nothing)] {
        assert!(changes.len() <= 2 * n_things);
    }
    for same_boot in [true, false] {
        let snapshot = snapshot.clone();
        let remembered = Remembered {
            snapshot: snapshot.clone(),
            same_boot,
        };
        assert_eq!(remembered.changes_until(&snapshot), []);
        assert!(remembered.changes_until(&nothing).len() <= 2 * n_things);
    }
}
