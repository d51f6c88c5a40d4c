//! Where the canary's alert is written: a folder of its own beside the alert log, removed afterwards.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::host::clock;

/// Removed with all that is in it when this is dropped.
pub(super) struct LogFolder {
    path: PathBuf,
    /// The directory in which the folder is.
    pub(super) beside: PathBuf,
    /// Why that is not the directory of the alert log, if it is not.
    pub(super) substitute: Option<String>,
}

impl LogFolder {
    /// Makes the folder in the directory of the alert log, or in that for temporary files when the first
    /// is missing or cannot be written.
    pub(super) fn beside(log: &Path) -> anyhow::Result<Self> {
        let directory = log.parent().unwrap_or(Path::new("/"));
        let (path, beside, substitute) = match make(directory) {
            Ok(path) => (path, directory.to_owned(), None),
            Err(error) => {
                let substitute = std::env::temp_dir();
                let why = format!("{}: {error}", directory.display());
                let path = make(&substitute)
                    .with_context(|| format!("make a folder in {}", substitute.display()))
                    .with_context(|| why.clone())?;
                (path, substitute, Some(why))
            }
        };
        Ok(Self {
            path,
            beside,
            substitute,
        })
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("alerts.jsonl")
    }
}

/// For the owner alone, and new: whatever others have put into the directory is not used.
fn make(directory: &Path) -> io::Result<PathBuf> {
    let (pid, now) = (std::process::id(), clock::now().boot_ns);
    let path = directory.join(format!(".wallwatch-doctor.{pid}.{now}"));
    DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

impl Drop for LogFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_beside_the_log_for_the_owner_alone_and_gone_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let folder = LogFolder::beside(&directory.path().join("alerts.jsonl")).unwrap();
        assert_eq!(folder.beside, directory.path());
        assert_eq!(folder.substitute, None);
        let mode = folder.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(folder.log(), "x").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_the_logs_directory_another_one_serves_and_why_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let folder = LogFolder::beside(&missing.join("alerts.jsonl")).unwrap();
        assert_eq!(folder.beside, std::env::temp_dir());
        assert!(folder.substitute.as_ref().unwrap().contains("missing"));
        assert!(!missing.exists());
    }
}
