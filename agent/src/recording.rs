//! The format that `record` writes and `replay` reads: one exec a line, as a JSON object.
//!
//! | field | meaning |
//! |---|---|
//! | `time` | seconds since 1970 UTC, a number with up to nine decimals |
//! | `pid`, `ppid` | process ids in the initial namespace |
//! | `uid`, `argv` | real user id, null when unknown; the arguments |
//! | `exe`, `parent_exe` | resolved executables; null when unknown |
//!
//! These are needed; everything else is optional, and what is not known here is ignored. Text that is
//! not UTF-8 is `{"base64": "…"}`. A line whose `kind` is other than `exec` is of no exec, and passed over:
//! `record` writes `failed_exec` when the sensor watches those. `start_time` and `parent_start_time` are seconds since boot; they
//! only have to tell one process from another.

mod failed_exec;
mod kind;
mod provenance;
pub(crate) mod text;

use std::sync::Arc;

use serde::de;
use serde::ser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use kind::Kind;
use provenance::WrittenProvenance;
use text::{Arguments, Text, UnknownWord, exe_path, unknown_word};

use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{
    Argv, ArgvSource, Exec, ExecGuid, FileId, FileStat, Namespace, Namespaces, ProcessKey, Time,
};
use crate::pipeline::tty::Tty;

pub use failed_exec::write_failed_line;

/// Reads one line; `None` when it is of something else than an exec. Errors as [`parse_line`].
pub fn read_line(line: &[u8]) -> Result<Option<Exec>, serde_json::Error> {
    match serde_json::from_slice::<Written>(line) {
        Ok(written) if written.kind == Kind::Other => Ok(None),
        Ok(written) => Ok(Some(Exec::from(written))),
        // A line of another kind need not have the fields of an exec.
        Err(error) => match serde_json::from_slice(line) {
            Ok(Tag { kind: Kind::Other }) => Ok(None),
            Ok(Tag { kind: Kind::Exec }) | Err(_) => Err(error),
        },
    }
}

/// What tells the kinds of lines apart.
#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    kind: Kind,
}

/// Reads one line, which is of an exec. The error says what was expected and at which column.
pub fn parse_line(line: &[u8]) -> Result<Exec, serde_json::Error> {
    serde_json::from_slice::<Written>(line).map(Exec::from)
}

/// Writes one line, with its line feed.
pub fn write_line(exec: &Exec) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&Written::from(exec))?;
    line.push(b'\n');
    Ok(line)
}

/// An exec as it stands in a line.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(default, skip_serializing)]
    kind: Kind,
    time: Seconds,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
    pid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<Seconds>,
    ppid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_start_time: Option<Seconds>,
    /// Null when unknown, but it has to be there.
    #[serde(deserialize_with = "Option::deserialize")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    euid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login_uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_id: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    tty: Tty,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cap_effective: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comm: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filename: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interp: Option<Text>,
    exe: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe_unknown: Option<UnknownWord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe_file: Option<WrittenFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe_stat: Option<WrittenStat>,
    #[serde(default, skip_serializing_if = "is_default")]
    exe_deleted: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    exe_memfd: bool,
    argv: Arguments,
    /// Bytes of the whole command line, when `argv` is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argv_bytes_full: Option<u64>,
    /// The command line could not be read.
    #[serde(default, skip_serializing_if = "is_default")]
    argv_unread: bool,
    parent_exe: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_exe_unknown: Option<UnknownWord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_file: Option<WrittenFile>,
    #[serde(default, skip_serializing_if = "is_default")]
    parent_deleted: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    parent_memfd: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_argv: Option<Arguments>,
    #[serde(default, skip_serializing_if = "is_default")]
    cgroup_id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cgroup: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provenance: Option<WrittenProvenance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespaces: Option<WrittenNamespaces>,
    #[serde(default, skip_serializing_if = "is_default")]
    stdout_null: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    stderr_null: bool,
}

#[derive(Serialize, Deserialize)]
struct WrittenFile {
    inode: u64,
    device: u32,
}

#[derive(Serialize, Deserialize)]
struct WrittenStat {
    uid: u32,
    gid: u32,
    mode: u16,
    links: u32,
    change_time: Seconds,
    #[serde(default, skip_serializing_if = "is_default")]
    overlay_upper: bool,
}

impl From<WrittenStat> for FileStat {
    fn from(written: WrittenStat) -> Self {
        Self {
            uid: written.uid,
            gid: written.gid,
            mode: written.mode,
            links: written.links,
            change_ns: written.change_time.0,
            overlay_upper: written.overlay_upper,
        }
    }
}

impl From<FileStat> for WrittenStat {
    fn from(stat: FileStat) -> Self {
        Self {
            uid: stat.uid,
            gid: stat.gid,
            mode: stat.mode,
            links: stat.links,
            change_time: Seconds(stat.change_ns),
            overlay_upper: stat.overlay_upper,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WrittenNamespaces {
    mount: WrittenNamespace,
    pid: WrittenNamespace,
    net: WrittenNamespace,
    user: WrittenNamespace,
}

#[derive(Serialize, Deserialize)]
struct WrittenNamespace {
    inum: u32,
    /// Whether it is the host's own.
    host: Option<bool>,
}

impl From<WrittenNamespaces> for Namespaces {
    fn from(written: WrittenNamespaces) -> Self {
        let read = |WrittenNamespace { inum, host }| Namespace {
            inum,
            is_host: host,
        };
        Self {
            mount: read(written.mount),
            pid: read(written.pid),
            net: read(written.net),
            user: read(written.user),
        }
    }
}

impl From<Namespaces> for WrittenNamespaces {
    fn from(namespaces: Namespaces) -> Self {
        let write = |Namespace { inum, is_host }| WrittenNamespace {
            inum,
            host: is_host,
        };
        Self {
            mount: write(namespaces.mount),
            pid: write(namespaces.pid),
            net: write(namespaces.net),
            user: write(namespaces.user),
        }
    }
}

impl From<WrittenFile> for FileId {
    fn from(WrittenFile { inode, device }: WrittenFile) -> Self {
        Self { inode, device }
    }
}

impl From<FileId> for WrittenFile {
    fn from(FileId { inode, device }: FileId) -> Self {
        Self { inode, device }
    }
}

impl From<Written> for Exec {
    fn from(written: Written) -> Self {
        let time = Time {
            boot_ns: written.time.0,
            wall_ns: written.time.0,
        };
        let process = ProcessKey {
            tgid: written.pid,
            start_ns: written.start_time.map_or(0, |start| start.0),
        };
        let guid = written.guid.map_or(ExecGuid::OfBoot(Uuid::nil()), |text| {
            ExecGuid::Given(named_guid(&text))
        });
        let argv = Argv::from(written.argv);
        Self {
            time,
            guid,
            process,
            tid: written.tid.unwrap_or(written.pid),
            parent: ProcessKey {
                tgid: written.ppid,
                start_ns: written.parent_start_time.map_or(0, |start| start.0),
            },
            uid: written.uid,
            gid: written.gid.or(written.uid),
            euid: written.euid.or(written.uid),
            login_uid: written.login_uid,
            session_id: written.session_id,
            tty: written.tty,
            cap_effective: written.cap_effective,
            user: written.user.map(Arc::from),
            dest: written.host.map(Arc::from),
            host_id: written.host_id.map(Arc::from),
            comm: written.comm.map_or_else(Box::default, |text| text.0.into()),
            filename: written
                .filename
                .map_or_else(Box::default, |text| text.0.into()),
            interp: written.interp.map(|text| text.0.into()),
            exe: exe_path(written.exe, written.exe_unknown),
            exe_file: written.exe_file.map(FileId::from),
            exe_stat: written.exe_stat.map(FileStat::from),
            exe_deleted: written.exe_deleted,
            exe_memfd: written.exe_memfd,
            argv: Argv {
                bytes_full: written.argv_bytes_full.unwrap_or(0).max(argv.bytes_full),
                source: if written.argv_unread {
                    ArgvSource::Unread
                } else {
                    ArgvSource::Recording
                },
                ..argv
            },
            parent_exe: exe_path(written.parent_exe, written.parent_exe_unknown),
            parent_file: written.parent_file.map(FileId::from),
            parent_deleted: written.parent_deleted,
            parent_memfd: written.parent_memfd,
            parent_argv: written.parent_argv.map(Argv::from),
            cgroup_id: written.cgroup_id,
            cgroup: written
                .cgroup
                .and_then(|path| Cgroup::parse(&path.0))
                .map(Arc::new),
            provenance: written.provenance.map(|written| Arc::new(written.into())),
            namespaces: written
                .namespaces
                .map_or_else(Namespaces::default, Namespaces::from),
            stdout_null: written.stdout_null,
            stderr_null: written.stderr_null,
        }
    }
}

impl From<&Exec> for Written {
    fn from(exec: &Exec) -> Self {
        Self {
            kind: Kind::Exec,
            time: Seconds(exec.time.wall_ns),
            guid: Some(exec.guid().to_string()),
            pid: exec.process.tgid,
            tid: Some(exec.tid),
            start_time: Some(Seconds(exec.process.start_ns)),
            ppid: exec.parent.tgid,
            parent_start_time: Some(Seconds(exec.parent.start_ns)),
            uid: exec.uid,
            gid: exec.gid,
            euid: exec.euid,
            login_uid: exec.login_uid,
            session_id: exec.session_id,
            tty: exec.tty,
            cap_effective: exec.cap_effective,
            user: exec.user.as_deref().map(str::to_owned),
            host: exec.dest.as_deref().map(str::to_owned),
            host_id: exec.host_id.as_deref().map(str::to_owned),
            comm: Some(Text(exec.comm.to_vec())),
            filename: Some(Text(exec.filename.to_vec())),
            interp: exec.interp.as_ref().map(|text| Text(text.to_vec())),
            exe: exec.exe.known().map(|path| Text(path.to_vec())),
            exe_unknown: unknown_word(&exec.exe),
            exe_file: exec.exe_file.map(WrittenFile::from),
            exe_stat: exec.exe_stat.map(WrittenStat::from),
            exe_deleted: exec.exe_deleted,
            exe_memfd: exec.exe_memfd,
            argv: Arguments::from(&exec.argv),
            argv_bytes_full: exec.argv.truncated().then_some(exec.argv.bytes_full),
            argv_unread: exec.argv.source == ArgvSource::Unread,
            parent_exe: exec.parent_exe.known().map(|path| Text(path.to_vec())),
            parent_exe_unknown: unknown_word(&exec.parent_exe),
            parent_file: exec.parent_file.map(WrittenFile::from),
            parent_deleted: exec.parent_deleted,
            parent_memfd: exec.parent_memfd,
            parent_argv: exec.parent_argv.as_ref().map(Arguments::from),
            cgroup_id: exec.cgroup_id,
            cgroup: exec
                .cgroup
                .as_ref()
                .map(|cgroup| Text(cgroup.path.to_vec())),
            provenance: exec.provenance.as_deref().map(WrittenProvenance::from),
            namespaces: (exec.namespaces != Namespaces::default()).then(|| exec.namespaces.into()),
            stdout_null: exec.stdout_null,
            stderr_null: exec.stderr_null,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A guid that is no UUID, as other sensors write them, becomes one by its text.
pub(crate) fn named_guid(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::nil(), text.as_bytes()))
}

/// Seconds as a decimal number, kept as nanoseconds: a binary fraction could not hold them.
struct Seconds(u64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        RawValue::from_string(text)
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        nanoseconds(text).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            de::Error::custom(format!(
                "{shown:?} is no time, expected seconds as a decimal number, not negative"
            ))
        })
    }
}

/// Digits after the ninth decimal are dropped.
fn nanoseconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain([b'0'; 9]).take(9);
    let part = digits.fold(0, |part, digit| part * 10 + u64::from(digit - b'0'));
    let seconds: u64 = whole.parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::exec::{ExePath, Unknown};

    const MINIMAL: &str = r#"{"time": 1795488043.803, "pid": 3486, "ppid": 3485, "uid": 0,
        "exe": "/usr/bin/dash", "argv": ["sh", "-c", "true"], "parent_exe": null, "later": [1]}"#;

    #[test]
    fn the_least_line_is_enough_and_unknown_fields_are_ignored() {
        let exec = parse_line(MINIMAL.as_bytes()).unwrap();
        assert_eq!(exec.time.wall_ns, 1_795_488_043_803_000_000);
        assert_eq!(exec.time.boot_ns, exec.time.wall_ns);
        assert_eq!(exec.exe.basename(), Some(b"dash".as_slice()));
        assert_eq!(exec.parent_exe, ExePath::Unknown(Unknown::NotRecorded));
        assert_eq!(&*exec.argv.bytes, b"sh\0-c\0true\0");
        assert_eq!(exec.user, None);
    }

    #[test]
    fn a_line_of_another_kind_is_no_exec() {
        let tagged = |kind: &str| MINIMAL.replacen('{', &format!("{{\"kind\": {kind}, "), 1);
        for kind in ["\"failed_exec\"", "\"later\"", "\"ex\\u0065cs\""] {
            assert_eq!(read_line(tagged(kind).as_bytes()).unwrap(), None, "{kind}");
        }
        assert_eq!(read_line(br#"{"kind": "later", "x": {}}"#).unwrap(), None);
        let exec = parse_line(MINIMAL.as_bytes()).unwrap();
        for line in [MINIMAL, &tagged("\"exec\""), &tagged("null"), &tagged("7")] {
            assert_eq!(read_line(line.as_bytes()).unwrap().as_ref(), Some(&exec));
        }
        assert!(read_line(b"{").is_err());
    }

    #[test]
    fn a_bad_line_says_what_was_expected() {
        for (from, to, message) in [
            ("3486", "-1", "invalid value: integer `-1`, expected u32"),
            (
                "1795488043.803",
                "-5",
                "\"-5\" is no time, expected seconds as a decimal number",
            ),
            (
                "1795488043.803",
                "\"now\"",
                r#""\"now\"" is no time, expected seconds"#,
            ),
            (
                "1795488043.803",
                "\"\u{202e}x\"",
                r#""\"\u{202e}x\"" is no time"#,
            ),
            ("\"uid\": 0,", "", "missing field `uid`"),
            ("\"true\"", "7", "expected a string or {\"base64\": \"…\"}"),
            ("\"true\"", "{\"base64\": \"*\"}", "Invalid symbol"),
            (
                "\"true\"",
                "\"a\\u0000b\"",
                "a NUL byte in an argument or a path",
            ),
        ] {
            let line = MINIMAL.replace(from, to);
            let error = parse_line(line.as_bytes())
                .map(|_| ())
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error:?} lacks {message:?}");
        }
    }

    #[test]
    fn seconds_keep_their_nanoseconds() {
        for (text, expect) in [
            ("1", Some(1_000_000_000)),
            ("1.5", Some(1_500_000_000)),
            ("1795488043.803000001", Some(1_795_488_043_803_000_001)),
            ("0.0000000019", Some(1)),
            ("1e3", None),
            ("1.5e3", None),
            ("-1", None),
            ("true", None),
            ("99999999999999999999", None),
            ("18446744073", Some(18_446_744_073_000_000_000)),
            ("18446744074", None),
        ] {
            assert_eq!(nanoseconds(text), expect, "{text}");
        }
    }

    fn argument() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1..=255u8, 0..12)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            wall_ns in 0..4_000_000_000_000_000_000u64,
            argv in proptest::collection::vec(argument(), 0..5),
            exe in argument(),
            cut in 0..100u64,
            start_ns: u64,
        ) {
            let mut exec = parse_line(MINIMAL.as_bytes()).unwrap();
            exec.time = Time { boot_ns: wall_ns, wall_ns };
            exec.process.start_ns = start_ns;
            exec.argv = Argv::from_arguments(argv.iter().map(Vec::as_slice));
            exec.argv.bytes_full += cut;
            exec.exe = ExePath::Known(exe.into());
            exec.parent_exe = ExePath::Unknown(Unknown::Changed);
            exec.user = Some("root".into());
            exec.exe_deleted = true;
            exec.tty = Tty::Device(136 << 20 | 3);
            exec.guid = ExecGuid::Given(exec.guid());
            let line = write_line(&exec).unwrap();
            prop_assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            prop_assert_eq!(parse_line(&line).unwrap(), exec);
        }
    }
}
