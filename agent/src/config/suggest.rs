//! "Did you mean": the known name nearest to a misspelt one.

/// The nearest of `known`, when it is near enough to be what was meant.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| (distance(&name, candidate), *candidate))
        .min()
        .filter(|(steps, candidate)| *steps <= (candidate.len() / 3).max(1))
        .map(|(_, candidate)| candidate)
}

/// Characters inserted, removed, replaced or swapped with their neighbour to get from one to the
/// other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, &from_char) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &to_char) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(from_char != to_char);
            let removed = last[column + 1] + 1;
            let inserted = current[column] + 1;
            let mut steps = replaced.min(removed).min(inserted);
            let swapped =
                row > 0 && column > 0 && from_char == to[column - 1] && from[row - 1] == to_char;
            if swapped {
                steps = steps.min(before_last[column - 1] + 1);
            }
            current.push(steps);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_name_and_a_stranger_finds_none() {
        let known = [
            "bulk_ring_bytes",
            "urgent_ring_bytes",
            "drain_delay_ms",
            "path",
        ];
        let cases = [
            ("bulk_rng_bytes", Some("bulk_ring_bytes")),
            ("Bulk_Ring_Bytes", Some("bulk_ring_bytes")),
            ("bulk-ring-bytes", Some("bulk_ring_bytes")),
            ("darin_delay_ms", Some("drain_delay_ms")),
            ("drain_delay", Some("drain_delay_ms")),
            ("paht", Some("path")),
            ("colour", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
        assert_eq!(nearest("path", &[]), None);
    }
}
