//! What a destination of alerts must be able to do.

use std::time::Duration;

pub use super::store::record::Record;

/// The longest pause between two tries, unless a sink wants a shorter one.
pub const RETRY_MAX: Duration = Duration::from_secs(300);

/// A destination. Each has a thread and a cursor of its own: it may wait as long as it likes, and holds up nobody
/// else.
pub trait Sink: Send {
    /// Names its cursor's file: ASCII letters, digits and `-`.
    fn name(&self) -> &str;

    /// Sends all of `records`, in order. Says how many from the front are the receiver's for good, and what stopped
    /// the others.
    fn deliver(&mut self, records: &[Record]) -> Delivery;

    /// Whether the agent may stop while this waits for its receiver: what is stored, the next run delivers.
    fn can_be_left(&self) -> bool {
        false
    }

    /// The operator may have changed what a delivery rests on: it is read anew.
    fn reload(&mut self) {}

    /// The longest pause between two tries.
    fn retry_max(&self) -> Duration {
        RETRY_MAX
    }
}

/// What became of some records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// From the front.
    pub delivered: usize,
    /// About the first record that was not delivered; or, when all were, about how they were.
    pub trouble: Option<Trouble>,
}

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may work later, not before `after` if the receiver said so.
    Retry {
        after: Option<Duration>,
        why: String,
    },
    /// Somebody has to change something first, as with a wrong password. Tried again once a minute.
    Hold { why: String },
    /// The receiver will never take this record. The others may go.
    Poison { why: String },
}

impl Delivery {
    /// All of them.
    pub fn all(records: &[Record]) -> Self {
        Self {
            delivered: records.len(),
            trouble: None,
        }
    }

    /// With another text of what is wrong.
    pub(super) fn map_why(self, change: impl FnOnce(String) -> String) -> Self {
        let Self { delivered, trouble } = self;
        let trouble = trouble.map(|trouble| match trouble {
            Trouble::Retry { after, why } => Trouble::Retry {
                after,
                why: change(why),
            },
            Trouble::Hold { why } => Trouble::Hold { why: change(why) },
            Trouble::Poison { why } => Trouble::Poison { why: change(why) },
        });
        Self { delivered, trouble }
    }
}
