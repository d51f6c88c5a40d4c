//! `/proc`: the processes that already run when the agent comes, and what a record lacks. Parsing
//! stands apart from reading.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use crate::pipeline::exec::{Argv, ArgvSource, ExePath, ProcessKey, Running, Unknown};
use crate::pipeline::process_tree::TICK_NS;

/// Most bytes of a command line: three quarters of the default stack's 8 MiB, whatever the limit of the
/// process is (`bprm_stack_limits`, `fs/exec.c`).
const CMDLINE_BYTES_MAX: u64 = 6 << 20;

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
            argv: self.argv(tgid),
        })
    }

    pub fn stat(&self, tgid: u32) -> Option<Stat> {
        parse_stat(&fs::read(self.file(tgid, "stat")).ok()?)
    }

    /// The resolved executable, without the mark of a removed one.
    pub fn exe(&self, tgid: u32) -> ExePath {
        match fs::read_link(self.file(tgid, "exe")) {
            Ok(path) => ExePath::Known(without_mark(path.into_os_string())),
            Err(error) => ExePath::Unknown(match error.raw_os_error() {
                Some(libc::ENAMETOOLONG) => Unknown::Unfinished,
                Some(libc::ENOENT | libc::ESRCH) => Unknown::Absent,
                _ => Unknown::Fault,
            }),
        }
    }

    /// The command line as it is now, which the process may have changed since its exec.
    pub fn argv(&self, tgid: u32) -> Argv {
        let bytes =
            read_at_most(&self.file(tgid, "cmdline"), CMDLINE_BYTES_MAX).unwrap_or_default();
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

    /// A number that stands alone in a file of the process, as `loginuid` and `sessionid` do; `None`
    /// when it is unset.
    pub fn number(&self, tgid: u32, name: &str) -> Option<u32> {
        let text = fs::read_to_string(self.file(tgid, name)).ok()?;
        text.trim()
            .parse()
            .ok()
            .filter(|&number| number != u32::MAX)
    }

    fn file(&self, tgid: u32, name: &str) -> PathBuf {
        self.root.join(tgid.to_string()).join(name)
    }
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
