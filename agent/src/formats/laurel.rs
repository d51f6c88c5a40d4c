//! Audit events as LAUREL writes them: one JSON object a line, its members named as the records are
//! (<https://github.com/threathunters-io/laurel>, `laurel-about(7)`).
//!
//! Text is percent-encoded where it is no printable UTF-8. The parent stands in `SYSCALL.PPID` (before version 0.3 in
//! `PARENT_INFO`) when LAUREL knew it; else it is what an earlier line says.

use std::fmt;
use std::sync::Arc;

use memchr::memmem;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::Counters;
use super::auditd::event::PROCTITLE_BYTES_MAX;
use super::auditd::stamp::Stamp;
use super::auditd::syscall::{is_exec, is_exec_name};
use super::exec::{
    bare, guid, mark_cut, set_executable, set_id, set_parent, set_user, split, tty, without_nul,
};
use super::parents::Parents;
use crate::pipeline::exec::{Argv, ArgvSource, ExePath, Exec};

/// Reads lines, and remembers who ran what.
#[derive(Default)]
pub(super) struct Laurel {
    parents: Parents,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "NODE", default)]
    node: Option<String>,
    #[serde(rename = "SYSCALL", default)]
    syscall: Option<Syscall>,
    #[serde(rename = "EXECVE", default)]
    execve: Option<Arguments>,
    #[serde(rename = "PATH", default)]
    path: Vec<Path>,
    #[serde(rename = "PROCTITLE", default)]
    proctitle: Option<Arguments>,
    #[serde(rename = "PARENT_INFO", default)]
    parent_info: Option<Parent>,
}

#[derive(Deserialize)]
struct Syscall {
    #[serde(default)]
    arch: Number,
    #[serde(default)]
    syscall: Number,
    #[serde(rename = "SYSCALL", default)]
    name: Option<Text>,
    #[serde(default)]
    success: Option<Text>,
    #[serde(default)]
    pid: Number,
    #[serde(default)]
    ppid: Number,
    #[serde(default)]
    uid: Number,
    #[serde(rename = "UID", default)]
    user: Option<Text>,
    #[serde(default)]
    gid: Number,
    #[serde(default)]
    euid: Number,
    #[serde(default)]
    auid: Number,
    #[serde(default)]
    ses: Number,
    #[serde(default)]
    tty: Option<Text>,
    #[serde(default)]
    comm: Option<Text>,
    #[serde(default)]
    exe: Option<Text>,
    #[serde(rename = "PPID", default)]
    parent: Option<Parent>,
}

/// Of EXECVE and PROCTITLE.
#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    argc: Number,
    #[serde(rename = "ARGV", default)]
    argv: Option<Vec<Entry>>,
    /// The same joined by spaces (`execve-argv = "string"`).
    #[serde(rename = "ARGV_STR", default)]
    joined: Option<Text>,
}

/// An argument, or how much LAUREL left out in its place (`execve-argv-limit-bytes`).
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(Text),
    Skipped {
        #[serde(default)]
        skipped_args: u64,
        #[serde(default)]
        skipped_bytes: u64,
    },
}

/// The same in one text.
const SKIPPED: &[u8] = b"<<< Skipped: args=";

#[derive(Deserialize)]
struct Path {
    #[serde(default)]
    item: Number,
    #[serde(default)]
    name: Option<Text>,
}

#[derive(Deserialize)]
struct Parent {
    #[serde(default)]
    exe: Option<Text>,
    #[serde(rename = "ARGV", default)]
    argv: Option<Vec<Text>>,
}

impl Laurel {
    pub(super) fn counters(&self) -> Counters {
        Counters {
            parents_forgotten: self.parents.forgotten(),
            ..Counters::default()
        }
    }

    /// Reads one line; what stands before the object is LAUREL's `line-prefix`. `None` when it is of no exec.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<Option<Exec>, String> {
        let begin = memchr::memchr(b'{', line).ok_or("expected a JSON object")?;
        let line: Line =
            serde_json::from_slice(&line[begin..]).map_err(|error| error.to_string())?;
        let stamp: Stamp = line.id.parse().map_err(|_| {
            let shown: String = line.id.chars().take(40).collect();
            format!("ID is {shown:?}, expected SECONDS.MILLISECONDS:SERIAL")
        })?;
        let Some(syscall) = &line.syscall else {
            return Ok(None);
        };
        let host: Arc<str> = line.node.as_deref().unwrap_or_default().into();
        if let (Some(pid), Some(exe)) = (syscall.pid.id(), &syscall.exe) {
            self.parents.saw(&host, pid, &exe.0);
        }
        let is_success = syscall.success.as_ref().is_some_and(|it| it.0 == b"yes");
        if !is_success || !(syscall.is_exec() || line.execve.is_some()) {
            return Ok(None);
        }
        let mut exec = syscall.exec(stamp)?;
        if let Some(named) = guid(&format!("{host} {}", line.id)) {
            exec.guid = named;
        }
        exec.dest = (!host.is_empty()).then(|| host.clone());
        if let Some(argv) = line.argv()? {
            exec.argv = argv;
        }
        let file = line.path.iter().find(|path| path.item.0 == Some(0));
        if let Some(name) = file.and_then(|path| path.name.as_ref()) {
            exec.filename = name.0.as_slice().into();
        }
        if let Some(parent) = syscall.parent.as_ref().or(line.parent_info.as_ref()) {
            if let Some(exe) = &parent.exe {
                set_parent(&mut exec, &exe.0);
            }
            exec.parent_argv = parent.argv.as_deref().map(arguments);
        }
        if matches!(exec.parent_exe, ExePath::Unknown(_)) {
            self.parents.complete(&host, &mut exec);
        }
        Ok(Some(exec))
    }
}

impl Line {
    fn argv(&self) -> Result<Option<Argv>, String> {
        if let Some(execve) = &self.execve {
            if let Some(told) = &execve.argv {
                return entries(told, execve.argc.0).map(Some);
            }
            if let Some(joined) = &execve.joined {
                let mut argv = split(&joined.0)?;
                argv.bytes_full += u64::from(memmem::find(&joined.0, SKIPPED).is_some());
                return Ok(Some(argv));
            }
        }
        let title = self
            .proctitle
            .as_ref()
            .and_then(|title| title.argv.as_deref());
        let Some(title) = title else { return Ok(None) };
        let mut argv = entries(title, None)?;
        argv.source = ArgvSource::Procfs;
        argv.bytes_full += u64::from(argv.bytes.len() >= PROCTITLE_BYTES_MAX);
        Ok(Some(argv))
    }
}

impl Syscall {
    fn is_exec(&self) -> bool {
        let by_number = self.arch.0.zip(self.syscall.0);
        by_number.is_some_and(|(arch, number)| is_exec(arch, number))
            || self.name.as_ref().is_some_and(|name| is_exec_name(&name.0))
    }

    fn exec(&self, stamp: Stamp) -> Result<Exec, String> {
        let pid = self
            .pid
            .id()
            .ok_or("SYSCALL.pid is missing, expected a number")?;
        let ppid = self
            .ppid
            .id()
            .ok_or("SYSCALL.ppid is missing, expected a number")?;
        let mut exec = bare(stamp.time_ns, pid, ppid);
        let user = self
            .user
            .as_ref()
            .map(|user| String::from_utf8_lossy(&user.0));
        let user = user.filter(|user| !user.starts_with("unknown(") && user != "unset");
        set_user(&mut exec, user.as_deref(), self.uid.id());
        exec.gid = self.gid.id();
        exec.euid = self.euid.id();
        exec.login_uid = self.auid.id();
        exec.session_id = self.ses.id();
        if let Some(name) = &self.tty {
            exec.tty = tty(&String::from_utf8_lossy(&name.0));
        }
        if let Some(comm) = &self.comm {
            exec.comm = comm.0.as_slice().into();
        }
        if let Some(exe) = &self.exe {
            without_nul(&exe.0)?;
            set_executable(&mut exec, &exe.0);
        }
        Ok(exec)
    }
}

/// The arguments that are told, marked as cut where some are not, or `count` says that there were more.
fn entries(told: &[Entry], count: Option<u64>) -> Result<Argv, String> {
    let mut texts = Vec::with_capacity(told.len());
    let (mut n_skipped, mut bytes_skipped) = (0_u64, 0_u64);
    for entry in told {
        match entry {
            Entry::Text(text) => {
                without_nul(&text.0)?;
                texts.push(text.0.as_slice());
            }
            Entry::Skipped {
                skipped_args,
                skipped_bytes,
            } => {
                n_skipped = n_skipped.saturating_add(*skipped_args);
                bytes_skipped = bytes_skipped.saturating_add((*skipped_bytes).max(1));
            }
        }
    }
    let n_told = (texts.len() as u64).saturating_add(n_skipped);
    let mut argv = Argv::from_arguments(texts);
    argv.bytes_full = argv.bytes_full.saturating_add(bytes_skipped);
    mark_cut(&mut argv, n_told, count);
    Ok(argv)
}

fn arguments(told: &[Text]) -> Argv {
    Argv::from_arguments(told.iter().map(|text| text.0.as_slice()))
}

/// A number, or a text that is one: what is no decimal number in the records is `"0x…"`. Others are none.
#[derive(Default)]
struct Number(Option<u64>);

impl Number {
    fn id(&self) -> Option<u32> {
        self.0
            .and_then(|id| u32::try_from(id).ok())
            .and_then(set_id)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
        Ok(Number(Some(number)))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
        Ok(Number(match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Number, E> {
        Ok(Number(None))
    }
}

/// Bytes that LAUREL made text of.
struct Text(Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(percent_decoded(text.as_bytes())))
    }
}

/// A `%` without two digits behind it stands for itself.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if let [_, high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(b'%');
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
    out
}
