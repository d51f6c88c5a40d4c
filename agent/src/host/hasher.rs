//! Finds out the SHA-256 of executables, on a thread of its own: a file may be large, its disk slow, and what
//! answers for it (FUSE) may never do so.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{Receiver, channel};

use crate::pipeline::firewall::hashes::{Content, Wanted};

use super::procfs::Procfs;

/// Larger files are not read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Questions and answers that may wait.
const WAITING_MAX: usize = 64;
const CHUNK_BYTES: usize = 64 << 10;

/// What was found out; `None` when it could not be.
pub type Hashed = (Content, Option<[u8; 32]>);

#[derive(Debug)]
pub struct Hasher {
    questions: SyncSender<Wanted>,
    answers: Receiver<Hashed>,
}

impl Hasher {
    /// Starts the thread, which ends with the hasher.
    pub fn spawn(procfs: Procfs) -> io::Result<Self> {
        let (questions, asked) = sync_channel::<Wanted>(WAITING_MAX);
        let (answering, answers) = channel(WAITING_MAX);
        thread::Builder::new()
            .name("hasher".to_owned())
            .spawn(move || {
                for wanted in asked {
                    let sha256 = sha256(&procfs, &wanted);
                    if answering.blocking_send((wanted.content, sha256)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { questions, answers })
    }

    /// Never waits. Gives the answer at once where there is no room: not known.
    pub fn ask(&self, wanted: Wanted) -> Option<Hashed> {
        let refused = self.questions.try_send(wanted).err()?;
        let (std::sync::mpsc::TrySendError::Full(wanted)
        | std::sync::mpsc::TrySendError::Disconnected(wanted)) = refused;
        Some((wanted.content, None))
    }

    /// Waits for the next answer.
    pub async fn answer(&mut self) -> Hashed {
        match self.answers.recv().await {
            Some(hashed) => hashed,
            None => std::future::pending().await,
        }
    }
}

/// By the process that runs it, or else by its path, if that still is the same file.
fn sha256(procfs: &Procfs, wanted: &Wanted) -> Option<[u8; 32]> {
    let Wanted {
        content,
        process,
        path,
    } = wanted;
    let link = procfs.file(process.tgid, "exe");
    let by_path = || open(Path::new(OsStr::from_bytes(path.as_deref()?)), *content);
    let file = open(&link, *content).or_else(by_path)?;
    let sha256 = hash(&file).ok()?;
    // What was written meanwhile would have been hashed in halves.
    is(&file, *content).then_some(sha256)
}

/// What stands at `path`, if that is the content. What is put there by now may be a device, which to open is to set
/// off (a watchdog), or a FIFO: so it is looked at first (`O_PATH`, `open(2)`), and that very file is opened then.
fn open(path: &Path, content: Content) -> Option<File> {
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    let found = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let found = found.ok().filter(|file| is(file, content))?;
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()
}

/// By inode and change time: what `stat(2)` calls the device of a file on btrfs or in an overlay is not what the
/// kernel keeps.
fn is(file: &File, content: Content) -> bool {
    file.metadata().is_ok_and(|metadata| {
        let change_ns = metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec();
        metadata.is_file()
            && metadata.len() <= FILE_BYTES_MAX
            && metadata.ino() == content.file.inode
            && u64::try_from(change_ns) == Ok(content.change_ns)
    })
}

fn hash(file: &File) -> io::Result<[u8; 32]> {
    let mut reader = file.take(FILE_BYTES_MAX);
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(hasher.finalize().into()),
            n => hasher.update(&chunk[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::pipeline::exec::{FileId, ProcessKey};

    fn wanted(path: &Path) -> Wanted {
        let metadata = fs::metadata(path).unwrap();
        let change_ns = metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec();
        Wanted {
            content: Content {
                file: FileId {
                    inode: metadata.ino(),
                    device: 0,
                },
                change_ns: change_ns.try_into().unwrap(),
            },
            process: ProcessKey {
                tgid: 0,
                start_ns: 0,
            },
            path: Some(path.as_os_str().as_bytes().into()),
        }
    }

    #[test]
    fn a_file_is_hashed_only_while_it_is_the_one_that_ran() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iptables");
        fs::write(&path, "abc").unwrap();
        let procfs = Procfs::new(folder.path());
        let same = wanted(&path);
        // FIPS 180-4, the example of three letters.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let shown: String = sha256(&procfs, &same)
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(shown, expected);
        let mut other = same.clone();
        other.content.change_ns -= 1;
        assert_eq!(sha256(&procfs, &other), None);
        nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(sha256(&procfs, &wanted(&folder.path().join("fifo"))), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(sha256(&procfs, &same), None);
    }
}
