//! Whether the alert log can be written, without writing it.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, Group, faccessat};

use crate::config::AlertsSettings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertLog {
    pub place: Place,
    /// Bytes that a process without privileges may still write there; `None` where it is not told.
    pub free_bytes: Option<u64>,
    /// Whether the group that may read it exists; `None` when that cannot be told.
    pub is_group_known: Option<bool>,
}

/// What stands under the log's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The log, which this process may write.
    Log,
    /// Nothing; the directory is there and may be written.
    Directory,
    /// Nothing; the directory is missing and the agent will make it.
    WillBeMade,
    /// The agent could not write there.
    Unusable { why: String, is_permission: bool },
}

impl AlertLog {
    pub fn look(settings: &AlertsSettings) -> Self {
        let path = &settings.path;
        let ancestor = path.ancestors().skip(1).find(|path| path.is_dir());
        // A file system without blocks (ramfs) has no bound to tell.
        let free = ancestor
            .and_then(|directory| statvfs(directory).ok())
            .filter(|free| free.blocks() > 0);
        Self {
            place: place(path).unwrap_or_else(|(what, errno)| Place::Unusable {
                why: format!("{}: {}", what.display(), io::Error::from(errno)),
                is_permission: matches!(errno, Errno::EACCES | Errno::EPERM),
            }),
            free_bytes: free.map(|free| free.blocks_available() * free.fragment_size()),
            is_group_known: Group::from_name(&settings.group)
                .ok()
                .map(|group| group.is_some()),
        }
    }
}

/// The same steps as those of `delivery::local_log`. The error comes with the path that it is about.
fn place(path: &Path) -> Result<Place, (&Path, Errno)> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            may(path, AccessFlags::R_OK | AccessFlags::W_OK)?;
            return Ok(Place::Log);
        }
        Ok(_) => {
            return Ok(Place::Unusable {
                why: format!("{} is not a regular file", path.display()),
                is_permission: false,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err((path, errno(&error))),
    }
    let make = AccessFlags::W_OK | AccessFlags::X_OK;
    let directory = path.parent().unwrap_or(Path::new("/"));
    match may(directory, make) {
        Ok(()) => Ok(Place::Directory),
        Err((_, Errno::ENOENT)) => {
            may(directory.parent().unwrap_or(Path::new("/")), make)?;
            Ok(Place::WillBeMade)
        }
        Err(error) => Err(error),
    }
}

fn may(path: &Path, how: AccessFlags) -> Result<(), (&Path, Errno)> {
    faccessat(AT_FDCWD, path, how, AtFlags::AT_EACCESS).map_err(|errno| (path, errno))
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn look(path: PathBuf) -> AlertLog {
        AlertLog::look(&AlertsSettings {
            path,
            group: "no-such-group-here".to_owned(),
            stdout: false,
            queue_lines: 1,
        })
    }

    #[test]
    fn what_stands_under_the_name_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("alerts.jsonl");
        let found = look(log.clone());
        assert_eq!(found.place, Place::Directory);
        assert!(found.free_bytes.unwrap() > 0);
        assert_eq!(found.is_group_known, Some(false));
        assert_eq!(
            look(folder.path().join("new/a.jsonl")).place,
            Place::WillBeMade
        );
        fs::write(&log, "").unwrap();
        assert_eq!(look(log.clone()).place, Place::Log);
        assert!(log.exists() && !folder.path().join("new").exists());
    }

    #[test]
    fn what_cannot_become_a_log_is_told_with_the_path_that_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        for (path, part) in [
            (folder.path().to_owned(), "is not a regular file"),
            (link, "is not a regular file"),
            (folder.path().join("a/b/c"), "a: No such file"),
        ] {
            let Place::Unusable { why, .. } = look(path).place else {
                panic!("{part}");
            };
            assert!(why.contains(part), "{why}");
        }
    }
}
