//! What the host tells of a program that bears a manager's name: whose its script is, what its environment has it
//! load, and whether its unit was made up. Only those are asked about, for to ask costs some system calls.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{ExePath, Exec, ProcessKey, Running};
use crate::pipeline::firewall::managers::bears_known_name;
use crate::pipeline::firewall::origin::is_system_path;
use crate::pipeline::firewall::program::script_of;
use crate::pipeline::provenance::{Owner, Provenance, ScriptFile};

use super::procfs::Procfs;

/// Bytes of an environment that are read: the default limit for one argument (`MAX_ARG_STRLEN`,
/// `include/uapi/linux/binfmts.h`). A service has some hundred; a longer one is there to hide something.
const ENVIRONMENT_BYTES_MAX: u64 = 128 << 10;

/// Where packages, the administrator and generators keep units (`systemd.unit(5)`, "Unit File Load Path"), below the
/// root.
const UNIT_DIRECTORIES: &[&str] = &[
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "usr/local/lib/systemd/system",
    "etc/systemd/system",
    "run/systemd/generator",
    "run/systemd/generator.early",
    "run/systemd/generator.late",
];

/// Where those are that somebody made up (`systemd-run(1)`).
const TRANSIENT_DIRECTORY: &str = "run/systemd/transient";

/// Variables that name code to be loaded into every program, or every script of an interpreter (`ld.so(8)`, `bash(1)`,
/// `perlrun(1)`, `ruby(1)`). A service needs none; snaps bring their own.
const PRELOADING: &[&[u8]] = &[
    b"LD_PRELOAD",
    b"LD_AUDIT",
    b"BASH_ENV",
    b"ENV",
    b"PERL5OPT",
    b"RUBYOPT",
];

/// Variables that name directories to look for code in, separated by colons (`ld.so(8)`, `python(1)`, `perlrun(1)`,
/// `ruby(1)`).
const SEARCH_PATHS: &[&[u8]] = &[
    b"LD_LIBRARY_PATH",
    b"GCONV_PATH",
    b"PYTHONPATH",
    b"PYTHONHOME",
    b"PERL5LIB",
    b"PERLLIB",
    b"RUBYLIB",
];

/// Where it is asked, and about which programs besides those that are known.
#[derive(Debug)]
pub struct Provenances {
    root: PathBuf,
    /// Files that the operator calls managers.
    named: Vec<Box<[u8]>>,
}

impl Provenances {
    /// `root` is that of the host's files; `named` are the files that the operator calls managers.
    pub fn new(root: impl Into<PathBuf>, named: Vec<Box<[u8]>>) -> Self {
        Self {
            root: root.into(),
            named,
        }
    }

    /// Adds to an exec what the record does not tell, if its name makes it worth while. `lives` says whether
    /// the number still is that process's.
    pub fn complete(&self, procfs: &Procfs, exec: &mut Exec, lives: impl FnOnce() -> bool) {
        if !self.concern(exec.exe.known(), exec.script()) {
            return;
        }
        let tgid = exec.process.tgid;
        let lives = lives();
        exec.provenance = Some(Arc::new(Provenance {
            script: exec.script().and_then(|script| {
                let of_process = lives.then(|| procfs.file(tgid, "root"));
                let of_host = exec.namespaces.mount.is_host.unwrap_or(false);
                let roots = [of_process, of_host.then(|| self.root.clone())];
                roots
                    .into_iter()
                    .flatten()
                    .find_map(|root| self.script_file(&root, script))
            }),
            loads_foreign_code: lives
                .then(|| environment(&procfs.file(tgid, "environ")))
                .flatten()
                .map(|environment| loads_foreign_code(&environment)),
            unit_is_transient: exec
                .cgroup
                .as_deref()
                .and_then(|cgroup| self.is_transient(cgroup)),
        }));
    }

    /// The same for a process that ran before it was watched: which script it runs, nobody but itself says. It is
    /// believed as far as that makes it a candidate: its unit and its lineage must bear it out.
    pub fn complete_listed(&self, procfs: &Procfs, exec: &mut Exec, lives: impl FnOnce() -> bool) {
        self.take_its_word(exec);
        self.complete(procfs, exec, lives);
    }

    /// The same for a process that `/proc` alone tells of.
    pub fn complete_running(&self, procfs: &Procfs, running: &mut Running) {
        let ProcessKey { tgid, .. } = running.process;
        let cgroup = procfs.cgroup(tgid).map(Arc::new);
        running.program.cgroup.clone_from(&cgroup);
        let arguments: Vec<&[u8]> = running.argv.arguments().collect();
        let script = running
            .exe
            .known()
            .and_then(|exe| script_of(exe, &arguments))
            .filter(|script| self.concern(None, Some(script)));
        if script.is_none() && !self.concern(running.exe.known(), None) {
            return;
        }
        let script: Option<Arc<[u8]>> = script.map(Arc::from);
        running.program.owner = owner(&procfs.file(tgid, "exe"));
        running.program.provenance = Some(Arc::new(Provenance {
            script: script
                .as_deref()
                .and_then(|script| self.script_file(&procfs.file(tgid, "root"), script)),
            loads_foreign_code: environment(&procfs.file(tgid, "environ"))
                .map(|environment| loads_foreign_code(&environment)),
            unit_is_transient: cgroup.and_then(|cgroup| self.is_transient(&cgroup)),
        }));
        running.script = script;
    }

    fn concern(&self, exe: Option<&[u8]>, script: Option<&[u8]>) -> bool {
        let mut files = [exe, script].into_iter().flatten();
        files.any(|path| bears_known_name(path) || self.named.iter().any(|file| **file == *path))
    }

    fn take_its_word(&self, exec: &mut Exec) {
        let ExePath::Known(exe) = &exec.exe else {
            return;
        };
        let arguments: Vec<&[u8]> = exec.argv.arguments().collect();
        let script = script_of(exe, &arguments).filter(|script| self.concern(None, Some(script)));
        if let Some(script) = script {
            let script = Box::from(script);
            exec.interp = Some(exe.as_ref().into());
            exec.filename = script;
        }
    }

    /// The file of a script as a process with that root sees it, links followed; `None` for a path that hangs on the
    /// working directory.
    fn script_file(&self, root: &Path, script: &[u8]) -> Option<ScriptFile> {
        let below_root = script.strip_prefix(b"/")?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
            .open(root.join(OsStr::from_bytes(below_root)))
            .ok()?;
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        // Another root than the agent's own is one of a test.
        let path = match path.strip_prefix(&self.root) {
            Ok(below) => Path::new("/").join(below),
            Err(_) => path,
        };
        Some(ScriptFile {
            path: path.into_os_string().into_vec().into(),
            owner: owner_of(&metadata),
        })
    }

    /// `None` where it is in no unit of the host's.
    fn is_transient(&self, cgroup: &Cgroup) -> Option<bool> {
        // Of these bytes no path outside of the directory can be made (`is_unit_name`).
        let unit = cgroup.unit.as_deref()?;
        let is_in = |directory: &str| {
            self.root
                .join(directory)
                .join(unit)
                .symlink_metadata()
                .is_ok()
        };
        Some(is_in(TRANSIENT_DIRECTORY) || !UNIT_DIRECTORIES.iter().any(|place| is_in(place)))
    }
}

fn owner(file: &Path) -> Option<Owner> {
    fs::metadata(file).ok().map(|metadata| owner_of(&metadata))
}

fn owner_of(metadata: &fs::Metadata) -> Owner {
    Owner {
        uid: metadata.uid(),
        // `stat(2)` has 16 bits of it.
        mode: (metadata.mode() & 0xffff) as u16,
    }
}

/// What stands in `/proc/PID/environ` (`proc_pid_environ(5)`), one byte beyond the bound where it is longer.
fn environment(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = |file: File| -> io::Result<usize> {
        file.take(ENVIRONMENT_BYTES_MAX + 1).read_to_end(&mut bytes)
    };
    File::open(file).and_then(read).ok()?;
    Some(bytes)
}

/// Whether an environment has code loaded from where packages put none, or is longer than what is read.
fn loads_foreign_code(environment: &[u8]) -> bool {
    environment.len() as u64 > ENVIRONMENT_BYTES_MAX
        || environment.split(|&byte| byte == 0).any(is_foreign)
}

fn is_foreign(variable: &[u8]) -> bool {
    let Some(equals) = variable.iter().position(|&byte| byte == b'=') else {
        return false;
    };
    let (name, value) = (&variable[..equals], &variable[equals + 1..]);
    if value.is_empty() {
        return false;
    }
    if PRELOADING.contains(&name) {
        let mut files = value.split(|byte| matches!(byte, b':' | b' '));
        return !files.all(|file| file.starts_with(b"/snap/") && is_system_path(file));
    }
    let mut directories = value.split(|&byte| byte == b':');
    SEARCH_PATHS.contains(&name) && !directories.all(is_system_path)
}

#[cfg(test)]
mod tests;
