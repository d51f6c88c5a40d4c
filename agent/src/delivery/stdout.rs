//! A copy of each alert on standard output.

use std::io::{self, Write};

use super::queue::{AppendError, Log, Outcome};

pub(super) struct Stdout;

impl Log for Stdout {
    type Error = io::Error;

    fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), AppendError<io::Error>> {
        append(&mut io::stdout().lock(), lines)
    }
}

fn append(out: &mut impl Write, lines: &[Vec<u8>]) -> Result<(), AppendError<io::Error>> {
    for (written, line) in lines.iter().enumerate() {
        out.write_all(line)
            .and_then(|()| out.flush())
            .map_err(|error| AppendError {
                outcome: if error.kind() == io::ErrorKind::BrokenPipe {
                    // Nobody will read it any more.
                    Outcome::Gone(written)
                } else {
                    Outcome::Written(written)
                },
                error,
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one write, then fails.
    struct Pipe(Option<io::ErrorKind>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.replace(io::ErrorKind::BrokenPipe) {
                None => Ok(bytes.len()),
                Some(kind) => Err(kind.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_the_end_and_other_failures_are_not() {
        let lines = [b"a\n".to_vec(), b"b\n".to_vec()];
        let failure = |mut pipe| {
            let error = append(&mut pipe, &lines).err()?;
            Some(error.outcome)
        };
        assert_eq!(failure(Pipe(None)), Some(Outcome::Gone(1)));
        let full = Pipe(Some(io::ErrorKind::StorageFull));
        assert_eq!(failure(full), Some(Outcome::Written(0)));
    }
}
