//! What a heartbeat says of the store and its sinks.

use serde::Serialize;
use uuid::Uuid;

use crate::delivery::encode::budget::Budget;
use crate::delivery::encode::text::Text;
use crate::delivery::encode::{Shown, first};
use crate::pipeline::watch::{SinkBooks, StoreBooks};

#[derive(Serialize)]
pub(super) struct StoreLine<'a> {
    epoch: Shown<Uuid>,
    seq: u64,
    durable: bool,
    degraded: bool,
    bytes: u64,
    held: u64,
    refused: u64,
    unstored: u64,
    damaged: u64,
    torn: u64,
    segments_unreadable: u64,
    segments_removed: u64,
    faults: u64,
    sinks: Vec<SinkLine<'a>>,
}

#[derive(Serialize)]
struct SinkLine<'a> {
    name: Text<'a>,
    backlog: u64,
    delivered: u64,
    dropped: u64,
    damaged: u64,
    dead_letters: u64,
    in_trouble: bool,
}

pub(super) fn store_line(books: &StoreBooks, budget: Budget) -> StoreLine<'_> {
    let StoreBooks {
        epoch,
        seq,
        durable,
        degraded,
        bytes,
        held,
        undelivered: _,
        refused,
        unstored,
        damaged,
        torn,
        segments_unreadable,
        segments_removed,
        faults,
        sinks,
    } = books;
    StoreLine {
        epoch: Shown(*epoch),
        seq: *seq,
        durable: *durable,
        degraded: *degraded,
        bytes: *bytes,
        held: *held,
        refused: *refused,
        unstored: *unstored,
        damaged: *damaged,
        torn: *torn,
        segments_unreadable: *segments_unreadable,
        segments_removed: *segments_removed,
        faults: *faults,
        sinks: first(sinks, budget.items)
            .map(|sink| sink_line(sink, budget))
            .collect(),
    }
}

fn sink_line(books: &SinkBooks, budget: Budget) -> SinkLine<'_> {
    let SinkBooks {
        name,
        backlog,
        delivered,
        dropped,
        damaged,
        dead_letters,
        in_trouble,
    } = books;
    SinkLine {
        name: Text::whole(name.as_bytes()).within(budget.field_bytes),
        backlog: *backlog,
        delivered: *delivered,
        dropped: *dropped,
        damaged: *damaged,
        dead_letters: *dead_letters,
        in_trouble: *in_trouble,
    }
}
