//! Execs that fail, which are watched only where the operator asks for it.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::can_run;
use crate::harness::Agent;

const ON: &str = "[sensor]\nfailed_execs = true\n";
const NOBODY: u32 = 65534;

fn failed_execs(recording: &[Value]) -> Vec<&Value> {
    let is_failed = |line: &&Value| line["kind"] == "failed_exec";
    recording.iter().filter(is_failed).collect()
}

fn of<'a>(recording: &'a [Value], path: &Path) -> &'a Value {
    let all = failed_execs(recording);
    let mut found = all
        .iter()
        .filter(|line| line["filename"].as_str() == path.to_str());
    let first = found.next();
    assert!(found.next().is_none(), "{} is there once", path.display());
    first.unwrap_or_else(|| panic!("{} is not in {all:#?}", path.display()))
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_tried_in_vain_is_recorded_with_its_error() {
    if !can_run("what_was_tried_in_vain_is_recorded_with_its_error") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let [missing, secret, script, at] =
        ["no-iptables", "secret", "script", "at"].map(|name| folder.path().join(name));
    write(&secret, "", 0o700);
    write(&script, "#!/no/such/interpreter\n", 0o755);

    let recording = Agent::start_with_tracing("record", ON, true);
    assert_eq!(recording.tracepoint_programs(), 2);
    Command::new(&missing)
        .args(["-I", "two words", "", "last"])
        .spawn()
        .unwrap_err();
    Command::new(&secret).uid(NOBODY).spawn().unwrap_err();
    Command::new(&script).spawn().unwrap_err();
    run_at(&at);
    let stopped = recording.stop();

    let recording = &stopped.recording;
    let line = of(recording, &missing);
    assert_eq!(
        (&line["error"], &line["errno"]),
        (&json!("ENOENT"), &json!(2))
    );
    assert_eq!(
        line["argv"],
        json!([missing.to_str().unwrap(), "-I", "two words", "", "last"])
    );
    assert_eq!((&line["uid"], &line["user"]), (&json!(0), &json!("root")));
    // The child had yet to become another program.
    assert_eq!(line["ppid"], std::process::id());
    assert_ne!(line["pid"], line["ppid"]);
    assert_eq!(line["tid"], line["pid"]);
    let started = line["start_time"].as_f64().unwrap();
    assert!(line["parent_start_time"].as_f64().unwrap() < started);
    for cut in ["argv_cut", "argv_unread"] {
        assert_eq!(line[cut], Value::Null);
    }

    let line = of(recording, &secret);
    assert_eq!(
        (&line["error"], &line["uid"]),
        (&json!("EACCES"), &json!(NOBODY))
    );
    assert_eq!(line["argv"], json!([secret.to_str().unwrap()]));
    // The kernel does not say that it is the interpreter which is missing.
    assert_eq!(of(recording, &script)["error"], "ENOENT");
    let line = of(recording, &at);
    assert_eq!(
        (&line["error"], &line["argv"]),
        (&json!("ENOENT"), &json!(["at", "x"]))
    );

    let failed = failed_execs(recording).len() as u64;
    assert_eq!(stopped.number("failed_execs"), failed);
    assert_eq!(stopped.number("failed_execs_lost"), 0);
}

/// Tries `path` by `execveat(2)`, in a process that then becomes another program.
fn run_at(path: &Path) {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let mut command = Command::new("/bin/true");
    // Constants of this program need not be in the child's memory; what its parent has written is.
    let arguments = ["at", "x"].map(|text| CString::new(text).unwrap());
    let attempt = move || {
        let [name, argument] = &arguments;
        let argv = [name.as_ptr(), argument.as_ptr(), std::ptr::null()];
        let environment = [std::ptr::null::<libc::c_char>()];
        // SAFETY: the strings and both arrays, which end in null, outlive the call.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                libc::AT_FDCWD,
                path.as_ptr(),
                argv.as_ptr(),
                environment.as_ptr(),
                0,
            )
        };
        Ok(())
    };
    // SAFETY: the closure makes a system call and allocates nothing.
    unsafe { command.pre_exec(attempt) };
    assert!(command.status().unwrap().success());
}

#[test]
fn more_arguments_than_a_record_carries_are_cut_and_said_to_be() {
    if !can_run("more_arguments_than_a_record_carries_are_cut_and_said_to_be") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [many, long, whole] = ["many", "long", "whole"].map(|name| folder.path().join(name));
    let recording = Agent::start_with_tracing("record", ON, true);
    let attempt = |path: &Path, arguments: Vec<String>| {
        Command::new(path)
            .arg0("0")
            .args(arguments)
            .spawn()
            .unwrap_err();
    };
    attempt(&many, vec!["a".to_owned(); 64]);
    attempt(&long, vec!["b".repeat(3000); 2]);
    // 4096 bytes in 64 arguments, NULs included.
    attempt(
        &whole,
        vec!["c".repeat(63); 62]
            .into_iter()
            .chain(["d".repeat(125)])
            .collect(),
    );
    let stopped = recording.stop();

    let arguments = |path: &Path| {
        of(&stopped.recording, path)["argv"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(arguments(&many).len(), 64);
    assert_eq!(of(&stopped.recording, &many)["argv_cut"], true);
    let lengths: Vec<_> = arguments(&long)
        .iter()
        .map(|text| text.as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [1, 3000, 4096 - 2 - 3001]);
    assert_eq!(of(&stopped.recording, &long)["argv_cut"], true);
    assert_eq!(arguments(&whole).len(), 64);
    assert_eq!(of(&stopped.recording, &whole)["argv_cut"], Value::Null);
}

#[test]
fn heartbeats_count_them_and_the_price_is_told() {
    if !can_run("heartbeats_count_them_and_the_price_is_told") {
        return;
    }
    let agent = Agent::start_with_tracing("run", ON, true);
    for _ in 0..5 {
        Command::new("/no/such/tool").spawn().unwrap_err();
    }
    let stopped = agent.stop();
    let last = stopped.heartbeats.last().unwrap();
    let sensor = &last["sensor"];
    assert!(sensor["failed_execs"].as_u64().unwrap() >= 5, "{last}");
    assert_eq!(sensor["failed_execs_lost"], 0);
    let seen = stopped.number("failed_execs_seen");
    assert_eq!(seen, stopped.number("failed_execs_received"));
    assert!(stopped.log.contains("ns longer"), "{}", stopped.log);
    assert!(!stopped.log.contains("/no/such/tool"), "{}", stopped.log);
}

#[test]
fn nothing_of_it_is_there_when_it_is_off() {
    if !can_run("nothing_of_it_is_there_when_it_is_off") {
        return;
    }
    let recording = Agent::start_with_tracing("record", "", true);
    assert_eq!(recording.tracepoint_programs(), 0);
    Command::new("/no/such/tool").spawn().unwrap_err();
    assert!(Command::new("/bin/true").status().unwrap().success());
    let stopped = recording.stop();
    assert!(!stopped.recording.is_empty(), "execs are recorded");
    assert!(failed_execs(&stopped.recording).is_empty());
    assert!(!stopped.log.contains("ns longer"), "{}", stopped.log);
}

#[test]
fn without_the_tracepoints_the_sensor_works_and_says_what_it_lacks() {
    if !can_run("without_the_tracepoints_the_sensor_works_and_says_what_it_lacks") {
        return;
    }
    let agent = Agent::start_with_tracing("run", ON, false);
    assert!(Command::new("/bin/true").status().unwrap().success());
    let stopped = agent.stop();
    assert!(
        stopped.log.contains("failed execs are not all watched"),
        "{}",
        stopped.log
    );
    assert!(!stopped.log.contains("ns longer"), "{}", stopped.log);
    let last = stopped.heartbeats.last().unwrap();
    assert_eq!(last["sensor"]["failed_execs"], Value::Null);
    assert!(last["sensor"]["execs_received"].as_u64().unwrap() > 0);
}
