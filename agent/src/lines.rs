//! Lines of a file that somebody else may have written: bounded, whatever stands there.

use std::io::{self, BufRead, Read};

/// Reads up to the next line feed; `false` at the end. Of a line that is longer than `bytes_max` one byte more
/// than that is kept, as a mark, and the rest is passed over.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, bytes_max: u64) -> io::Result<bool> {
    line.clear();
    input.by_ref().take(bytes_max + 1).read_until(b'\n', line)?;
    if line.len() as u64 > bytes_max && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_marked_and_passed_over() {
        let mut input = b"12345\n1234567\nab".as_slice();
        let mut line = Vec::new();
        let mut next = || {
            let is_there = read_line(&mut input, &mut line, 6).unwrap();
            (is_there, line.clone())
        };
        assert_eq!(next(), (true, b"12345\n".to_vec()));
        assert_eq!(next(), (true, b"1234567".to_vec()), "one byte too many");
        assert_eq!(next(), (true, b"ab".to_vec()));
        assert_eq!(next(), (false, Vec::new()));
    }
}
