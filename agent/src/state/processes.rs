//! `processes.jsonl`: what the process tree remembers, one JSON object a line.
//!
//! | line | content |
//! |---|---|
//! | first | `schema`, `boot_id`, `agent_version`, and `processes`, the number of lines that follow |
//! | others | one process each, the oldest first |
//!
//! Text that is not UTF-8 is `{"base64": "…"}`. The file is good for the boot that it names and no other:
//! process numbers and boot time begin anew.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::uuid_text;
use crate::lines::read_line;
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{FileId, ProcessKey, Time};
use crate::pipeline::process_tree::memory::Remembered;
use crate::recording::text::{Text, UnknownWord, exe_path, unknown_word};

pub(super) const FILE_NAME: &str = "processes.jsonl";

const SCHEMA: &str = "wallwatch.processes/1";

/// Longest line that is read: four paths of 4 KiB and an excerpt of 256 bytes come to 98 KiB when JSON escapes
/// every byte of them.
const LINE_BYTES_MAX: u64 = 128 << 10;

/// Bytes of a file that are read: six times the texts that a tree may hold, for JSON may escape every byte,
/// and what stands around them.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What a file came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// There is nothing to remember: it is of another boot.
    OtherBoot,
    /// The first line is not that of this format.
    Unusable,
    Processes(Loaded),
}

/// What could be read of the processes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) processes: Vec<Remembered>,
    /// Lines that could not be read, or are missing.
    pub(super) lines_damaged: u64,
    /// The first of them, counted from 1, and what is wrong with it.
    pub(super) first_damage: Option<(u64, String)>,
}

impl Loaded {
    fn damaged(&mut self, line: u64, lines: u64, what: String) {
        self.lines_damaged += lines;
        self.first_damage.get_or_insert((line, what));
    }
}

/// Writes a whole file.
pub(super) fn write(
    out: &mut impl Write,
    boot_id: Uuid,
    processes: &[Remembered],
) -> io::Result<()> {
    let head = Head {
        schema: SCHEMA.to_owned(),
        boot_id,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        processes: processes.len() as u64,
    };
    write_line(out, &head)?;
    processes
        .iter()
        .try_for_each(|process| write_line(out, &Line::from(process)))
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads a file of this boot, `processes_max` processes of it at most.
pub(super) fn read(
    input: impl BufRead,
    boot_id: Uuid,
    processes_max: usize,
) -> io::Result<Content> {
    let mut input = input.take(FILE_BYTES_MAX);
    let mut line = Vec::new();
    read_line(&mut input, &mut line, LINE_BYTES_MAX)?;
    let Ok(head) = serde_json::from_slice::<Head>(&line) else {
        return Ok(Content::Unusable);
    };
    if head.schema != SCHEMA {
        return Ok(Content::Unusable);
    }
    if head.boot_id != boot_id {
        return Ok(Content::OtherBoot);
    }
    let mut loaded = Loaded::default();
    let mut lines = 0;
    while lines < processes_max as u64 && read_line(&mut input, &mut line, LINE_BYTES_MAX)? {
        lines += 1;
        match parse(&line) {
            Ok(process) => loaded.processes.push(process),
            Err(what) => loaded.damaged(lines + 1, 1, what),
        }
    }
    let missing = head.processes.saturating_sub(lines);
    if missing > 0 {
        let what = format!("{missing} of {} processes are missing", head.processes);
        loaded.damaged(lines + 2, missing, what);
    }
    Ok(Content::Processes(loaded))
}

/// The error tells nothing of the line's content: it goes to the log, and a command line must not.
fn parse(line: &[u8]) -> Result<Remembered, String> {
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    let line = line.trim_ascii_end();
    let line: Line = serde_json::from_slice(line)
        .map_err(|error| format!("{:?} error in column {}", error.classify(), error.column()))?;
    Ok(line.into())
}

#[derive(Serialize, Deserialize)]
struct Head {
    schema: String,
    #[serde(with = "uuid_text")]
    boot_id: Uuid,
    agent_version: String,
    processes: u64,
}

/// A process as it stands in a line. Times are nanoseconds: `start_ns` and `boot_ns` since boot, `wall_ns`
/// since 1970.
#[derive(Serialize, Deserialize)]
struct Line {
    pid: u32,
    start_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creator: Option<Creator>,
    exe: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe_unknown: Option<UnknownWord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe_file: Option<ExeFile>,
    /// What is run by an interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<Text>,
    /// What the command line names as that, where the kernel told none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claimed_script: Option<Text>,
    command_line: Text,
    command_line_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exec_time: Option<ExecTime>,
    /// The path of its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cgroup: Option<Text>,
    ended: bool,
}

#[derive(Serialize, Deserialize)]
struct Creator {
    pid: u32,
    start_ns: u64,
}

#[derive(Serialize, Deserialize)]
struct ExeFile {
    inode: u64,
    device: u32,
}

#[derive(Serialize, Deserialize)]
struct ExecTime {
    boot_ns: u64,
    wall_ns: u64,
}

impl From<&Remembered> for Line {
    fn from(remembered: &Remembered) -> Self {
        let Remembered {
            process: ProcessKey { tgid, start_ns },
            creator,
            exe,
            file,
            script,
            claimed_script,
            command_line,
            command_line_bytes_full,
            exec_time,
            cgroup,
            ended,
        } = remembered;
        Self {
            pid: *tgid,
            start_ns: *start_ns,
            creator: creator.map(|ProcessKey { tgid, start_ns }| Creator {
                pid: tgid,
                start_ns,
            }),
            exe: exe.known().map(|path| Text(path.to_vec())),
            exe_unknown: unknown_word(exe),
            exe_file: file.map(|FileId { inode, device }| ExeFile { inode, device }),
            script: script.as_ref().map(|path| Text(path.to_vec())),
            claimed_script: claimed_script.as_ref().map(|path| Text(path.to_vec())),
            command_line: Text(command_line.to_vec()),
            command_line_bytes: *command_line_bytes_full,
            exec_time: exec_time.map(|Time { boot_ns, wall_ns }| ExecTime { boot_ns, wall_ns }),
            cgroup: cgroup.as_ref().map(|cgroup| Text(cgroup.path.to_vec())),
            ended: *ended,
        }
    }
}

impl From<Line> for Remembered {
    fn from(line: Line) -> Self {
        let Line {
            pid,
            start_ns,
            creator,
            exe,
            exe_unknown,
            exe_file,
            script,
            claimed_script,
            command_line,
            command_line_bytes,
            exec_time,
            cgroup,
            ended,
        } = line;
        Self {
            process: ProcessKey {
                tgid: pid,
                start_ns,
            },
            creator: creator.map(|Creator { pid, start_ns }| ProcessKey {
                tgid: pid,
                start_ns,
            }),
            exe: exe_path(exe, exe_unknown),
            file: exe_file.map(|ExeFile { inode, device }| FileId { inode, device }),
            script: script.map(|path| path.0.into()),
            claimed_script: claimed_script.map(|path| path.0.into()),
            command_line: command_line.0.into(),
            command_line_bytes_full: command_line_bytes,
            exec_time: exec_time.map(|ExecTime { boot_ns, wall_ns }| Time { boot_ns, wall_ns }),
            cgroup: cgroup.and_then(|path| Cgroup::parse(&path.0)).map(Arc::new),
            ended,
        }
    }
}

#[cfg(test)]
mod tests;
