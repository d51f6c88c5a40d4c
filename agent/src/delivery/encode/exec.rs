//! One exec of an alert: which file ran, as whom, where, with which command line.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::pipeline::alert::Evidence;
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{ArgvSource, FileId, FileStat, Namespace, Namespaces, Time};
use crate::pipeline::tty::Tty;

use super::budget::Budget;
use super::text::Text;
use super::{Hash, Moment, Shown, TextCut, executable, executable_unknown, text_cut};

#[derive(Serialize)]
pub(super) struct ExecLine<'a> {
    time: Moment,
    guid: Shown<Uuid>,
    pid: u32,
    start_ns: u64,
    executable: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable_unknown: Option<&'static str>,
    deleted: bool,
    memfd: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<Text<'a>>,
    file: Option<FileLine<'a>>,
    uid: Option<u32>,
    euid: Option<u32>,
    login_uid: Option<u32>,
    session_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<Shown<Tty>>,
    cap_effective: Option<Capabilities>,
    cgroup: Option<CgroupLine<'a>>,
    namespaces: Option<NamespacesLine>,
    stdout_null: bool,
    stderr_null: bool,
    command_line: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line_cut: Option<TextCut<'a>>,
    argv_source: &'static str,
    argv_bytes_lost: u64,
    port: Option<Text<'a>>,
}

/// Which file the executable is, and whose.
#[derive(Serialize)]
struct FileLine<'a> {
    inode: u64,
    device: Shown<Device>,
    #[serde(flatten)]
    stat: Option<StatLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Hash<'a>>,
}

#[derive(Serialize)]
struct StatLine {
    uid: u32,
    gid: u32,
    /// Octal, type included, as `stat(2)` has it.
    mode: String,
    links: u32,
    changed: Moment,
    overlay_upper: bool,
}

#[derive(Serialize)]
pub(super) struct CgroupLine<'a> {
    id: u64,
    path: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Text<'a>>,
}

#[derive(Serialize)]
struct ContainerLine<'a> {
    runtime: &'static str,
    id: Text<'a>,
}

#[derive(Serialize)]
struct NamespacesLine {
    mount: NamespaceLine,
    pid: NamespaceLine,
    net: NamespaceLine,
    user: NamespaceLine,
}

#[derive(Serialize)]
struct NamespaceLine {
    inum: u32,
    host: Option<bool>,
}

pub(super) fn exec_line(exec: &Evidence, budget: Budget) -> ExecLine<'_> {
    let Evidence {
        time,
        guid,
        process,
        exe,
        exe_file,
        exe_stat,
        exe_sha256,
        exe_deleted,
        exe_memfd,
        script,
        user: _,
        uid,
        euid,
        login_uid,
        session_id,
        tty,
        cap_effective,
        cgroup_id,
        cgroup,
        namespaces,
        stdout_null,
        stderr_null,
        process_text,
        argv_bytes_lost,
        argv_source,
        port,
    } = exec;
    let command_line = Text::excerpt(process_text).within(budget.text_bytes);
    ExecLine {
        time: Moment(*time),
        guid: Shown(*guid),
        pid: process.tgid,
        start_ns: process.start_ns,
        executable: executable(exe, budget),
        executable_unknown: executable_unknown(exe),
        deleted: *exe_deleted,
        memfd: *exe_memfd,
        script: script
            .as_ref()
            .map(|script| Text::whole(script).within(budget.field_bytes)),
        file: file_line(*exe_file, *exe_stat, exe_sha256.as_ref()),
        uid: *uid,
        euid: *euid,
        login_uid: *login_uid,
        session_id: *session_id,
        tty: (*tty != Tty::Unknown).then_some(Shown(*tty)),
        cap_effective: cap_effective.map(Capabilities),
        cgroup: (*cgroup_id != 0).then(|| cgroup_line(*cgroup_id, cgroup.as_deref(), budget)),
        namespaces: (*namespaces != Namespaces::default()).then(|| namespaces_line(*namespaces)),
        stdout_null: *stdout_null,
        stderr_null: *stderr_null,
        command_line_cut: text_cut(&command_line, Hash::of(process_text)),
        command_line,
        argv_source: argv_source_word(*argv_source),
        argv_bytes_lost: *argv_bytes_lost,
        port: port
            .as_ref()
            .map(|port| Text::whole(port.as_bytes()).within(budget.field_bytes)),
    }
}

fn file_line(
    file: Option<FileId>,
    stat: Option<FileStat>,
    sha256: Option<&[u8; 32]>,
) -> Option<FileLine<'_>> {
    let FileId { inode, device } = file?;
    Some(FileLine {
        inode,
        device: Shown(Device(device)),
        stat: stat.map(|stat| StatLine {
            uid: stat.uid,
            gid: stat.gid,
            mode: format!("{:o}", stat.mode),
            links: stat.links,
            changed: Moment(Time {
                wall_ns: stat.change_ns,
                ..Time::default()
            }),
            overlay_upper: stat.overlay_upper,
        }),
        sha256: sha256.map(Hash::Known),
    })
}

pub(super) fn cgroup_line(id: u64, cgroup: Option<&Cgroup>, budget: Budget) -> CgroupLine<'_> {
    let text = |bytes| Text::whole(bytes).within(budget.field_bytes);
    CgroupLine {
        id,
        path: cgroup.map(|cgroup| text(&cgroup.path)),
        container: cgroup.and_then(|cgroup| {
            let container = cgroup.container.as_ref()?;
            Some(ContainerLine {
                runtime: container.runtime.as_str(),
                id: text(container.id.as_bytes()),
            })
        }),
        unit: cgroup.and_then(|cgroup| Some(text(cgroup.unit.as_ref()?.as_bytes()))),
    }
}

fn namespaces_line(namespaces: Namespaces) -> NamespacesLine {
    let line = |Namespace { inum, is_host }| NamespaceLine {
        inum,
        host: is_host,
    };
    NamespacesLine {
        mount: line(namespaces.mount),
        pid: line(namespaces.pid),
        net: line(namespaces.net),
        user: line(namespaces.user),
    }
}

fn argv_source_word(source: ArgvSource) -> &'static str {
    match source {
        ArgvSource::Kernel => "kernel",
        ArgvSource::Procfs => "procfs",
        ArgvSource::Recording => "recording",
        ArgvSource::Unread => "unread",
    }
}

/// A device as `major:minor` (`include/linux/kdev_t.h`).
struct Device(u32);

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.0 >> 20, self.0 & 0xf_ffff)
    }
}

/// A set of capabilities as `/proc/PID/status` shows it: 16 hexadecimal digits.
struct Capabilities(u64);

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}
