//! The local log: one alert a line, appended and synced, readable by a group.
//!
//! Whoever rotates it renames it; the next batch then goes to a new file under the old name. A last
//! line that a crash or a full disk tore is closed before another one is written, so that it spoils
//! no other.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{
    DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Group, geteuid};
use thiserror::Error;

use super::queue::Chain;
use super::sink::{Delivery, Record, Sink, Trouble};

const FILE_MODE: u32 = 0o640;
/// Until the file belongs to its group.
const FILE_MODE_AT_FIRST: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o750;
/// Between one look and the next the file may come or go; more often than this it is no accident.
const OPEN_ATTEMPTS: usize = 4;
/// Who made room on the disk wants to see the alerts at once.
const RETRY_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
pub enum LocalLogError {
    #[error("open {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("create the directory {path}")]
    CreateDirectory { path: PathBuf, source: io::Error },
    #[error("{path} is not a regular file")]
    NotRegular { path: PathBuf },
    #[error("write to {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("sync {path}")]
    Sync { path: PathBuf, source: io::Error },
}

pub struct LocalLog {
    path: PathBuf,
    group: String,
    file: File,
}

impl LocalLog {
    /// Opens the log, or creates it for `group` to read. Its directory is created too, if the one
    /// above that is there.
    pub fn open(path: &Path, group: &str) -> Result<Self, LocalLogError> {
        Ok(Self {
            path: path.to_owned(),
            group: group.to_owned(),
            file: open_or_create(path, group)?,
        })
    }

    /// Opens the file anew when another one, or none, stands under its name.
    fn follow_rotation(&mut self) -> Result<(), LocalLogError> {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let named = fs::symlink_metadata(&self.path).map(identity).ok();
        let open = self.file.metadata().map(identity).ok();
        if named.is_none() || named != open {
            self.file = open_or_create(&self.path, &self.group)?;
        }
        Ok(())
    }
}

impl Sink for LocalLog {
    fn name(&self) -> &str {
        "file"
    }

    fn deliver(&mut self, records: &[Record]) -> Delivery {
        let line = |record: &Record| [&record.json[..], b"\n"].concat();
        let lines: Vec<Vec<u8>> = records.iter().map(line).collect();
        let Err((delivered, error)) = self.append(&lines) else {
            return Delivery::all(records);
        };
        let why = Chain(&error).to_string();
        Delivery {
            delivered,
            trouble: Some(Trouble::Retry { after: None, why }),
        }
    }

    fn retry_max(&self) -> Duration {
        RETRY_MAX
    }
}

impl LocalLog {
    /// The error comes with the number of lines that need not be written again. Those that were written and not synced
    /// are among them: to write them at each try would fill the disk, and the store has them.
    pub(super) fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), (usize, LocalLogError)> {
        self.follow_rotation().map_err(|error| (0, error))?;
        write_lines(&self.file, lines).map_err(|(written, source)| {
            let path = self.path.clone();
            (written, LocalLogError::Write { path, source })
        })?;
        self.file.sync_data().map_err(|source| {
            let path = self.path.clone();
            (lines.len(), LocalLogError::Sync { path, source })
        })
    }
}

/// Writes each line at once. The error comes with the number of those that were written whole.
fn write_lines(mut file: &File, lines: &[Vec<u8>]) -> Result<(), (usize, io::Error)> {
    let mut torn = ends_in_torn_line(file).map_err(|error| (0, error))?;
    for (written, line) in lines.iter().enumerate() {
        let result = if torn {
            file.write_all(&[b"\n", line.as_slice()].concat())
        } else {
            file.write_all(line)
        };
        result.map_err(|error| (written, error))?;
        torn = false;
    }
    Ok(())
}

fn ends_in_torn_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != [b'\n'])
}

fn open_or_create(path: &Path, group: &str) -> Result<File, LocalLogError> {
    let failed = |source| LocalLogError::Open {
        path: path.to_owned(),
        source,
    };
    for _ in 0..OPEN_ATTEMPTS {
        match options().open(path) {
            Ok(file) => return regular(file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        match options()
            .create_new(true)
            .mode(FILE_MODE_AT_FIRST)
            .open(path)
        {
            Ok(file) => return hand_over(file, path, group),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_directory(path, group)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::ErrorKind::ResourceBusy.into()))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Reading is for the last byte. A link could lead anywhere, so none is followed; a FIFO or a
    // device must neither block nor become the terminal. The standard library adds O_CLOEXEC.
    options
        .read(true)
        .append(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

fn regular(file: File, path: &Path) -> Result<File, LocalLogError> {
    let metadata = file.metadata().map_err(|source| LocalLogError::Open {
        path: path.to_owned(),
        source,
    })?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(LocalLogError::NotRegular {
            path: path.to_owned(),
        })
    }
}

/// A file just created gets its owner, its group and its mode, and its name is made to last.
fn hand_over(file: File, path: &Path, group: &str) -> Result<File, LocalLogError> {
    give_to_owner(&file, path);
    give_to_group(&file, path, group);
    file.set_permissions(Permissions::from_mode(FILE_MODE))
        .map_err(|source| LocalLogError::Open {
            path: path.to_owned(),
            source,
        })?;
    let directory = directory_of(path);
    if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
        tracing::warn!(path = %directory.display(), %error, "cannot be synced");
    }
    Ok(file)
}

fn create_directory(path: &Path, group: &str) -> Result<(), LocalLogError> {
    let directory = directory_of(path);
    let create = || {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
            // Another process was faster; what it made is left as it is.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            created => created?,
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY)
            .open(directory)?;
        give_to_group(&opened, directory, group);
        opened.set_permissions(Permissions::from_mode(DIRECTORY_MODE))
    };
    create().map_err(|source| LocalLogError::CreateDirectory {
        path: directory.to_owned(),
        source,
    })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// Root creates files for an agent that is another user, as when an operator drains the spool or tries a sink: the
/// directory is the agent's.
fn give_to_owner(file: &File, path: &Path) {
    let directory = directory_of(path);
    let given = fs::metadata(directory).and_then(|directory| match directory.uid() {
        owner if geteuid().is_root() && owner != 0 => fchown(file, Some(owner), None),
        _ => Ok(()),
    });
    if let Err(error) = given {
        tracing::warn!(path = %path.display(), %error, "cannot be given to the owner of its directory");
    }
}

/// Not every host has the group, and not every agent may give a file away; the alerts matter more.
fn give_to_group(file: &File, path: &Path, group: &str) {
    let Ok(Some(found)) = Group::from_name(group) else {
        return;
    };
    if let Err(error) = fchown(file, None, Some(found.gid.as_raw())) {
        tracing::warn!(path = %path.display(), group, %error, "cannot be given to the group");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::{TempDir, tempdir};

    use super::*;

    fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
        texts
            .iter()
            .map(|text| format!("{text}\n").into_bytes())
            .collect()
    }

    fn append(log: &mut LocalLog, texts: &[&str]) {
        if let Err((_, error)) = log.append(&lines(texts)) {
            panic!("{error:?}");
        }
    }

    fn refused(path: &Path) -> String {
        match LocalLog::open(path, "adm") {
            Ok(_) => panic!("{} was opened", path.display()),
            Err(error) => format!("{error:?}"),
        }
    }

    fn fixture() -> (TempDir, PathBuf) {
        let directory = tempdir().unwrap();
        let path = directory.path().join("wallwatch/alerts.jsonl");
        (directory, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    /// As when an operator drains the spool of an agent that is another user.
    #[test]
    fn what_root_creates_belongs_to_the_owner_of_the_directory() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: without root nothing is given away");
            return;
        }
        const OWNER: u32 = 4711;
        let folder = tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(OWNER), None).unwrap();
        let path = folder.path().join("alerts.jsonl");
        LocalLog::open(&path, "nobody knows it").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), OWNER);
    }

    #[test]
    fn a_new_log_and_its_directory_are_for_the_agent_and_the_group() {
        let (_directory, path) = fixture();
        append(&mut LocalLog::open(&path, "adm").unwrap(), &["a", "b"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(mode(path.parent().unwrap()), 0o750);
        let group = Group::from_name("adm").unwrap();
        if let Some(group) = group.filter(|_| geteuid().is_root()) {
            assert_eq!(fs::metadata(&path).unwrap().gid(), group.gid.as_raw());
        }
    }

    #[test]
    fn a_log_that_is_there_is_continued_and_keeps_its_mode() {
        let (directory, _) = fixture();
        let path = directory.path().join("alerts.jsonl");
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        append(
            &mut LocalLog::open(&path, "no such group").unwrap(),
            &["new"],
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "old\nnew\n");
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let (directory, _) = fixture();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("target"), "").unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        mkfifo(&at("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
        for name in ["link", "dangling"] {
            assert!(refused(&at(name)).contains("FilesystemLoop"), "{name}");
        }
        assert!(!at("nothing").exists());
        assert!(refused(&at("fifo")).starts_with("NotRegular"));
        assert!(refused(directory.path()).contains("IsADirectory"));
        assert!(refused(Path::new("/dev/full")).starts_with("NotRegular"));
        assert!(refused(&at("a/b/alerts.jsonl")).starts_with("CreateDirectory"));
    }

    #[test]
    fn after_a_rotation_the_next_lines_go_to_a_new_file() {
        let (_directory, path) = fixture();
        let mut log = LocalLog::open(&path, "adm").unwrap();
        append(&mut log, &["a"]);
        let rotated = path.with_extension("1");
        fs::rename(&path, &rotated).unwrap();
        append(&mut log, &["b"]);
        fs::remove_file(&path).unwrap();
        append(&mut log, &["c"]);
        fs::write(path.with_extension("new"), "made by the rotation\n").unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        append(&mut log, &["d"]);
        assert_eq!(fs::read_to_string(rotated).unwrap(), "a\n");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "made by the rotation\nd\n"
        );
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        append(&mut log, &["e"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "e\n");
    }

    #[test]
    fn a_link_put_in_the_place_of_the_log_is_not_followed() {
        let (directory, path) = fixture();
        let mut log = LocalLog::open(&path, "adm").unwrap();
        let target = directory.path().join("target");
        fs::write(&target, "").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&target, &path).unwrap();
        let (written, _) = log.append(&lines(&["a"])).unwrap_err();
        assert_eq!(written, 0);
        assert_eq!(fs::read_to_string(target).unwrap(), "");
    }

    #[test]
    fn what_is_written_and_cannot_be_synced_is_told_apart() {
        // The name of this thread: a regular file that takes any text and knows no disk.
        let path = Path::new("/proc/thread-self/comm");
        let name = fs::read(path).unwrap();
        let mut log = LocalLog::open(path, "adm").unwrap();
        let (written, error) = log.append(&lines(&["unsynced"])).unwrap_err();
        assert_eq!(written, 1);
        assert!(matches!(error, LocalLogError::Sync { .. }));
        assert_eq!(fs::read_to_string(path).unwrap().trim_end(), "unsynced");
        fs::write(path, name).unwrap();
    }

    #[test]
    fn a_torn_last_line_is_closed_before_the_next() {
        let (_directory, path) = fixture();
        drop(LocalLog::open(&path, "adm").unwrap());
        fs::write(&path, "whole\n{\"torn").unwrap();
        let mut log = LocalLog::open(&path, "adm").unwrap();
        append(&mut log, &["a"]);
        append(&mut log, &["b"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\n{\"torn\na\nb\n");
        // Truncated in place, as some rotations do.
        fs::write(&path, "").unwrap();
        append(&mut log, &["c"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
    }

    #[test]
    fn a_full_disk_loses_no_line_and_spoils_none() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root may mount a small disk");
            return;
        }
        let directory = tempdir().unwrap();
        let disk = directory.path();
        let small = Some("size=64k,mode=755");
        if let Err(error) = mount(
            Some("wallwatch"),
            disk,
            Some("tmpfs"),
            MsFlags::empty(),
            small,
        ) {
            eprintln!("skipped: no small disk here: {error}");
            return;
        }
        let text = fill_and_make_room(disk);
        umount2(disk, MntFlags::MNT_DETACH).unwrap();
        let text = text.unwrap();
        let (whole, torn): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.len() == 1000);
        assert_eq!(whole.len(), 50);
        assert_eq!(torn.len(), 1, "{torn:?}");
        assert!(text.ends_with('\n'));
    }

    /// Writes 50 lines of 1000 bytes, for half of which there is room until the disk is tidied up.
    fn fill_and_make_room(disk: &Path) -> io::Result<String> {
        let path = disk.join("alerts.jsonl");
        let ballast = disk.join("ballast");
        fs::write(&ballast, [0; 36 * 1024])?;
        let mut log = LocalLog::open(&path, "adm").map_err(io::Error::other)?;
        let line = "x".repeat(1000);
        let mut waiting = lines(&[line.as_str(); 50]);
        for _ in 0..2 {
            let Err((written, LocalLogError::Write { .. })) = log.append(&waiting) else {
                return Err(io::Error::other("the disk is not full"));
            };
            waiting.drain(..written);
        }
        fs::remove_file(ballast)?;
        log.append(&waiting)
            .map_err(|(_, error)| io::Error::other(error))?;
        fs::read_to_string(&path)
    }
}
