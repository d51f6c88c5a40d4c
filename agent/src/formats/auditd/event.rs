//! One event: what its records tell, and the exec that they make.

use std::ops::Range;
use std::sync::Arc;

use super::fields::Value;
use super::record::{Kind, Record};
use super::stamp::Stamp;
use super::syscall::{is_exec, is_exec_name};
use crate::formats::exec::{
    bare, guid, mark_cut, set_executable, set_id, set_user, tty, unread, without_nul,
};
use crate::formats::parents::Parents;
use crate::pipeline::exec::{Argv, ArgvSource, Exec, FileId};
use crate::pipeline::tty::Tty;

/// Most bytes of a PROCTITLE (`MAX_PROCTITLE_AUDIT_LEN` in `kernel/audit.h`).
pub(in crate::formats) const PROCTITLE_BYTES_MAX: usize = 128;

/// An event while its records come.
pub(super) struct Event {
    stamp: Stamp,
    node: Arc<str>,
    line: u64,
    syscall: Option<Syscall>,
    /// There was an EXECVE record.
    has_execve: bool,
    argument_count: Option<u64>,
    n_arguments: u64,
    /// What the arguments are made of, as the records have them.
    pieces: Vec<Piece>,
    /// Of arguments that come in pieces, how long they are (`aN_len`).
    lengths: Vec<(u32, u64)>,
    bytes: Vec<u8>,
    /// Of its records.
    record_bytes: usize,
    proctitle: Option<Vec<u8>>,
    file: File,
    is_broken: bool,
}

/// A part of an argument: long ones are cut (`audit_log_execve_info` in `kernel/auditsc.c`).
struct Piece {
    argument: u32,
    piece: u32,
    place: Range<usize>,
}

/// What was handed to `execve`: item 0 of the PATH records.
#[derive(Default)]
struct File {
    name: Option<Vec<u8>>,
    id: Option<FileId>,
}

#[derive(Default)]
struct Syscall {
    arch: Option<u64>,
    number: Option<u64>,
    name: Option<Vec<u8>>,
    success: bool,
    pid: Option<u32>,
    ppid: Option<u32>,
    uid: Option<u32>,
    user: Option<Vec<u8>>,
    gid: Option<u32>,
    euid: Option<u32>,
    login_uid: Option<u32>,
    session_id: Option<u32>,
    tty: Tty,
    comm: Option<Vec<u8>>,
    exe: Option<Vec<u8>>,
}

/// What came of an event.
pub(super) enum Finished {
    Exec(Box<Exec>),
    /// It is of something else.
    Other,
    /// What is wrong with it was told when it was seen.
    Told,
}

impl Event {
    pub(super) fn new(stamp: Stamp, node: Arc<str>, line: u64) -> Self {
        Self {
            stamp,
            node,
            line,
            syscall: None,
            has_execve: false,
            argument_count: None,
            n_arguments: 0,
            pieces: Vec::new(),
            lengths: Vec::new(),
            bytes: Vec::new(),
            record_bytes: 0,
            proctitle: None,
            file: File::default(),
            is_broken: false,
        }
    }

    pub(super) fn is(&self, stamp: Stamp, node: &Arc<str>) -> bool {
        self.stamp == stamp && self.node == *node
    }

    pub(super) fn is_older(&self, until: u64, node: &Arc<str>) -> bool {
        self.stamp.time_ns < until && self.node == *node
    }

    /// The line of its first record.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// What it takes in memory, at most.
    pub(super) fn bytes(&self) -> usize {
        self.record_bytes + size_of::<Piece>() * (self.pieces.len() + self.lengths.len())
    }

    /// What is wrong with the record. Of an event with such a record comes nothing more.
    pub(super) fn handle_record(&mut self, record: &Record<'_>) -> Result<(), String> {
        self.record_bytes += record.bytes;
        let handled = match record.kind {
            Kind::Syscall => Syscall::read(record).map(|syscall| self.syscall = Some(syscall)),
            Kind::Execve => self.handle_execve(record),
            Kind::Path => self.handle_path(record),
            Kind::Proctitle => self.handle_proctitle(record),
            Kind::Eoe | Kind::Other => Ok(()),
        };
        self.is_broken |= handled.is_err();
        handled
    }

    fn handle_execve(&mut self, record: &Record<'_>) -> Result<(), String> {
        self.has_execve = true;
        for (key, value) in record.fields() {
            if key == b"argc" {
                self.argument_count = Some(value.number().ok_or("argc is no number")?);
                continue;
            }
            if let Some(argument) = length_key(key) {
                self.lengths
                    .extend(value.number().map(|length| (argument, length)));
                continue;
            }
            let Some((argument, piece)) = argument_key(key) else {
                continue;
            };
            let start = self.bytes.len();
            value.decode_into(&mut self.bytes)?;
            without_nul(&self.bytes[start..])?;
            self.n_arguments += u64::from(piece == 0);
            self.pieces.push(Piece {
                argument,
                piece,
                place: start..self.bytes.len(),
            });
        }
        Ok(())
    }

    fn handle_path(&mut self, record: &Record<'_>) -> Result<(), String> {
        let mut file = File::default();
        let (mut inode, mut device) = (None, None);
        for (key, value) in record.fields() {
            match key {
                b"item" if value.raw() != b"0" => return Ok(()),
                b"name" => file.name = value.decode()?,
                b"inode" => inode = value.number(),
                b"dev" => device = device_number(value.raw()),
                _ => {}
            }
        }
        file.id = inode
            .zip(device)
            .map(|(inode, device)| FileId { inode, device });
        self.file = file;
        Ok(())
    }

    fn handle_proctitle(&mut self, record: &Record<'_>) -> Result<(), String> {
        let title = record.fields().find(|(key, _)| key == b"proctitle");
        if let Some((_, value)) = title {
            self.proctitle = value.decode()?;
        }
        Ok(())
    }

    pub(super) fn finish(self, parents: &mut Parents) -> Result<Finished, String> {
        if self.is_broken {
            return Ok(Finished::Told);
        }
        let Some(syscall) = &self.syscall else {
            if self.has_execve {
                return Err("an EXECVE record without its SYSCALL record; \
                            the log may begin or end amid an event"
                    .to_owned());
            }
            return Ok(Finished::Other);
        };
        if let (Some(pid), Some(exe)) = (syscall.pid, &syscall.exe) {
            parents.saw(&self.node, pid, exe);
        }
        if !syscall.success || !(syscall.is_exec() || self.has_execve) {
            return Ok(Finished::Other);
        }
        let mut exec = syscall.exec(self.stamp)?;
        let Stamp { time_ns, serial } = self.stamp;
        if let Some(named) = guid(&format!("{} {time_ns} {serial}", self.node)) {
            exec.guid = named;
        }
        exec.dest = (!self.node.is_empty()).then(|| self.node.clone());
        exec.argv = self.argv();
        if let Some(name) = self.file.name {
            if exec.exe.known() == Some(&name) {
                exec.exe_file = self.file.id;
            }
            exec.filename = name.into();
        }
        parents.complete(&self.node, &mut exec);
        Ok(Finished::Exec(Box::new(exec)))
    }

    fn argv(&self) -> Argv {
        if self.pieces.is_empty() && self.argument_count != Some(0) {
            return self.proctitle_argv();
        }
        let mut pieces: Vec<&Piece> = self.pieces.iter().collect();
        pieces.sort_by_key(|piece| (piece.argument, piece.piece));
        let arguments: Vec<Vec<u8>> = pieces
            .chunk_by(|one, other| one.argument == other.argument)
            .map(|argument| {
                let parts = argument.iter();
                parts.fold(Vec::new(), |mut whole, piece| {
                    whole.extend_from_slice(&self.bytes[piece.place.clone()]);
                    whole
                })
            })
            .collect();
        let mut argv = Argv::from_arguments(arguments.iter().map(Vec::as_slice));
        mark_cut(&mut argv, arguments.len() as u64, self.argument_count);
        let firsts = pieces.chunk_by(|one, other| one.argument == other.argument);
        for (argument, told) in firsts.map(|pieces| pieces[0].argument).zip(&arguments) {
            argv.bytes_full += u64::from(self.lacks(argument, told.len() as u64));
        }
        argv
    }

    /// Whether `told` bytes are not all of an argument. Its length is that of the text: of bytes, or of hexadecimal
    /// digits (`audit_log_execve_info`).
    fn lacks(&self, argument: u32, told: u64) -> bool {
        let length = self.lengths.iter().find(|(it, _)| *it == argument);
        length.is_some_and(|(_, length)| *length != told && *length != 2 * told)
    }

    /// The command line as the process shows it: what `/proc` would have said, and of no more than 128 bytes. The kernel
    /// keeps it from the task's first event on, so that it may be that of the program before.
    fn proctitle_argv(&self) -> Argv {
        let Some(title) = &self.proctitle else {
            return unread();
        };
        let whole = title.strip_suffix(&[0]).unwrap_or(title);
        let mut argv = Argv::from_arguments(whole.split(|&byte| byte == 0));
        argv.source = ArgvSource::Procfs;
        argv.bytes_full += u64::from(title.len() >= PROCTITLE_BYTES_MAX);
        argv
    }
}

impl Syscall {
    fn read(record: &Record<'_>) -> Result<Self, String> {
        let mut told = Self::default();
        for (key, value) in record.fields() {
            match key {
                b"arch" => told.arch = value.hexadecimal(),
                b"syscall" => told.number = value.number(),
                b"SYSCALL" => told.name = Some(value.raw().to_vec()),
                b"success" => told.success = value.raw() == b"yes",
                b"pid" => told.pid = Some(id(value, "pid")?),
                b"ppid" => told.ppid = Some(id(value, "ppid")?),
                b"uid" => told.uid = set_id(id(value, "uid")?),
                b"UID" => told.user = Some(value.raw().to_vec()),
                b"gid" => told.gid = set_id(id(value, "gid")?),
                b"euid" => told.euid = set_id(id(value, "euid")?),
                b"auid" => told.login_uid = set_id(id(value, "auid")?),
                b"ses" => told.session_id = set_id(id(value, "ses")?),
                b"tty" => told.tty = tty(&String::from_utf8_lossy(value.raw())),
                b"comm" => told.comm = value.decode()?,
                b"exe" => told.exe = value.decode()?,
                _ => {}
            }
        }
        Ok(told)
    }

    fn is_exec(&self) -> bool {
        let by_number = self.arch.zip(self.number);
        by_number.is_some_and(|(arch, number)| is_exec(arch, number))
            || self.name.as_deref().is_some_and(is_exec_name)
    }

    fn exec(&self, stamp: Stamp) -> Result<Exec, String> {
        let pid = self.pid.ok_or("a SYSCALL record without pid")?;
        let ppid = self.ppid.ok_or("a SYSCALL record without ppid")?;
        let mut exec = bare(stamp.time_ns, pid, ppid);
        let user = self.user.as_deref().map(String::from_utf8_lossy);
        // What has no name the daemon calls `unknown(ID)`.
        let user = user.filter(|user| !user.starts_with("unknown(") && user != "unset");
        set_user(&mut exec, user.as_deref(), self.uid);
        exec.gid = self.gid;
        exec.euid = self.euid;
        exec.login_uid = self.login_uid;
        exec.session_id = self.session_id;
        exec.tty = self.tty;
        if let Some(comm) = &self.comm {
            exec.comm = comm.as_slice().into();
        }
        if let Some(exe) = &self.exe {
            without_nul(exe)?;
            set_executable(&mut exec, exe);
        }
        Ok(exec)
    }
}

fn id(value: Value<'_>, name: &str) -> Result<u32, String> {
    // Older kernels print what is unset as -1.
    if value.raw() == b"-1" {
        return Ok(u32::MAX);
    }
    let number = value.number().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| {
        let shown = String::from_utf8_lossy(value.raw());
        format!("{name} is {shown:?}, expected a number")
    })
}

/// `a2_len` is the length of argument 2.
fn length_key(key: &[u8]) -> Option<u32> {
    let key = str::from_utf8(key.strip_prefix(b"a")?).ok()?;
    key.strip_suffix("_len")?.parse().ok()
}

/// `a2` is argument 2, `a2[1]` its second piece; `a2_len` is neither.
fn argument_key(key: &[u8]) -> Option<(u32, u32)> {
    let key = str::from_utf8(key.strip_prefix(b"a")?).ok()?;
    let Some((argument, piece)) = key.split_once('[') else {
        return Some((key.parse().ok()?, 0));
    };
    let piece = piece.strip_suffix(']')?;
    Some((argument.parse().ok()?, piece.parse().ok()?))
}

/// `08:01`, in hexadecimal digits, as the kernel keeps a device.
fn device_number(text: &[u8]) -> Option<u32> {
    let (major, minor) = str::from_utf8(text).ok()?.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let (major, minor) = (number(major)?, number(minor)?);
    (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
}
