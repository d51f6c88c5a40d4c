//! `/proc` as real processes show it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use wallwatch::host::procfs::Procfs;
use wallwatch::pipeline::exec::ExePath;

use crate::harness::{patience, stub_in};

#[test]
fn a_process_without_a_leader_still_has_an_executable_and_a_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let stub = stub_in(folder.path(), "leaderless");
    let mut child = Command::new(&stub)
        .arg("leaderless")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let tgid = child.id();
    let link = format!("/proc/{tgid}/exe");
    let pause = Duration::from_millis(1);
    let leader_is_gone = (0..patience().as_millis()).any(|_| {
        thread::sleep(pause);
        fs::read_link(&link).is_err()
    });
    let procfs = Procfs::new("/proc");
    let (exe, argv) = (procfs.exe(tgid), procfs.argv(tgid));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(leader_is_gone);
    assert_eq!(exe, ExePath::Known(stub.as_os_str().as_bytes().into()));
    assert_eq!(argv.arguments().nth(1), Some(&b"leaderless"[..]));
}
