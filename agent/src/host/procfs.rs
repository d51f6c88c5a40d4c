//! `/proc`: the processes that already run when the agent comes, and what a record lacks. Parsing
//! stands apart from reading.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{Argv, ArgvSource, ExePath, ProcessKey, Running, Unknown};
use crate::pipeline::process_tree::TICK_NS;
use crate::pipeline::provenance::Program;

/// Most bytes of a command line: three quarters of the default stack's 8 MiB, whatever the limit of the
/// process is (`bprm_stack_limits`, `fs/exec.c`).
const CMDLINE_BYTES_MAX: u64 = 6 << 20;

/// Threads of a process that are asked when its leader has ended. Another thread than the leader is gone
/// when it ends, so that the first to be asked answers unless it ends at that moment.
const THREADS_MAX: usize = 16;

/// What `/proc/PID/stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub parent_tgid: u32,
    /// Start in nanoseconds of `CLOCK_BOOTTIME`, rounded down to a tick of 10 ms.
    pub start_ns: u64,
}

/// A `/proc` file system, mounted at `root`.
#[derive(Clone, Debug)]
pub struct Procfs {
    root: PathBuf,
}

impl Procfs {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Every process that can be read, the oldest first: a parent is older than its children.
    pub fn processes(&self) -> io::Result<Vec<Running>> {
        let tgids = fs::read_dir(&self.root)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut processes: Vec<Running> = tgids.filter_map(|tgid| self.process(tgid)).collect();
        processes.sort_by_key(|running| (running.process.start_ns, running.process.tgid));
        Ok(processes)
    }

    /// One process; `None` when it is gone.
    pub fn process(&self, tgid: u32) -> Option<Running> {
        let stat = self.stat(tgid)?;
        Some(Running {
            process: ProcessKey {
                tgid,
                start_ns: stat.start_ns,
            },
            parent_tgid: stat.parent_tgid,
            exe: self.exe(tgid),
            file: None,
            script: None,
            argv: self.argv(tgid),
            program: Program::default(),
        })
    }

    pub fn stat(&self, tgid: u32) -> Option<Stat> {
        parse_stat(&fs::read(self.file(tgid, "stat")).ok()?)
    }

    /// The resolved executable, without the mark of a removed one. A leader that called `pthread_exit` is
    /// a zombie without memory, and has none; then another thread of the process tells.
    pub fn exe(&self, tgid: u32) -> ExePath {
        let of_leader = exe(&self.file(tgid, "exe"));
        if of_leader != ExePath::Unknown(Unknown::Absent) {
            return of_leader;
        }
        let mut of_threads = self.threads(tgid).map(|thread| exe(&thread.join("exe")));
        of_threads
            .find(|path| path.known().is_some())
            .unwrap_or(of_leader)
    }

    /// The command line as it is now, which the process may have changed since its exec.
    pub fn argv(&self, tgid: u32) -> Argv {
        let mut bytes = cmdline(&self.file(tgid, "cmdline"));
        if bytes.is_empty() {
            let mut of_threads = self
                .threads(tgid)
                .map(|thread| cmdline(&thread.join("cmdline")));
            bytes = of_threads
                .find(|bytes| !bytes.is_empty())
                .unwrap_or_default();
        }
        let source = if bytes.is_empty() {
            ArgvSource::Unread
        } else {
            ArgvSource::Procfs
        };
        Argv {
            bytes_full: bytes.len() as u64,
            bytes: bytes.into(),
            source,
        }
    }

    /// The lines of `/proc/PID/cgroup`.
    pub fn cgroup(&self, tgid: u32) -> Option<Cgroup> {
        Cgroup::parse_proc(&fs::read(self.file(tgid, "cgroup")).ok()?)
    }

    /// A number that stands alone in a file of the process, as `loginuid` and `sessionid` do; `None`
    /// when it is unset.
    pub fn number(&self, tgid: u32, name: &str) -> Option<u32> {
        let text = fs::read_to_string(self.file(tgid, name)).ok()?;
        text.trim()
            .parse()
            .ok()
            .filter(|&number| number != u32::MAX)
    }

    /// The process that a thread belongs to, as `/proc/TID/status` tells it (`proc_pid_status(5)`).
    pub fn tgid_of(&self, tid: u32) -> Option<u32> {
        let status = fs::read(self.file(tid, "status")).ok()?;
        let mut lines = status.split(|&byte| byte == b'\n');
        let tgid = lines.find_map(|line| line.strip_prefix(b"Tgid:"))?;
        str::from_utf8(tgid).ok()?.trim().parse().ok()
    }

    pub(super) fn file(&self, tgid: u32, name: &str) -> PathBuf {
        self.root.join(tgid.to_string()).join(name)
    }

    /// The folders of the threads but the leader's, [`THREADS_MAX`] of them at most.
    fn threads(&self, tgid: u32) -> impl Iterator<Item = PathBuf> {
        let leader = tgid.to_string();
        let entries = fs::read_dir(self.file(tgid, "task")).into_iter().flatten();
        entries
            .filter_map(Result::ok)
            .filter(move |entry| *entry.file_name() != *leader)
            .take(THREADS_MAX)
            .map(|entry| entry.path())
    }
}

fn exe(link: &Path) -> ExePath {
    match fs::read_link(link) {
        Ok(path) => ExePath::Known(without_mark(path.into_os_string())),
        Err(error) => ExePath::Unknown(match error.raw_os_error() {
            Some(libc::ENAMETOOLONG) => Unknown::Unfinished,
            Some(libc::ENOENT | libc::ESRCH) => Unknown::Absent,
            _ => Unknown::Fault,
        }),
    }
}

fn cmdline(file: &Path) -> Vec<u8> {
    read_at_most(file, CMDLINE_BYTES_MAX).unwrap_or_default()
}

/// `pid (comm) state ppid …`, where comm may hold spaces and parentheses: the last `)` ends it
/// (`proc_pid_stat(5)`). Of what follows, the parent is the 2nd and the start the 20th.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(stat.get(end + 2..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent_tgid = fields.nth(1)?.parse().ok()?;
    let ticks: u64 = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        parent_tgid,
        start_ns: ticks.checked_mul(TICK_NS)?,
    })
}

/// The kernel appends ` (deleted)` to the link of a removed executable.
fn without_mark(path: OsString) -> Arc<[u8]> {
    let bytes = path.as_bytes();
    match bytes.strip_suffix(b" (deleted)") {
        Some(bare) => bare.into(),
        None => path.into_vec().into(),
    }
}

fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(bytes_max)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_comm_holds() {
        let rest = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000";
        for comm in ["sh", "a) S 9 (b", ") 1 2 3", ""] {
            let stat = parse_stat(format!("12 ({comm}) {rest}").as_bytes()).unwrap();
            assert_eq!(stat.parent_tgid, 7);
            assert_eq!(stat.start_ns, 42_420_000_000);
        }
    }

    #[test]
    fn a_damaged_stat_line_is_nothing() {
        for line in [
            "",
            "12",
            "12 (sh)",
            "12 (sh) S",
            "12 (sh) S x 1",
            "12 (sh) S 1 2 3",
        ] {
            assert_eq!(parse_stat(line.as_bytes()), None);
        }
    }

    #[test]
    fn a_process_whose_leader_has_ended_is_told_by_another_thread() {
        let folder = tempfile::tempdir().unwrap();
        let procfs = Procfs::new(folder.path());
        let thread = |tgid: u32, tid: u32, exe: Option<&str>, cmdline: &[u8]| {
            let task = folder.path().join(format!("{tgid}/task/{tid}"));
            fs::create_dir_all(&task).unwrap();
            fs::write(task.join("cmdline"), cmdline).unwrap();
            if let Some(exe) = exe {
                std::os::unix::fs::symlink(exe, task.join("exe")).unwrap();
            }
        };
        let leader = |tgid: u32, cmdline: &[u8]| {
            thread(tgid, tgid, None, b"");
            let file = folder.path().join(tgid.to_string()).join("cmdline");
            fs::write(file, cmdline).unwrap();
        };

        leader(10, b"");
        thread(10, 11, Some("/tmp/cpd (deleted)"), b"cpd\0-d\0");
        assert_eq!(procfs.exe(10), ExePath::Known(b"/tmp/cpd"[..].into()));
        assert_eq!(&*procfs.argv(10).bytes, b"cpd\0-d\0");
        assert_eq!(procfs.argv(10).source, ArgvSource::Procfs);

        // A kernel thread has nothing but a leader.
        leader(20, b"");
        assert_eq!(procfs.exe(20), ExePath::Unknown(Unknown::Absent));
        assert_eq!(procfs.argv(20).source, ArgvSource::Unread);

        // What the leader tells counts.
        leader(30, b"init\0");
        let link = folder.path().join("30/exe");
        std::os::unix::fs::symlink("/sbin/init", link).unwrap();
        thread(30, 31, Some("/tmp/other"), b"other\0");
        assert_eq!(procfs.exe(30), ExePath::Known(b"/sbin/init"[..].into()));
        assert_eq!(&*procfs.argv(30).bytes, b"init\0");

        leader(40, b"");
        for tid in 0..1000 {
            thread(40, 100 + tid, None, b"");
        }
        assert_eq!(procfs.threads(40).count(), THREADS_MAX);
        assert_eq!(procfs.exe(40), ExePath::Unknown(Unknown::Absent));
    }

    #[test]
    fn this_process_is_among_the_running() {
        let tgid = std::process::id();
        let processes = Procfs::new("/proc").processes().unwrap();
        let own = processes
            .iter()
            .find(|running| running.process.tgid == tgid)
            .unwrap();
        let exe = std::env::current_exe().unwrap();
        assert_eq!(
            own.exe,
            ExePath::Known(exe.into_os_string().into_vec().into())
        );
        assert!(own.argv.arguments().count() >= 1);
    }
}
