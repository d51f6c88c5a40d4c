//! One record of the store, and how records are found again among damaged bytes.
//!
//! ```text
//! crc32(8 hex digits) SP seq SP json LF
//! ```
//!
//! The checksum is CRC-32 (IEEE 802.3) over `seq SP json`. A record has one LF, at its end, so a reader that met
//! damage goes on behind the next one: a damaged byte costs the record that it stands in, a damaged LF two.

use crate::delivery::encode::json::LINE_BYTES_MAX;

/// Bytes before the JSON: checksum, number, two spaces.
const HEAD_BYTES_MAX: usize = 8 + 1 + 20 + 1;

/// Of an event without its LF.
pub(in crate::delivery) const JSON_BYTES_MAX: usize = LINE_BYTES_MAX - 1;

/// No record has a larger number: whoever claims it is no record, and what counts on from there never overflows.
pub(super) const SEQ_MAX: u64 = u64::MAX / 2;

/// Of one record, its LF included.
pub(super) const RECORD_BYTES_MAX: usize = HEAD_BYTES_MAX + LINE_BYTES_MAX;

/// An alert, or another event, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Rises from record to record, also over restarts; the first is 1.
    pub seq: u64,
    /// One JSON object without LF.
    pub json: Vec<u8>,
}

impl Record {
    /// Appends the record as it is stored.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = self.seq.to_string().into_bytes();
        body.push(b' ');
        body.extend_from_slice(&self.json);
        out.extend_from_slice(format!("{:08x} ", crc32fast::hash(&body)).as_bytes());
        out.extend_from_slice(&body);
        out.push(b'\n');
    }

    /// `line` without its LF.
    fn decode(line: &[u8]) -> Option<Self> {
        let (sum, body) = line.split_at_checked(8)?;
        let body = body.strip_prefix(b" ")?;
        if sum != format!("{:08x}", crc32fast::hash(body)).as_bytes() {
            return None;
        }
        let space = body.iter().position(|&byte| byte == b' ')?;
        let digits = std::str::from_utf8(&body[..space]).ok()?;
        // `parse` alone would take a sign.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seq = digits.parse().ok();
        Some(Self {
            seq: seq.filter(|seq| (1..=SEQ_MAX).contains(seq))?,
            json: body[space + 1..].to_vec(),
        })
    }
}

/// What stands in a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// In order; each number is larger than the one before.
    pub(super) records: Vec<Record>,
    /// Lines that are no record.
    pub(super) damaged: u64,
    /// Damaged lines behind the last record: each may have been one with a number of its own.
    pub(super) damaged_at_end: u64,
    /// Records whose number is not larger than that of an earlier one: written once more, for it was not known
    /// whether the first time had reached the disk.
    pub(super) repeated: u64,
    /// Up to the last LF. What follows was being written when the writer was interrupted.
    pub(super) whole_bytes: usize,
}

/// Reads the records of `bytes` whose number is larger than `after`.
pub(super) fn read(bytes: &[u8], after: u64) -> Contents {
    let mut contents = Contents::default();
    let mut last = after;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            break;
        };
        contents.whole_bytes += line.len() + 1;
        match Record::decode(line) {
            None => {
                contents.damaged += 1;
                contents.damaged_at_end += 1;
            }
            Some(record) if record.seq <= last => contents.repeated += 1,
            Some(record) => {
                last = record.seq;
                contents.damaged_at_end = 0;
                contents.records.push(record);
            }
        }
    }
    contents
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn encoded(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            record.encode(&mut bytes);
        }
        bytes
    }

    #[test]
    fn a_record_is_a_line_that_grep_understands() {
        let record = Record {
            seq: 7,
            json: br#"{"kind":"alert"}"#.to_vec(),
        };
        let bytes = encoded(&[record]);
        expect_test::expect![[r#"
            46695573 7 {"kind":"alert"}
        "#]]
        .assert_eq(std::str::from_utf8(&bytes).unwrap());
    }

    #[test]
    fn a_number_that_came_before_is_a_repetition() {
        let record = |seq| Record {
            seq,
            json: b"{}".to_vec(),
        };
        let bytes = encoded(&[record(3), record(4), record(4), record(3), record(5)]);
        let contents = read(&bytes, 3);
        assert_eq!(contents.records, [record(4), record(5)]);
        assert_eq!((contents.repeated, contents.damaged), (3, 0));
    }

    /// Any records with rising numbers; their JSON may hold whatever has no LF.
    fn records() -> impl Strategy<Value = Vec<Record>> {
        let json = vec(any::<u8>().prop_filter("LF", |&byte| byte != b'\n'), 0..40);
        vec((1..1000u64, json), 1..20).prop_map(|records| {
            let mut seq = 0;
            let number = |(step, json)| {
                seq += step;
                Record { seq, json }
            };
            records.into_iter().map(number).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again(records in records()) {
            let bytes = encoded(&records);
            let contents = read(&bytes, 0);
            prop_assert_eq!(contents.whole_bytes, bytes.len());
            prop_assert_eq!((contents.damaged, contents.repeated), (0, 0));
            prop_assert_eq!(contents.records, records);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..400), after in any::<u64>()) {
            let contents = read(&bytes, after);
            prop_assert!(contents.whole_bytes <= bytes.len());
            prop_assert!(contents.records.iter().all(|record| record.seq > after));
        }

        #[test]
        fn flipped_bytes_cost_the_records_that_they_stand_in(
            records in records(),
            at in any::<prop::sample::Index>(),
            flips in vec(1..=255u8, 1..30),
        ) {
            let mut bytes = encoded(&records);
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + flips.len());
            for (byte, flip) in bytes[at..end].iter_mut().zip(&flips) {
                *byte ^= flip;
            }
            // A record is hit by a flip in it; without its LF, the one behind it is as well.
            let mut expected = Vec::new();
            let mut start = 0;
            let mut is_joined = false;
            for record in &records {
                let size = encoded(std::slice::from_ref(record)).len();
                let is_hit = at < start + size && start < end;
                if !is_hit && !is_joined {
                    expected.push(record.clone());
                }
                is_joined = (at..end).contains(&(start + size - 1));
                start += size;
            }
            let contents = read(&bytes, 0);
            let noticed = contents.damaged > 0 || contents.whole_bytes < bytes.len();
            prop_assert!(noticed);
            // A flipped LF may leave the record in front of it whole where another byte became one.
            for record in &expected {
                prop_assert!(contents.records.contains(record));
            }
            for record in &contents.records {
                prop_assert!(records.contains(record));
            }
        }

        #[test]
        fn a_cut_costs_what_was_cut_off(records in records(), at in any::<prop::sample::Index>()) {
            let mut bytes = encoded(&records);
            bytes.truncate(at.index(bytes.len()));
            let contents = read(&bytes, 0);
            prop_assert_eq!(contents.damaged, 0);
            let whole = &records[..contents.records.len()];
            prop_assert_eq!(&contents.records[..], whole);
            prop_assert_eq!(encoded(whole).len(), contents.whole_bytes);
        }
    }
}
