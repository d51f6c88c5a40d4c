//! What the readers share: an exec of which little is told, and how words of other logs are taken.

use std::sync::Arc;

use uuid::Uuid;

use crate::pipeline::exec::{
    Argv, ArgvSource, ExePath, Exec, ExecGuid, Namespaces, ProcessKey, Time, Unknown,
};
use crate::pipeline::tty::Tty;
use crate::recording::named_guid;

/// What a path ends in when the kernel's `d_path` (`fs/d_path.c`) shows a file that has been removed.
const DELETED: &[u8] = b" (deleted)";

/// How the kernel names a file of `memfd_create(2)`.
const MEMFD: &[u8] = b"/memfd:";

/// An exec of `process` of which all else is unknown. `wall_ns` is in nanoseconds since 1970 UTC.
pub(super) fn bare(wall_ns: u64, pid: u32, ppid: u32) -> Exec {
    let key = |tgid| ProcessKey { tgid, start_ns: 0 };
    Exec {
        time: Time {
            boot_ns: wall_ns,
            wall_ns,
        },
        guid: ExecGuid::OfBoot(Uuid::nil()),
        process: key(pid),
        tid: pid,
        parent: key(ppid),
        uid: None,
        gid: None,
        euid: None,
        login_uid: None,
        session_id: None,
        tty: Tty::Unknown,
        cap_effective: None,
        user: None,
        dest: None,
        host_id: None,
        comm: Box::default(),
        filename: Box::default(),
        interp: None,
        exe: ExePath::Unknown(Unknown::NotRecorded),
        exe_file: None,
        exe_stat: None,
        exe_deleted: false,
        exe_memfd: false,
        argv: unread(),
        parent_exe: ExePath::Unknown(Unknown::NotRecorded),
        parent_file: None,
        parent_deleted: false,
        parent_memfd: false,
        parent_argv: None,
        cgroup_id: 0,
        cgroup: None,
        provenance: None,
        namespaces: Namespaces::default(),
        stdout_null: false,
        stderr_null: false,
    }
}

/// A command line that the log does not tell.
pub(super) fn unread() -> Argv {
    Argv {
        source: ArgvSource::Unread,
        ..Argv::from_arguments([])
    }
}

/// A command line that is one text, of which the arguments are those between single spaces: joined again they
/// give the text, byte for byte. An argument with a space in it comes apart.
pub(super) fn split(text: &[u8]) -> Result<Argv, String> {
    without_nul(text)?;
    Ok(Argv::from_arguments(text.split(|&byte| byte == b' ')))
}

/// A NUL ends an argument or a path; no log can have one inside.
pub(super) fn without_nul(bytes: &[u8]) -> Result<(), String> {
    if bytes.contains(&0) {
        return Err("a NUL byte in an argument or a path".to_owned());
    }
    Ok(())
}

/// Marks `argv` as cut when `count` says that there were more arguments. Of those that lack each had a NUL at
/// least.
pub(super) fn mark_cut(argv: &mut Argv, n_told: u64, count: Option<u64>) {
    let lacking = count.unwrap_or(0).saturating_sub(n_told);
    argv.bytes_full = argv.bytes_full.saturating_add(lacking);
}

/// An executable as `d_path` shows it.
pub(super) struct Executable {
    pub(super) path: ExePath,
    pub(super) deleted: bool,
    pub(super) memfd: bool,
}

/// Takes the mark of a removed file from a path. Unknown when it is empty.
pub(super) fn executable(path: &[u8]) -> Executable {
    let deleted = path.ends_with(DELETED);
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    Executable {
        path: if path.is_empty() {
            ExePath::Unknown(Unknown::NotRecorded)
        } else {
            ExePath::Known(path.into())
        },
        deleted,
        memfd: path.starts_with(MEMFD),
    }
}

pub(super) fn set_executable(exec: &mut Exec, path: &[u8]) {
    let it = executable(path);
    (exec.exe, exec.exe_deleted, exec.exe_memfd) = (it.path, it.deleted, it.memfd);
}

pub(super) fn set_parent(exec: &mut Exec, path: &[u8]) {
    let it = executable(path);
    (exec.parent_exe, exec.parent_deleted, exec.parent_memfd) = (it.path, it.deleted, it.memfd);
}

/// An id of user, group or session; what the kernel calls unset (`(uid_t) -1`) is none.
pub(super) fn set_id(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// The user's name and id, of which one may have to stand for both: 0 is `root` on every Linux.
pub(super) fn set_user(exec: &mut Exec, name: Option<&str>, uid: Option<u32>) {
    const ROOT: (u32, &str) = (0, "root");
    exec.uid = uid.or((name == Some(ROOT.1)).then_some(ROOT.0));
    let name = name.or((uid == Some(ROOT.0)).then_some(ROOT.1));
    exec.user = name.map(Arc::from);
}

/// A guid as another sensor writes it; one of zeros is none.
pub(super) fn guid(text: &str) -> Option<ExecGuid> {
    let uuid = named_guid(text);
    (!uuid.is_nil()).then_some(ExecGuid::Given(uuid))
}

/// A terminal by its name: those of `Documentation/admin-guide/devices.txt` that somebody may sit at.
pub(super) fn tty(name: &str) -> Tty {
    let device = |major: u32, minor: u32| Tty::Device(major << 20 | minor);
    let number = |prefix, bound: u32| -> Option<u32> {
        let digits: &str = name.strip_prefix(prefix)?;
        digits.parse().ok().filter(|number| *number < bound)
    };
    if name == "(none)" {
        return Tty::None;
    }
    // Pseudo-terminals have eight major numbers from 136 on, each with 256 of them.
    let pts = number("pts/", 2048).or_else(|| number("pts", 2048));
    if let Some(pts) = pts {
        return device(136 + pts / 256, pts % 256);
    }
    if let Some(serial) = number("ttyS", 192) {
        return device(4, 64 + serial);
    }
    number("tty", 64).map_or(Tty::Unknown, |console| device(4, console))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminals_have_their_numbers() {
        for (name, expect) in [
            ("(none)", "none"),
            ("pts3", "136:3"),
            ("pts/259", "137:3"),
            ("tty1", "4:1"),
            ("ttyS0", "4:64"),
            ("pts2048", "unknown"),
            ("tty", "unknown"),
            ("console", "unknown"),
        ] {
            assert_eq!(tty(name).to_string(), expect, "{name}");
        }
    }

    #[test]
    fn the_mark_of_a_removed_file_is_no_part_of_its_path() {
        let it = executable(b"/tmp/x (deleted)");
        assert_eq!(it.path.known(), Some(b"/tmp/x".as_slice()));
        assert!(it.deleted && !it.memfd);
        let it = executable(b"/memfd:x (deleted)");
        assert!(it.deleted && it.memfd);
        assert_eq!(executable(b"").path, ExePath::Unknown(Unknown::NotRecorded));
    }

    #[test]
    fn root_and_its_id_stand_for_each_other_and_nobody_else_does() {
        for (name, uid, expect) in [
            (Some("root"), None, (Some("root"), Some(0))),
            (None, Some(0), (Some("root"), Some(0))),
            (Some("toor"), Some(0), (Some("toor"), Some(0))),
            (None, Some(1000), (None, Some(1000))),
            (Some("user"), None, (Some("user"), None)),
        ] {
            let mut exec = bare(0, 1, 1);
            set_user(&mut exec, name, uid);
            assert_eq!((exec.user.as_deref(), exec.uid), expect);
        }
    }

    proptest! {
        #[test]
        fn a_text_that_is_split_is_joined_to_the_same(text in proptest::collection::vec(1..=255u8, 0..60)) {
            let argv = split(&text).unwrap();
            let mut joined = Vec::new();
            argv.join_into(&mut joined);
            prop_assert_eq!(joined, text);
        }
    }
}
