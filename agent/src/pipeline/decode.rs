//! Bytes of a ring buffer record → [`Decoded`]. Bounds are checked once, in [`Fields`] and
//! [`Sections`]; after that nothing can fail.

use std::mem::offset_of;
use std::sync::Arc;

use uuid::Uuid;
use wallwatch_common::{
    ARGV_CHUNK_BYTES, ArgvChunk, CgroupRecord, ExecFlags, ExecRecord, ExitRecord, ForkRecord,
    PathState, RECORD_VERSION, RecordHeader, RecordKind, XTABLES_NAME_BYTES, XtablesReplaceRecord,
};

use super::exec::{
    Argv, ArgvSource, Event, ExePath, Exec, ExecGuid, Exit, FileId, FileStat, Fork, Namespace,
    Namespaces, ProcessKey, Time, Unknown, XtablesReplace,
};
use super::firewall::change::Family;
use super::tty::Tty;

mod failed_exec;

/// Decodes the records of one boot of one host.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub boot_id: Uuid,
    pub dest: Option<Arc<str>>,
    pub host_id: Option<Arc<str>>,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    Event(Event),
    ArgvPart(ArgvPart),
    CgroupPath(CgroupPath),
}

/// The path of a cgroup, from the root of its hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPath {
    pub cgroup_id: u64,
    /// `None` when the walk did not come to the root.
    pub path: Option<Arc<[u8]>>,
}

/// Which of the execs seen by one program on one processor a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecMark {
    pub lane: u8,
    pub cpu: u16,
    /// The first is 1.
    pub sequence: u64,
    pub boot_ns: u64,
}

/// The mark of an exec record; `None` for any other record, and for one that is too short.
pub fn exec_mark(bytes: &[u8]) -> Option<ExecMark> {
    let fields = Fields::check(bytes, size_of::<ExecRecord>()).ok()?;
    let is_exec = fields.u8(offset_of!(RecordHeader, kind)) == RecordKind::Exec as u8;
    is_exec.then(|| ExecMark {
        lane: fields.u8(offset_of!(ExecRecord, lane)),
        cpu: fields.u16(offset_of!(ExecRecord, cpu)),
        sequence: fields.u64(offset_of!(ExecRecord, sequence)),
        boot_ns: fields.u64(offset_of!(RecordHeader, time_ns)),
    })
}

/// A piece of a command line that did not fit its exec record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgvPart {
    pub tgid: u32,
    /// Time of the exec that it belongs to.
    pub exec_boot_ns: u64,
    /// Where it begins in the command line.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("record of {found} bytes, expected at least {expected}")]
    Short { found: usize, expected: usize },
    #[error("record version {found}, expected {RECORD_VERSION}")]
    Version { found: u8 },
    #[error("record kind {found} is unknown")]
    Kind { found: u8 },
    #[error("record says {said} bytes and has {found}")]
    Length { said: usize, found: usize },
    #[error("path state {found} is unknown")]
    State { found: u8 },
}

impl Decoder {
    /// `wall_minus_boot_ns` pairs the record's boot time with the wall clock.
    pub fn decode(&self, bytes: &[u8], wall_minus_boot_ns: i64) -> Result<Decoded, DecodeError> {
        let fields = Fields::check(bytes, size_of::<RecordHeader>())?;
        let version = fields.u8(offset_of!(RecordHeader, version));
        if version != RECORD_VERSION {
            return Err(DecodeError::Version { found: version });
        }
        let said = fields.u32(offset_of!(RecordHeader, bytes)) as usize;
        if said != bytes.len() {
            let found = bytes.len();
            return Err(DecodeError::Length { said, found });
        }
        let boot_ns = fields.u64(offset_of!(RecordHeader, time_ns));
        let time = Time {
            boot_ns,
            wall_ns: boot_ns.saturating_add_signed(wall_minus_boot_ns),
        };
        let kind = fields.u8(offset_of!(RecordHeader, kind));
        let event = if kind == RecordKind::Exec as u8 {
            Event::Exec(Box::new(self.exec(bytes, time)?))
        } else if kind == RecordKind::Fork as u8 {
            Event::Fork(fork(bytes, time)?)
        } else if kind == RecordKind::Exit as u8 {
            Event::Exit(exit(bytes, time)?)
        } else if kind == RecordKind::FailedExec as u8 {
            Event::FailedExec(Box::new(self.failed_exec(bytes, time)?))
        } else if kind == RecordKind::XtablesReplace as u8 {
            Event::XtablesReplace(xtables_replace(bytes, time)?)
        } else if kind == RecordKind::ArgvChunk as u8 {
            return argv_part(bytes, boot_ns).map(Decoded::ArgvPart);
        } else if kind == RecordKind::Cgroup as u8 {
            return cgroup_path(bytes).map(Decoded::CgroupPath);
        } else {
            return Err(DecodeError::Kind { found: kind });
        };
        Ok(Decoded::Event(event))
    }

    fn exec(&self, bytes: &[u8], time: Time) -> Result<Exec, DecodeError> {
        let fields = Fields::check(bytes, size_of::<ExecRecord>())?;
        let mut sections = Sections {
            rest: &bytes[size_of::<ExecRecord>()..],
            said: bytes.len(),
        };
        let filename = sections.take(fields.u32(offset_of!(ExecRecord, filename_bytes)))?;
        let interp = sections.take(fields.u32(offset_of!(ExecRecord, interp_bytes)))?;
        let exe_path = sections.take(fields.u32(offset_of!(ExecRecord, exe_path_bytes)))?;
        let parent_path = sections.take(fields.u32(offset_of!(ExecRecord, parent_path_bytes)))?;
        let argv = sections.take(fields.u32(offset_of!(ExecRecord, argv_bytes)))?;
        sections.end()?;

        let flags = fields.u32(offset_of!(ExecRecord, flags));
        let flag = |bit| flags & bit != 0;
        let process = ProcessKey {
            tgid: fields.u32(offset_of!(ExecRecord, tgid)),
            start_ns: fields.u64(offset_of!(ExecRecord, start_ns)),
        };
        let bytes_full = fields.u64(offset_of!(ExecRecord, argv_bytes_full));
        Ok(Exec {
            time,
            guid: ExecGuid::OfBoot(self.boot_id),
            process,
            tid: fields.u32(offset_of!(ExecRecord, tid)),
            parent: ProcessKey {
                tgid: fields.u32(offset_of!(ExecRecord, parent_tgid)),
                start_ns: fields.u64(offset_of!(ExecRecord, parent_start_ns)),
            },
            uid: Some(fields.u32(offset_of!(ExecRecord, uid))),
            gid: Some(fields.u32(offset_of!(ExecRecord, gid))),
            euid: Some(fields.u32(offset_of!(ExecRecord, euid))),
            login_uid: set_id(fields.u32(offset_of!(ExecRecord, login_uid))),
            session_id: set_id(fields.u32(offset_of!(ExecRecord, session_id))),
            tty: tty(fields.u32(offset_of!(ExecRecord, tty))),
            cap_effective: flag(ExecFlags::CAPABILITIES)
                .then(|| fields.u64(offset_of!(ExecRecord, cap_effective))),
            user: None,
            dest: self.dest.clone(),
            host_id: self.host_id.clone(),
            comm: c_string(fields.bytes(offset_of!(ExecRecord, comm), 16)).into(),
            filename: c_string(filename).into(),
            interp: flag(ExecFlags::SCRIPT).then(|| c_string(interp).into()),
            exe: exe_path_of(exe_path, fields.u8(offset_of!(ExecRecord, exe_state)))?,
            exe_file: file_id(
                fields.u64(offset_of!(ExecRecord, exe_inode)),
                fields.u32(offset_of!(ExecRecord, exe_device)),
            ),
            exe_stat: file_stat(&fields, flag(ExecFlags::EXE_UPPER)),
            exe_deleted: flag(ExecFlags::EXE_DELETED),
            exe_memfd: flag(ExecFlags::EXE_PSEUDO),
            argv: Argv {
                bytes: argv.into(),
                bytes_full: bytes_full.max(argv.len() as u64),
                source: if flag(ExecFlags::ARGV_FAULT) {
                    ArgvSource::Unread
                } else {
                    ArgvSource::Kernel
                },
            },
            parent_exe: exe_path_of(parent_path, fields.u8(offset_of!(ExecRecord, parent_state)))?,
            parent_file: file_id(
                fields.u64(offset_of!(ExecRecord, parent_inode)),
                fields.u32(offset_of!(ExecRecord, parent_device)),
            ),
            parent_deleted: flag(ExecFlags::PARENT_DELETED),
            parent_memfd: flag(ExecFlags::PARENT_PSEUDO),
            parent_argv: None,
            cgroup_id: fields.u64(offset_of!(ExecRecord, cgroup_id)),
            cgroup: None,
            provenance: None,
            namespaces: Namespaces {
                mount: namespace(fields.u32(offset_of!(ExecRecord, mount_ns))),
                pid: namespace(fields.u32(offset_of!(ExecRecord, pid_ns))),
                net: namespace(fields.u32(offset_of!(ExecRecord, net_ns))),
                user: namespace(fields.u32(offset_of!(ExecRecord, user_ns))),
            },
            stdout_null: flag(ExecFlags::STDOUT_NULL),
            stderr_null: flag(ExecFlags::STDERR_NULL),
        })
    }
}

fn fork(bytes: &[u8], time: Time) -> Result<Fork, DecodeError> {
    let fields = Fields::check(bytes, size_of::<ForkRecord>())?;
    Ok(Fork {
        time,
        process: ProcessKey {
            tgid: fields.u32(offset_of!(ForkRecord, tgid)),
            start_ns: fields.u64(offset_of!(ForkRecord, start_ns)),
        },
        creator: ProcessKey {
            tgid: fields.u32(offset_of!(ForkRecord, creator_tgid)),
            start_ns: fields.u64(offset_of!(ForkRecord, creator_start_ns)),
        },
    })
}

fn exit(bytes: &[u8], time: Time) -> Result<Exit, DecodeError> {
    let fields = Fields::check(bytes, size_of::<ExitRecord>())?;
    Ok(Exit {
        time,
        process: ProcessKey {
            tgid: fields.u32(offset_of!(ExitRecord, tgid)),
            start_ns: fields.u64(offset_of!(ExitRecord, start_ns)),
        },
    })
}

fn xtables_replace(bytes: &[u8], time: Time) -> Result<XtablesReplace, DecodeError> {
    /// `include/linux/socket.h`.
    const SOL_IPV6: u32 = 41;
    let fields = Fields::check(bytes, size_of::<XtablesReplaceRecord>())?;
    let level = fields.u32(offset_of!(XtablesReplaceRecord, level));
    let name = fields.bytes(offset_of!(XtablesReplaceRecord, table), XTABLES_NAME_BYTES);
    let mut table = [0; XTABLES_NAME_BYTES];
    table.copy_from_slice(name);
    Ok(XtablesReplace {
        time,
        process: ProcessKey {
            tgid: fields.u32(offset_of!(XtablesReplaceRecord, tgid)),
            start_ns: fields.u64(offset_of!(XtablesReplaceRecord, start_ns)),
        },
        tid: fields.u32(offset_of!(XtablesReplaceRecord, tid)),
        family: if level == SOL_IPV6 {
            Family::Ipv6
        } else {
            Family::Ipv4
        },
        table,
    })
}

fn argv_part(bytes: &[u8], exec_boot_ns: u64) -> Result<ArgvPart, DecodeError> {
    let fields = Fields::check(bytes, size_of::<ArgvChunk>())?;
    let length = fields.u32(offset_of!(ArgvChunk, bytes)) as usize;
    let argv = fields.bytes(offset_of!(ArgvChunk, argv), ARGV_CHUNK_BYTES);
    let argv = argv.get(..length).ok_or(DecodeError::Length {
        said: length,
        found: ARGV_CHUNK_BYTES,
    })?;
    Ok(ArgvPart {
        tgid: fields.u32(offset_of!(ArgvChunk, tgid)),
        exec_boot_ns,
        offset: fields.u64(offset_of!(ArgvChunk, offset)),
        bytes: argv.to_vec(),
    })
}

fn cgroup_path(bytes: &[u8]) -> Result<CgroupPath, DecodeError> {
    let fields = Fields::check(bytes, size_of::<CgroupRecord>())?;
    let mut sections = Sections {
        rest: &bytes[size_of::<CgroupRecord>()..],
        said: bytes.len(),
    };
    let section = sections.take(fields.u32(offset_of!(CgroupRecord, bytes)))?;
    sections.end()?;
    let path = exe_path_of(section, fields.u8(offset_of!(CgroupRecord, state)))?;
    Ok(CgroupPath {
        cgroup_id: fields.u64(offset_of!(CgroupRecord, cgroup_id)),
        path: match path {
            ExePath::Known(path) => Some(path),
            ExePath::Unknown(_) => None,
        },
    })
}

/// No file has mode 0: its type is part of it.
fn file_stat(fields: &Fields<'_>, overlay_upper: bool) -> Option<FileStat> {
    let mode = fields.u16(offset_of!(ExecRecord, exe_mode));
    let seconds = fields.u64(offset_of!(ExecRecord, exe_change_s));
    // Since Linux 6.13 the highest bit says that somebody has asked for the time (`I_CTIME_QUERIED`,
    // `include/linux/fs.h`); nanoseconds below a second never reach it.
    let below = u64::from(fields.u32(offset_of!(ExecRecord, exe_change_ns)) & 0x7fff_ffff);
    (mode != 0).then(|| FileStat {
        uid: fields.u32(offset_of!(ExecRecord, exe_uid)),
        gid: fields.u32(offset_of!(ExecRecord, exe_gid)),
        mode,
        links: fields.u32(offset_of!(ExecRecord, exe_links)),
        change_ns: seconds.saturating_mul(1_000_000_000).saturating_add(below),
        overlay_upper,
    })
}

/// Whether it is the host's is for the host to say.
fn namespace(inum: u32) -> Namespace {
    Namespace {
        inum,
        is_host: None,
    }
}

/// A path section, leaf first, as a path; or the reason why there is none.
fn exe_path_of(section: &[u8], state: u8) -> Result<ExePath, DecodeError> {
    let unknown = match state {
        s if s == PathState::Known as u8 => return Ok(ExePath::Known(root_first(section))),
        s if s == PathState::Absent as u8 => Unknown::Absent,
        s if s == PathState::Unfinished as u8 => Unknown::Unfinished,
        s if s == PathState::Fault as u8 => Unknown::Fault,
        s if s == PathState::Changed as u8 => Unknown::Changed,
        s if s == PathState::Detached as u8 => Unknown::Detached,
        s if s == PathState::Unsupported as u8 => Unknown::Unsupported,
        found => return Err(DecodeError::State { found }),
    };
    Ok(ExePath::Unknown(unknown))
}

/// `b"leaf\0middle\0top\0"` becomes `/top/middle/leaf`.
fn root_first(section: &[u8]) -> Arc<[u8]> {
    let components = section.strip_suffix(&[0]).unwrap_or(section);
    if components.is_empty() {
        return Arc::from(b"/".as_slice());
    }
    let mut path = Vec::with_capacity(components.len() + 1);
    for component in components.rsplit(|&byte| byte == 0) {
        path.push(b'/');
        path.extend_from_slice(component);
    }
    path.into()
}

/// What stands before the first NUL.
fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

/// No file has inode number 0.
fn file_id(inode: u64, device: u32) -> Option<FileId> {
    (inode != 0).then_some(FileId { inode, device })
}

/// The kernel's "unset" is -1 (`AUDIT_UID_UNSET`, `AUDIT_SID_UNSET`, `include/uapi/linux/audit.h`).
fn set_id(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// The kernel's own numbers for a terminal, and no device (`include/linux/kdev_t.h`).
fn tty(device: u32) -> Tty {
    match device {
        0 => Tty::None,
        u32::MAX => Tty::Unknown,
        device => Tty::Device(device),
    }
}

/// A record that is at least as long as its fixed part. Reads are at offsets of that part.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn check(bytes: &'a [u8], expected: usize) -> Result<Self, DecodeError> {
        if bytes.len() < expected {
            let found = bytes.len();
            return Err(DecodeError::Short { found, expected });
        }
        Ok(Self(bytes))
    }

    fn bytes(&self, at: usize, length: usize) -> &'a [u8] {
        &self.0[at..at + length]
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(at, N));
        array
    }

    fn u8(&self, at: usize) -> u8 {
        self.0[at]
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.array(at))
    }
}

/// What follows the fixed part of an exec record.
struct Sections<'a> {
    rest: &'a [u8],
    said: usize,
}

impl<'a> Sections<'a> {
    fn take(&mut self, length: u32) -> Result<&'a [u8], DecodeError> {
        let length = length as usize;
        let Some((section, rest)) = self.rest.split_at_checked(length) else {
            let beyond = length - self.rest.len();
            return Err(DecodeError::Length {
                said: self.said.saturating_add(beyond),
                found: self.said,
            });
        };
        self.rest = rest;
        Ok(section)
    }

    fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Length {
            said: self.said - self.rest.len(),
            found: self.said,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The record of an exec, built as the kernel program builds it.
    #[derive(Clone, Debug)]
    struct Sample {
        time_ns: u64,
        tgid: u32,
        start_ns: u64,
        flags: u32,
        filename: Vec<u8>,
        interp: Vec<u8>,
        exe: Vec<Vec<u8>>,
        exe_state: u8,
        parent: Vec<Vec<u8>>,
        parent_state: u8,
        argv: Vec<u8>,
    }

    impl Sample {
        fn encode(&self) -> Vec<u8> {
            let leaf_first = |components: &[Vec<u8>]| {
                let mut section = Vec::new();
                for component in components.iter().rev() {
                    section.extend_from_slice(component);
                    section.push(0);
                }
                section
            };
            let sections = [
                self.filename.clone(),
                self.interp.clone(),
                leaf_first(&self.exe),
                leaf_first(&self.parent),
                self.argv.clone(),
            ];
            let mut out = vec![0; size_of::<ExecRecord>()];
            let mut put = |at: usize, value: &[u8]| {
                out[at..at + value.len()].copy_from_slice(value);
            };
            let total = size_of::<ExecRecord>() + sections.iter().map(Vec::len).sum::<usize>();
            put(
                offset_of!(RecordHeader, time_ns),
                &self.time_ns.to_ne_bytes(),
            );
            put(
                offset_of!(RecordHeader, bytes),
                &(total as u32).to_ne_bytes(),
            );
            put(offset_of!(RecordHeader, kind), &[RecordKind::Exec as u8]);
            put(offset_of!(RecordHeader, version), &[RECORD_VERSION]);
            put(
                offset_of!(ExecRecord, start_ns),
                &self.start_ns.to_ne_bytes(),
            );
            put(offset_of!(ExecRecord, tgid), &self.tgid.to_ne_bytes());
            put(offset_of!(ExecRecord, flags), &self.flags.to_ne_bytes());
            put(offset_of!(ExecRecord, login_uid), &u32::MAX.to_ne_bytes());
            put(offset_of!(ExecRecord, exe_state), &[self.exe_state]);
            put(offset_of!(ExecRecord, parent_state), &[self.parent_state]);
            let lengths = [
                offset_of!(ExecRecord, filename_bytes),
                offset_of!(ExecRecord, interp_bytes),
                offset_of!(ExecRecord, exe_path_bytes),
                offset_of!(ExecRecord, parent_path_bytes),
                offset_of!(ExecRecord, argv_bytes),
            ];
            for (at, section) in lengths.into_iter().zip(&sections) {
                put(at, &(section.len() as u32).to_ne_bytes());
            }
            sections
                .iter()
                .for_each(|section| out.extend_from_slice(section));
            out
        }
    }

    fn decoder() -> Decoder {
        Decoder {
            boot_id: Uuid::from_u128(7),
            dest: Some("host".into()),
            host_id: None,
        }
    }

    fn component() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1..=255u8, 1..20)
            .prop_map(|bytes| bytes.into_iter().filter(|&byte| byte != b'/').collect())
            .prop_filter("a component is not empty", |bytes: &Vec<u8>| {
                !bytes.is_empty()
            })
    }

    prop_compose! {
        fn sample()(
            time_ns: u64,
            tgid: u32,
            start_ns: u64,
            script: bool,
            filename in component(),
            exe in proptest::collection::vec(component(), 0..8),
            exe_state in 0..=6u8,
            parent in proptest::collection::vec(component(), 0..8),
            parent_state in 0..=6u8,
            argv in proptest::collection::vec(any::<u8>(), 0..200),
        ) -> Sample {
            let mut filename = filename;
            filename.push(0);
            Sample {
                time_ns,
                tgid,
                start_ns,
                flags: if script { ExecFlags::SCRIPT } else { 0 },
                filename,
                interp: if script { b"/bin/sh\0".to_vec() } else { Vec::new() },
                exe, exe_state, parent, parent_state, argv,
            }
        }
    }

    fn joined(components: &[Vec<u8>]) -> Vec<u8> {
        if components.is_empty() {
            return b"/".to_vec();
        }
        components
            .iter()
            .flat_map(|name| [b"/".to_vec(), name.clone()].concat())
            .collect()
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was_sent(sample in sample(), shift in -1000..1000i64) {
            let Decoded::Event(Event::Exec(exec)) = decoder().decode(&sample.encode(), shift).unwrap() else {
                panic!("not an exec");
            };
            prop_assert_eq!(exec.time.boot_ns, sample.time_ns);
            prop_assert_eq!(exec.time.wall_ns, sample.time_ns.saturating_add_signed(shift));
            prop_assert_eq!(exec.process.tgid, sample.tgid);
            prop_assert_eq!(exec.process.start_ns, sample.start_ns);
            prop_assert_eq!(exec.login_uid, None);
            prop_assert_eq!(&*exec.filename, &sample.filename[..sample.filename.len() - 1]);
            prop_assert_eq!(exec.interp.is_some(), sample.flags != 0);
            prop_assert_eq!(&*exec.argv.bytes, &sample.argv[..]);
            prop_assert_eq!(exec.exe.known().is_some(), sample.exe_state == 0);
            prop_assert_eq!(exec.parent_exe.known().is_some(), sample.parent_state == 0);
            if let Some(path) = exec.exe.known() {
                prop_assert_eq!(path, &joined(&sample.exe)[..]);
            }
            if let Some(path) = exec.parent_exe.known() {
                prop_assert_eq!(path, &joined(&sample.parent)[..]);
            }
        }

        #[test]
        fn any_bytes_give_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(decoder().decode(&bytes, 0));
        }

        #[test]
        fn a_damaged_record_gives_an_event_or_an_error(
            sample in sample(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
        ) {
            let mut bytes = sample.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            drop(decoder().decode(&bytes, 0));
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(decoder().decode(&bytes, 0).is_err());
        }
    }
}
