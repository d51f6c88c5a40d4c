//! How much of an alert goes into one line: everything, or as much as fits.

/// Bounds on the parts of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// Bytes of one command line, before they are written as JSON.
    pub(super) text_bytes: usize,
    /// Bytes of one path or name.
    pub(super) field_bytes: usize,
    /// Entries of a list of execs, command lines, ancestors or clauses.
    pub(super) items: usize,
    /// Entries of a list of ports, pids or guids, each of which is short.
    pub(super) ids: usize,
}

impl Budget {
    pub(super) const UNLIMITED: Self = Self {
        text_bytes: usize::MAX,
        field_bytes: usize::MAX,
        items: usize::MAX,
        ids: usize::MAX,
    };

    /// Only what has a fixed size.
    pub(super) const NOTHING: Self = Self {
        text_bytes: 0,
        field_bytes: 0,
        items: 0,
        ids: 0,
    };

    /// From everything down to nothing. Long texts give way before items do: what the middle of a
    /// padded command line holds matters less than that there was another command.
    pub(super) fn ladder() -> impl Iterator<Item = Self> {
        let steps = ITEMS.into_iter().flat_map(|items| {
            TEXT_BYTES
                .into_iter()
                .map(move |text_bytes| Self::step(items, text_bytes))
        });
        let last = LAST_TEXT_BYTES
            .into_iter()
            .map(|text_bytes| Self::step(LAST_ITEMS, text_bytes));
        [Self::UNLIMITED]
            .into_iter()
            .chain(steps)
            .chain(last)
            .chain([Self::NOTHING])
    }

    fn step(items: usize, text_bytes: usize) -> Self {
        Self {
            text_bytes,
            // The longest path there is, as long as command lines are not shorter still.
            field_bytes: if text_bytes < 1024 { text_bytes } else { 4096 },
            items,
            ids: items.saturating_mul(IDS_PER_ITEM),
        }
    }
}

const ITEMS: [usize; 6] = [usize::MAX, 128, 64, 32, 16, 8];
const TEXT_BYTES: [usize; 5] = [16_384, 8192, 4096, 2048, 1024];
const LAST_ITEMS: usize = 4;
const LAST_TEXT_BYTES: [usize; 5] = [1024, 512, 256, 128, 32];
const IDS_PER_ITEM: usize = 4;
