//! Inputs that are long, without the fuzzer's having to find each byte.

/// Longest command line of one argument (`MAX_ARG_STRLEN` is twice this), and longest datagram that the agent
/// reads at once.
const LONG_BYTES: usize = 64 << 10;

/// Only a part of all inputs, and short ones: the others would be tried too seldom.
const ONE_IN: usize = 8;
const SHORT_BYTES_MAX: usize = 256;

/// `data` again and again. Work that grows faster than its input shows here, as an input that takes too long.
pub(crate) fn repeated(data: &[u8]) -> Option<Vec<u8>> {
    let sum: usize = data.iter().map(|&byte| usize::from(byte)).sum();
    let is_chosen = sum % ONE_IN == 0 && (1..=SHORT_BYTES_MAX).contains(&data.len());
    is_chosen.then(|| data.repeat(LONG_BYTES / data.len()))
}
