//! What a rule asks of a loaded value: to be in a range, or not to be.

use std::ops::RangeInclusive;

use super::super::element::{highest, number};
use super::super::expression::Comparison;
use super::super::field::{Field, Part, Subject};

/// A range of values, first and last included, of as many bytes as are compared.
#[derive(Clone, Debug)]
pub(super) struct Test {
    bytes: usize,
    /// In the order of the packet; `None`: more than 16 bytes, or no value at all.
    range: Option<RangeInclusive<u128>>,
    negated: bool,
    /// As compared, when one value is.
    value: Option<Vec<u8>>,
}

impl Test {
    pub(super) fn compare(comparison: Comparison, value: &[u8]) -> Self {
        let bytes = value.len();
        let number = number(value);
        let range = number.and_then(|number| match comparison {
            Comparison::Equal | Comparison::NotEqual => Some(number..=number),
            Comparison::Less => Some(0..=number.checked_sub(1)?),
            Comparison::LessOrEqual => Some(0..=number),
            Comparison::Greater => Some(number.checked_add(1)?..=highest(bytes)),
            Comparison::GreaterOrEqual => Some(number..=highest(bytes)),
        });
        let is_value = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        Self {
            bytes,
            range: range.filter(|range| range.start() <= range.end()),
            negated: comparison == Comparison::NotEqual,
            value: is_value.then(|| value.to_vec()),
        }
    }

    pub(super) fn range(first: &[u8], last: &[u8], negated: bool) -> Self {
        let range = number(first).zip(number(last));
        Self {
            bytes: first.len(),
            range: range
                .filter(|(first, last)| first <= last)
                .map(|(first, last)| first..=last),
            negated,
            value: None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_negated(&self) -> bool {
        self.negated
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The one value that fits.
    pub(super) fn single(&self) -> Option<u128> {
        let range = self.range.as_ref()?;
        (range.start() == range.end() && !self.negated).then(|| *range.start())
    }

    /// The values of one part. Of several parts, each is known only when the whole is one value.
    pub(super) fn of_part(&self, part: Part) -> Option<RangeInclusive<u128>> {
        let range = self.range.as_ref()?;
        let (start, end) = (*range.start(), *range.end());
        if part.bytes != self.bytes && (start != end || self.negated) {
            return None;
        }
        let behind = self.bytes.checked_sub(part.skip + part.bytes)?;
        let low = |number: u128| {
            let shifted = number.checked_shr(bits(behind)).unwrap_or(0);
            shifted & highest(part.bytes)
        };
        // Fewer bytes than the subject has are its first: the rest is free.
        let free = part.subject.bytes().checked_sub(part.bytes)?;
        let first = low(start).checked_shl(bits(free)).unwrap_or(0);
        let last = low(end).checked_shl(bits(free)).unwrap_or(0) | highest(free);
        Some(first..=last)
    }

    /// The test as one of the value before it was masked; `None` when no range is that.
    pub(super) fn unmasked(self, field: &Field, mask: Option<&(Vec<u8>, Vec<u8>)>) -> Option<Self> {
        let Some((mask, xor)) = mask else {
            return Some(self);
        };
        if xor.iter().any(|&byte| byte != 0) || mask.len() != self.bytes {
            return None;
        }
        if *field == Field::Whole(Subject::State) {
            return self.of_bits(mask);
        }
        let value = number(self.value.as_deref()?)?;
        let free = !number(mask)? & highest(self.bytes);
        // A network: the mask's zeros stand behind its ones.
        let is_network = free & free.wrapping_add(1) == 0 && value & free == 0;
        is_network.then_some(Self {
            range: Some(value..=value | free),
            value: None,
            ..self
        })
    }

    /// `(state & mask) != 0`: one of these bits; `== 0`: none of them.
    fn of_bits(self, mask: &[u8]) -> Option<Self> {
        let value = self.value.as_deref()?;
        value.iter().all(|&byte| byte == 0).then(|| Self {
            value: Some(mask.to_vec()),
            range: number(mask).map(|mask| mask..=mask),
            negated: !self.negated,
            bytes: self.bytes,
        })
    }
}

fn bits(bytes: usize) -> u32 {
    u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX)
}
