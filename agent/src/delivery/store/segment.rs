//! A file with some of the records: its name is the number of the first, in 20 digits.

use super::record::{RECORD_BYTES_MAX, SEQ_MAX};

/// A segment takes no more records once it has so many bytes.
pub(super) const SEGMENT_BYTES: u64 = 1 << 20;
/// No segment is longer: what is appended at once is bounded too.
pub(super) const READ_BYTES_MAX: u64 = 2 * SEGMENT_BYTES + 2 * RECORD_BYTES_MAX as u64;

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Segment {
    /// By its name: no record has a smaller number.
    pub(in crate::delivery) first_seq: u64,
    /// The last record's; less than `first_seq` when there is none.
    pub(in crate::delivery) last_seq: u64,
    pub(super) records: u64,
    /// Of whole records.
    pub(super) bytes: u64,
    /// When it was begun, on the store's own clock.
    pub(super) begun_s: u64,
}

impl Segment {
    pub(super) fn new(first_seq: u64, begun_s: u64) -> Self {
        Self {
            first_seq,
            last_seq: first_seq - 1,
            records: 0,
            bytes: 0,
            begun_s,
        }
    }

    pub(in crate::delivery) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(in crate::delivery) fn file_name(&self) -> String {
        file_name(self.first_seq)
    }
}

fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}.log")
}

/// `None` for a file that is no segment.
pub(super) fn first_seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let first_seq = digits
        .parse()
        .ok()
        .filter(|seq| (1..=SEQ_MAX).contains(seq))?;
    (file_name(first_seq) == name).then_some(first_seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_twenty_digits_and_nothing_else() {
        let name = Segment::new(42, 0).file_name();
        assert_eq!(name, "00000000000000000042.log");
        assert_eq!(first_seq_of(&name), Some(42));
        for other in [
            "42.log",
            "+0000000000000000042.log",
            "00000000000000000000.log",
            "00000000000000000042.log.new",
            "99999999999999999999.log",
        ] {
            assert_eq!(first_seq_of(other), None, "{other}");
        }
    }
}
