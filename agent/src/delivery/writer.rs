//! Hands alerts to the local log, and to standard output when asked, without ever waiting for them.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::config::AlertsSettings;

use super::local_log::{LocalLog, LocalLogError};
use super::queue::Queue;
use super::stdout::Stdout;

pub use super::queue::{Accepted, LineCounts};

/// Standard output is a convenience; it gets no more than this of the time to stop.
const STDOUT_DEADLINE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
pub enum WriterError {
    #[error("the alert log cannot be used")]
    LocalLog(#[from] LocalLogError),
    #[error("start a writer thread")]
    Thread(#[source] io::Error),
}

/// What became of all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterCounts {
    pub log: LineCounts,
    /// `None` when alerts do not go there.
    pub stdout: Option<LineCounts>,
}

pub struct Writer {
    log: Queue,
    stdout: Option<Queue>,
}

impl Writer {
    /// Opens the log and starts its thread.
    pub fn spawn(settings: &AlertsSettings) -> Result<Self, WriterError> {
        let AlertsSettings {
            path,
            group,
            stdout,
            queue_lines,
        } = settings;
        let log = LocalLog::open(path, group)?;
        let log = Queue::spawn("alert-log", log, *queue_lines).map_err(WriterError::Thread)?;
        let stdout = stdout
            .then(|| Queue::spawn("alert-stdout", Stdout, *queue_lines))
            .transpose()
            .map_err(WriterError::Thread)?;
        Ok(Self { log, stdout })
    }

    /// Takes a line for the log; it ends in LF.
    #[must_use = "a dropped line is a lost alert"]
    pub fn accept(&self, line: Vec<u8>) -> Accepted {
        self.log.accept(line)
    }

    /// What became of the lines of the log so far.
    pub fn log_counts(&self) -> LineCounts {
        self.log.counts()
    }

    /// Takes a text for standard output, if alerts go there. One that finds no room is only counted.
    pub fn show(&self, text: Vec<u8>) {
        if let Some(stdout) = &self.stdout {
            stdout.accept(text);
        }
    }

    /// Writes what waits, at most for `deadline`, and ends. What still waits then is lost.
    pub fn shutdown(self, deadline: Duration) -> WriterCounts {
        self.log.close();
        if let Some(stdout) = &self.stdout {
            stdout.close();
        }
        WriterCounts {
            log: self.log.wait(deadline),
            stdout: self
                .stdout
                .as_ref()
                .map(|stdout| stdout.wait(deadline.min(STDOUT_DEADLINE_MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn settings(path: PathBuf) -> AlertsSettings {
        AlertsSettings {
            path,
            group: "adm".to_owned(),
            stdout: false,
            queue_lines: 10,
        }
    }

    #[test]
    fn what_was_accepted_is_in_the_log_after_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alerts.jsonl");
        let writer = Writer::spawn(&settings(path.clone())).unwrap();
        assert_eq!(writer.accept(b"a\n".to_vec()), Accepted::Queued);
        assert_eq!(writer.accept(b"b\n".to_vec()), Accepted::Queued);
        let counts = writer.shutdown(Duration::from_secs(60));
        assert_eq!((counts.log.written, counts.stdout), (2, None));
        assert_eq!(fs::read_to_string(path).unwrap(), "a\nb\n");
    }

    #[test]
    fn a_log_that_cannot_be_used_is_told_at_the_start() {
        let path = Path::new("/proc/none/alerts.jsonl").to_owned();
        let Err(error) = Writer::spawn(&settings(path)) else {
            panic!("there is no such place");
        };
        assert!(
            matches!(
                error,
                WriterError::LocalLog(LocalLogError::CreateDirectory { .. })
            ),
            "{error:?}"
        );
    }
}
