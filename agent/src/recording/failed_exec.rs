//! The line of an exec that failed: `kind` is `failed_exec`, and the other fields are named as those of an
//! exec are. A replay passes over it.

use nix::errno::Errno;
use serde::Serialize;

use super::{Seconds, Text, is_default};
use crate::pipeline::exec::ArgvSource;
use crate::pipeline::failed_exec::FailedExec;

/// Writes one line, with its line feed.
pub fn write_failed_line(failed: &FailedExec) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&WrittenFailure::from(failed))?;
    line.push(b'\n');
    Ok(line)
}

#[derive(Serialize)]
struct WrittenFailure<'a> {
    kind: &'static str,
    time: Seconds,
    /// As the kernel names it; none when it has a number and no name.
    error: Option<String>,
    errno: u32,
    pid: u32,
    tid: u32,
    start_time: Seconds,
    ppid: u32,
    parent_start_time: Seconds,
    uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    comm: Text,
    /// As given; null when it could not be read.
    filename: Option<Text>,
    argv: Vec<Text>,
    /// There was more than `argv` has.
    #[serde(skip_serializing_if = "is_default")]
    argv_cut: bool,
    /// An argument could not be read; `argv` has those before it.
    #[serde(skip_serializing_if = "is_default")]
    argv_unread: bool,
    #[serde(skip_serializing_if = "is_default")]
    cgroup_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<Text>,
}

impl<'a> From<&'a FailedExec> for WrittenFailure<'a> {
    fn from(failed: &'a FailedExec) -> Self {
        let FailedExec {
            time,
            process,
            tid,
            parent,
            uid,
            login_uid,
            session_id,
            user,
            dest,
            host_id,
            error,
            comm,
            filename,
            argv,
            argv_cut,
            cgroup_id,
            cgroup,
        } = failed;
        let text = |bytes: &[u8]| Text(bytes.to_vec());
        Self {
            kind: "failed_exec",
            time: Seconds(time.wall_ns),
            error: error_name(*error),
            errno: *error,
            pid: process.tgid,
            tid: *tid,
            start_time: Seconds(process.start_ns),
            ppid: parent.tgid,
            parent_start_time: Seconds(parent.start_ns),
            uid: *uid,
            login_uid: *login_uid,
            session_id: *session_id,
            user: user.as_deref(),
            host: dest.as_deref(),
            host_id: host_id.as_deref(),
            comm: text(comm),
            filename: filename.as_deref().map(text),
            argv: argv.arguments().map(text).collect(),
            argv_cut: *argv_cut,
            argv_unread: argv.source == ArgvSource::Unread,
            cgroup_id: *cgroup_id,
            cgroup: cgroup.as_ref().map(|cgroup| text(&cgroup.path)),
        }
    }
}

fn error_name(error: u32) -> Option<String> {
    let errno = Errno::from_raw(i32::try_from(error).ok()?);
    (errno != Errno::UnknownErrno).then(|| format!("{errno:?}"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::pipeline::exec::{Argv, ProcessKey, Time};
    use crate::recording::read_line;

    fn failed() -> FailedExec {
        FailedExec {
            time: Time {
                boot_ns: 0,
                wall_ns: 1_795_488_043_803_000_001,
            },
            process: ProcessKey {
                tgid: 41,
                start_ns: 12_500_000_000,
            },
            tid: 42,
            parent: ProcessKey {
                tgid: 40,
                start_ns: 0,
            },
            uid: 1000,
            login_uid: Some(1000),
            session_id: None,
            user: None,
            dest: Some("gateway".into()),
            host_id: None,
            error: 2,
            comm: b"sh".as_slice().into(),
            filename: Some(b"/sbin/iptables".as_slice().into()),
            argv: Argv::from_arguments([b"iptables".as_slice(), b"-L\xff"]),
            argv_cut: false,
            cgroup_id: 0,
            cgroup: None,
        }
    }

    fn line_of(failed: &FailedExec) -> String {
        String::from_utf8(write_failed_line(failed).unwrap()).unwrap()
    }

    #[test]
    fn a_line_says_who_looked_for_what_and_what_came_of_it() {
        expect![[r#"
            {"kind":"failed_exec","time":1795488043.803000001,"error":"ENOENT","errno":2,"pid":41,"tid":42,"start_time":12.500000000,"ppid":40,"parent_start_time":0.000000000,"uid":1000,"login_uid":1000,"host":"gateway","comm":"sh","filename":"/sbin/iptables","argv":["iptables",{"base64":"LUz/"}]}
        "#]]
        .assert_eq(&line_of(&failed()));
    }

    #[test]
    fn what_was_not_read_or_cut_is_said() {
        let mut failed = failed();
        failed.error = 4095;
        failed.filename = None;
        failed.argv = Argv {
            source: ArgvSource::Unread,
            ..Argv::from_arguments([])
        };
        failed.argv_cut = true;
        let line = line_of(&failed);
        assert!(line.contains(r#""error":null,"errno":4095,"#), "{line}");
        assert!(
            line.contains(r#""filename":null,"argv":[],"argv_cut":true,"argv_unread":true}"#),
            "{line}"
        );
    }

    #[test]
    fn a_replay_takes_it_for_no_exec() {
        assert!(read_line(line_of(&failed()).as_bytes()).unwrap().is_none());
    }
}
