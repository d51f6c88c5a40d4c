//! The files from which a firewall is loaded, edited by real programs under a root that ends with the test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Agent, host_program, in_guest, in_namespaces};
use crate::kernel::can_run;

/// A host's files: the real `/proc`, and an `/etc` of its own with one rules file.
fn root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    symlink("/proc", root.path().join("proc")).unwrap();
    for folder in ["etc/ufw", "etc/default", "etc/firewalld/zones"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    fs::write(root.path().join("etc/ufw/user.rules"), "*filter\n").unwrap();
    root
}

/// `CAP_SYS_ADMIN`, without which fanotify tells no processes.
const CAP_SYS_ADMIN: u32 = 21;

/// Whether the agent names who edits. Guests of old kernels have a file system in memory of which their fanotify
/// knows nothing (`tmpfs` has it since Linux 5.13).
fn names(agent: &mut Agent) -> bool {
    let names = !agent.log_text().contains("is watched by inotify");
    assert!(names || in_guest(), "{}", agent.log_text());
    if !names {
        eprintln!("no fanotify here: whether the editor is named was not checked");
    }
    names
}

/// Runs a program in `folder` to its end, and gives its pid.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> u32 {
    let mut child = host_program(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("start {program}: {error}"));
    let status = child.wait().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
    child.id()
}

/// The file that runs when `program` is called.
fn executable(program: &str) -> PathBuf {
    let path = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
    let found = path.iter().find_map(|path| fs::canonicalize(path).ok());
    found.unwrap_or_else(|| panic!("no {program} (this test needs coreutils, sed and bash)"))
}

fn is_edit(edit: &Value, what: &str, path: &str, pid: Option<u32>) -> bool {
    let is_by = match pid {
        Some(pid) => edit["pid"] == pid,
        None => edit["pid"].is_null(),
    };
    edit["what"] == what && edit["path"] == path && is_by
}

/// Waits for the finding that shows the edit, and gives both.
fn wait_for(agent: &mut Agent, what: &str, path: &str, pid: Option<u32>) -> (Value, Value) {
    eprintln!("waiting for {path} {what} by {pid:?}");
    let edit_of = |event: &Value| {
        let edits = event["edits"].as_array()?;
        let mut fits = edits.iter().filter(|edit| is_edit(edit, what, path, pid));
        fits.next().cloned()
    };
    let finding = agent.wait_for_event(|event| {
        event["kind"] == "finding"
            && event["finding"] == "config-edited"
            && edit_of(event).is_some()
    });
    let edit = edit_of(&finding).unwrap();
    (finding, edit)
}

/// A program, its arguments, and the edit that is told of it.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

const CASES: &[Case] = &[
    (
        "bash",
        &["-c", "echo '-A INPUT -j ACCEPT' >> etc/ufw/user.rules"],
        "written",
        "/etc/ufw/user.rules",
    ),
    (
        "sed",
        &["-i", "s/filter/nat/", "etc/ufw/user.rules"],
        "renamed",
        "/etc/ufw/user.rules",
    ),
    (
        "cp",
        &["etc/ufw/user.rules", "etc/default/ufw"],
        "created",
        "/etc/default/ufw",
    ),
    (
        "tee",
        &["etc/nftables.conf"],
        "created",
        "/etc/nftables.conf",
    ),
    (
        "mv",
        &["etc/nftables.conf", "etc/sysctl.conf"],
        "renamed",
        "/etc/sysctl.conf",
    ),
    (
        "rm",
        &["etc/ufw/user.rules"],
        "removed",
        "/etc/ufw/user.rules",
    ),
    ("mkdir", &["-p", "etc/iptables"], "created", "/etc/iptables"),
    (
        "tee",
        &["etc/iptables/rules.v4"],
        "created",
        "/etc/iptables/rules.v4",
    ),
];

#[test]
fn whoever_edits_the_configuration_is_named() {
    if !can_run("whoever_edits_the_configuration_is_named") {
        return;
    }
    let root = root();
    let mut agent = Agent::run_on(root.path(), None);
    let names = names(&mut agent);
    for (number, (program, arguments, what, path)) in CASES.iter().enumerate() {
        let pid = run(root.path(), program, arguments);
        let (finding, edit) = wait_for(&mut agent, what, path, names.then_some(pid));
        assert_eq!(finding["mitre_technique_id"][0], "T1686");
        if !names {
            continue;
        }
        let exe = executable(program);
        assert_eq!(edit["executable"].as_str(), exe.to_str(), "{edit}");
        // What one lineage does is one finding, and the lineage that of the first.
        if number == 0 {
            assert_eq!(finding["lineage"][0]["pid"], pid);
            assert_eq!(finding["lineage"][0]["executable"].as_str(), exe.to_str());
            assert_eq!(finding["lineage"][1]["pid"], std::process::id());
        }
    }
    agent.stop();
}

#[test]
fn who_only_reads_the_configuration_is_silent() {
    if !can_run("who_only_reads_the_configuration_is_silent") {
        return;
    }
    let root = root();
    let mut agent = Agent::run_on(root.path(), None);
    run(root.path(), "cat", &["etc/ufw/user.rules"]);
    run(root.path(), "grep", &["-r", "filter", "etc"]);
    run(root.path(), "cp", &["etc/ufw/user.rules", "etc/other"]);
    // When this one is told, what came before it has been, too.
    let last = run(root.path(), "tee", &["etc/default/ufw"]);
    let pid = names(&mut agent).then_some(last);
    wait_for(&mut agent, "written", "/etc/default/ufw", pid);
    let findings = agent
        .events()
        .into_iter()
        .filter(|event| event["kind"] == "finding");
    for finding in findings {
        for edit in finding["edits"].as_array().unwrap() {
            assert_eq!(edit["path"], "/etc/default/ufw", "{edit}");
        }
    }
}

#[test]
fn without_fanotify_the_edit_is_told_and_not_by_whom() {
    if !can_run("without_fanotify_the_edit_is_told_and_not_by_whom") {
        return;
    }
    let root = root();
    let mut agent = Agent::run_on(root.path(), Some(CAP_SYS_ADMIN));
    assert!(agent.log_text().contains("by inotify"));
    run(root.path(), "tee", &["etc/ufw/user.rules"]);
    let (finding, edit) = wait_for(&mut agent, "written", "/etc/ufw/user.rules", None);
    assert!(edit["executable"].is_null());
    let reasons = finding["reasons"].to_string();
    assert!(reasons.contains("actor-unknown"), "{reasons}");
}

#[test]
fn ufw_keeps_its_own_files_and_is_quiet() {
    if !can_run("ufw_keeps_its_own_files_and_is_quiet") {
        return;
    }
    if in_guest() {
        eprintln!("SKIPPED ufw_keeps_its_own_files_and_is_quiet: guests have no ufw");
        return;
    }
    let root = root();
    // The agent watches the folder that ufw, in namespaces of its own, has in the place of `/etc/ufw`.
    let script = "cp -a /etc/ufw/. \"$1/etc/ufw\"";
    in_namespaces(script, &[root.path().as_os_str()]);
    let mut agent = Agent::run_on(root.path(), None);
    in_namespaces(
        "mount --bind \"$1/etc/ufw\" /etc/ufw; mount -t tmpfs none /run; ufw allow 4444/tcp",
        &[root.path().as_os_str()],
    );
    let finding = agent.wait_for_event(|event| {
        event["finding"] == "config-edited"
            && event["edits"].to_string().contains("/etc/ufw/user.rules")
    });
    let reasons = finding["reasons"].to_string();
    assert!(reasons.contains("known-manager"), "{finding}");
    // What it was asked for is weighed without that.
    let opened = agent.wait_for_event(|event| event["finding"] == "accept-opened");
    let reasons = opened["reasons"].to_string();
    assert!(!reasons.contains("known-manager"), "{opened}");
    let risk = |finding: &Value| finding["risk_score"].as_u64();
    assert!(risk(&finding) < risk(&opened), "{finding} {opened}");
}
