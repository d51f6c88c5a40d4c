//! Other agents that run on this host.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::pipeline::exec::basename;

/// Most that are told of.
const AGENTS_MAX: usize = 16;

/// What the kernel appends to the link of a removed file.
const MARK: &[u8] = b" (deleted)";

const NAME: &[u8] = b"wallwatch";

/// The commands that attach the sensor until they are stopped.
const COMMANDS: [&[u8]; 2] = [b"run", b"record"];

/// A process that watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub pid: u32,
    /// `run` or `record`.
    pub command: String,
    /// Its program was removed or replaced since: it is an older one.
    pub is_deleted: bool,
}

/// Every process of the `/proc` at `proc` that runs `wallwatch run` or `wallwatch record`, by pid, as
/// far as this process may look. A program of another name is not found.
pub fn running(proc: &Path) -> Vec<Agent> {
    let Ok(entries) = fs::read_dir(proc) else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut agents: Vec<Agent> = pids
        .filter_map(|pid: u32| agent(&proc.join(pid.to_string()), pid))
        .collect();
    agents.sort_by_key(|agent| agent.pid);
    agents.truncate(AGENTS_MAX);
    agents
}

fn agent(process: &Path, pid: u32) -> Option<Agent> {
    let exe = fs::read_link(process.join("exe")).ok()?;
    let (exe, is_deleted) = without_mark(exe.as_os_str());
    if basename(exe) != NAME {
        return None;
    }
    let cmdline = fs::read(process.join("cmdline")).ok()?;
    let mut arguments = cmdline.split(|&byte| byte == 0).skip(1);
    let command = arguments.find(|argument| COMMANDS.contains(argument))?;
    Some(Agent {
        pid,
        command: String::from_utf8_lossy(command).into_owned(),
        is_deleted,
    })
}

fn without_mark(exe: &OsStr) -> (&[u8], bool) {
    let exe = exe.as_bytes();
    exe.strip_suffix(MARK)
        .map_or((exe, false), |bare| (bare, true))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn agents_are_told_from_other_processes_and_from_other_commands() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, exe, cmdline) in [
            (
                "30",
                "/usr/bin/wallwatch",
                "wallwatch\0--log-level\0warn\0run\0",
            ),
            ("4", "/opt/wallwatch (deleted)", "x\0record\0"),
            ("5", "/usr/bin/wallwatch", "wallwatch\0doctor\0"),
            ("6", "/usr/bin/wallwatchd", "wallwatch\0run\0"),
            ("self", "/usr/bin/wallwatch", "wallwatch\0run\0"),
        ] {
            let folder = proc.path().join(pid);
            fs::create_dir(&folder).unwrap();
            symlink(exe, folder.join("exe")).unwrap();
            fs::write(folder.join("cmdline"), cmdline).unwrap();
        }
        let found = running(proc.path());
        let told: Vec<_> = found
            .iter()
            .map(|agent| (agent.pid, &*agent.command, agent.is_deleted))
            .collect();
        assert_eq!(told, [(4, "record", true), (30, "run", false)]);
        assert!(running(&proc.path().join("none")).is_empty());
    }
}
