//! Real execs through the real kernel programs. As root these tests run, or fail; for anybody else
//! they are skipped, aloud.

mod evasions;
mod flood;
mod state;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Agent, in_guest, in_namespaces, is_of, stub_in};
use crate::tiny_elf;

mod doctor;
mod failed;
mod netfilter;
mod notify;
mod tamper;

/// `false` for a user who cannot load programs into the kernel, which is said.
pub(crate) fn can_run(test: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED {test}: not root, so nothing about the kernel programs was checked");
    }
    is_root
}

/// A folder whose path no exclusion covers, and the stub in it.
fn stub() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let stub = stub_in(folder.path(), "cpd");
    (folder, stub)
}

pub(crate) fn run_stub(stub: &Path, arguments: &[&str]) {
    let mut all = vec![stub.as_os_str()];
    all.extend(arguments.iter().map(OsStr::new));
    in_namespaces("\"$@\"", &all);
}

/// Puts another program in the place of `/bin/sh`, for one namespace.
const WITH_SHELL: &str =
    "mount --bind \"$(realpath \"$1\")\" \"$(realpath /bin/sh)\"; shift; \"$@\"";

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_str().unwrap())
        .collect()
}

#[test]
fn the_cyclops_blink_sequence_alerts_with_its_evidence() {
    if !can_run("the_cyclops_blink_sequence_alerts_with_its_evidence") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    run_stub(&stub, &["cyclops"]);
    let complete = |alert: &Value| is_of(alert, &stub) && alert["count"] == 12;
    let alert = agent.wait_for_alert(complete);
    assert_eq!(alert["rule"]["id"], "309d59dc-1e1b-49b2-9800-7cf18d12f7b7");
    assert_eq!(alert["severity"], "medium");
    assert_eq!(alert["port_count"], 6);
    assert_eq!(
        strings(&alert["ports"]),
        ["3269", "636", "8443", "989", "994", "995"]
    );
    assert_eq!(strings(&alert["processes_exec"]).len(), 12);
    assert_eq!(strings(&alert["pids"]).len(), 12);
    assert_eq!(alert["user"], "root");
    assert_eq!(alert["parent_process_name"], "cpd");
    let shell = fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(alert["process_path"].as_str(), shell.to_str());
    assert_eq!(alert["parent"]["executable"].as_str(), stub.to_str());

    let stopped = agent.stop();
    let first = stopped
        .alerts
        .iter()
        .find(|alert| is_of(alert, &stub))
        .unwrap();
    assert_eq!(first["revision"], 0);
    assert_eq!(first["port_count"], 3, "the third port alerts");
    assert_eq!(
        stopped.alerts_of(&stub).len(),
        1,
        "one alert, and updates of it"
    );
    assert_eq!(stopped.text("reconciled"), "true");
}

#[test]
fn what_the_rule_does_not_mean_stays_quiet() {
    if !can_run("what_the_rule_does_not_mean_stays_quiet") {
        return;
    }
    let (folder, stub) = stub();
    let quiet: Vec<PathBuf> = ["two-ports", "list", "script"]
        .iter()
        .map(|name| stub_in(folder.path(), name))
        .collect();
    let script = folder.path().join("rules.sh");
    let rules: String = ["636", "989", "995", "8443"]
        .map(|port| format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null\n"))
        .concat();
    fs::write(&script, format!("#!/bin/sh\n{rules}")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();

    let mut agent = Agent::run("");
    run_stub(&quiet[0], &["cyclops", "636", "989"]);
    run_stub(
        &quiet[1],
        &["system", "iptables -L", "iptables -S", "iptables -L -n"],
    );
    run_stub(&quiet[2], &["system", script.to_str().unwrap()]);
    // The same program as one of /usr/bin, which the analytic excludes.
    in_namespaces(
        "mount --bind \"$1\" \"$(realpath /usr/bin/true)\"; /usr/bin/true cyclops",
        &[stub.as_os_str()],
    );
    run_stub(&stub, &["cyclops"]);
    agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 12);
    let stopped = agent.stop();
    for path in &quiet {
        assert!(stopped.alerts_of(path).is_empty(), "{}", path.display());
    }
    let in_usr_bin = fs::canonicalize("/usr/bin/true").unwrap();
    assert!(stopped.alerts_of(&in_usr_bin).is_empty());
}

#[test]
fn every_shell_in_the_place_of_sh_is_seen_alike() {
    if !can_run("every_shell_in_the_place_of_sh_is_seen_alike") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Agent::run("");
    for shell in ["bash", "dash", "busybox"] {
        let stub = stub_in(folder.path(), &format!("under-{shell}"));
        let path = which(shell);
        in_namespaces(
            WITH_SHELL,
            &[path.as_os_str(), stub.as_os_str(), OsStr::new("cyclops")],
        );
        let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 12);
        assert_eq!(alert["port_count"], 6, "{shell}");
    }
    agent.stop();
}

fn which(program: &str) -> PathBuf {
    ["/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{program} is not installed"))
}

#[test]
fn padding_of_any_length_hides_nothing() {
    if !can_run("padding_of_any_length_hides_nothing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Agent::run("");
    // In one record; one byte beyond it; chunks; the most that an exec with the usual stack takes.
    for bytes in [20 * 1024, 32 * 1024, 32 * 1024 + 1, 200_000, 2_090_000] {
        let stub = stub_in(folder.path(), &format!("padded-{bytes}"));
        run_stub(&stub, &["padded", &bytes.to_string(), "636", "989", "995"]);
        let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["port_count"] == 3);
        let shown = alert["processes_exec"][0].as_str().unwrap();
        assert!(shown.contains("--dport"), "the match is shown: {shown}");
        assert!(shown.len() < 8192, "the padding is not");
        assert_eq!(alert["sensor"]["truncated"], 0, "{bytes}");
        let exec = &alert["execs"][0];
        assert_eq!(
            exec["command_line_cut"]["bytes"],
            bytes - 1,
            "without its last NUL"
        );
        assert_eq!(exec["argv_source"], "kernel");
    }
    let stopped = agent.stop();
    assert_eq!(stopped.number("argv_broken"), 0);
}

#[test]
fn a_command_line_that_no_ring_can_take_is_repaired_or_flagged() {
    if !can_run("a_command_line_that_no_ring_can_take_is_repaired_or_flagged") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("[sensor]\nbulk_ring_bytes = \"64KiB\"\n");
    run_stub(&stub, &["padded", "1000000", "636", "989", "995"]);
    run_stub(&stub, &["cyclops"]);
    agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["port_count"] == 6);
    let stopped = agent.stop();
    assert!(stopped.number("argv_broken") >= 3, "{}", stopped.log);
}

#[test]
fn a_record_has_every_field() {
    if !can_run("a_record_has_every_field") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stub = stub_in(folder.path(), "parent");
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh -e\ntrue\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let command = format!("exec {} 'two words' '' >/dev/null 2>&1", script.display());
    let recording = Agent::record();
    run_stub(&stub, &["system", &command]);
    let stopped = recording.stop();
    // Which fields this kernel has: agent/docs/kernels.md is made of these lines.
    let sight = stopped.log.lines().find(|line| line.contains("sight="));
    eprintln!("{}", sight.expect("the agent says what it sees"));
    let name = script.to_str().unwrap();
    let by_shell = |exec: &&Value| exec["filename"] == name;
    let exec = stopped
        .recording
        .iter()
        .find(by_shell)
        .expect("the script's exec");
    assert_eq!(
        exec["argv"],
        serde_json::json!(["/bin/sh", "-e", name, "two words", ""])
    );
    assert_eq!(exec["interp"], "/bin/sh");
    let shell = fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(exec["exe"].as_str(), shell.to_str());
    assert_eq!(exec["uid"], 0);
    assert_eq!(exec["user"], "root");
    assert_eq!(exec["stdout_null"], true);
    assert_eq!(exec["stderr_null"], true);
    assert_eq!(exec["parent_exe"].as_str(), stub.to_str());
    // The shell before it, in the same process, is another exec.
    let same_process = |other: &&Value| other["pid"] == exec["pid"];
    let execs: Vec<_> = stopped.recording.iter().filter(same_process).collect();
    assert_eq!(execs.len(), 2);
    assert_ne!(execs[0]["guid"], execs[1]["guid"]);
    assert_eq!(execs[0]["start_time"], execs[1]["start_time"]);
    assert_eq!(execs[0]["argv"][1], "-c");
    let own_net = fs::read_link("/proc/self/ns/net").unwrap();
    assert_ne!(
        format!("net:[{}]", exec["namespaces"]["net"]["inum"]),
        own_net.to_str().unwrap()
    );
    let own_pid = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_eq!(
        format!("pid:[{}]", exec["namespaces"]["pid"]["inum"]),
        own_pid.to_str().unwrap()
    );
}

#[test]
fn deleted_and_memory_executables_are_flagged() {
    if !can_run("deleted_and_memory_executables_are_flagged") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("gone-soon");
    tiny_elf::write(&tiny).unwrap();
    let recording = Agent::record();
    in_namespaces(
        "exec 9<\"$1\"; rm \"$1\"; /proc/self/fd/9",
        &[tiny.as_os_str()],
    );
    run_memfd();
    let stopped = recording.stop();
    let of = |path: &str| stopped.recording.iter().find(|exec| exec["exe"] == path);
    let deleted = of(tiny.to_str().unwrap()).expect("the deleted one");
    assert_eq!(deleted["exe_deleted"], true);
    let memory = of("/memfd:wallwatch-test").expect("the one in memory");
    assert_eq!(memory["exe_memfd"], true);
    assert_eq!(memory["argv"], serde_json::json!(["[kworker/0:1]"]));
}

/// Runs the tiny program from a memfd, under the name of a kernel thread.
fn run_memfd() {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("tiny");
    tiny_elf::write(&tiny).unwrap();
    let mut image = Vec::new();
    fs::File::open(&tiny)
        .unwrap()
        .read_to_end(&mut image)
        .unwrap();
    let memory =
        nix::sys::memfd::memfd_create(c"wallwatch-test", nix::sys::memfd::MFdFlags::empty())
            .unwrap();
    let mut memory = fs::File::from(memory);
    memory.write_all(&image).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
    // A file that is open for writing cannot be run.
    let read_only = fs::File::open(&path).unwrap();
    drop(memory);
    let path = format!("/proc/{}/fd/{}", std::process::id(), read_only.as_raw_fd());
    let status = std::process::Command::new(path)
        .arg0("[kworker/0:1]")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_path_is_whole_however_deep_and_beyond_the_kernels_own_bound_it_is_told() {
    if !can_run("a_path_is_whole_however_deep_and_beyond_the_kernels_own_bound_it_is_told") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path_of = |name: &str, count: usize| {
        let mut path = folder.path().to_owned();
        path.extend(std::iter::repeat_n(name, count));
        path.join("tiny")
    };
    let long = "n".repeat(255);
    let base = folder.path().as_os_str().len();
    // PATH_MAX is 4096, with the NUL at the end.
    let deepest = (4095 - base - "/tiny".len()) / 2;
    let recording = Agent::record();
    let paths = [
        path_of("d", 40),
        path_of("e", 200),
        path_of("f", deepest),
        path_of(&long, 15),
    ];
    for path in &paths {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        tiny_elf::write(path).unwrap();
        assert!(std::process::Command::new(path).status().unwrap().success());
    }
    run_beyond_path_max(folder.path());
    let stopped = recording.stop();
    for path in &paths {
        let name = path.to_str().unwrap();
        let exec = stopped
            .recording
            .iter()
            .find(|exec| exec["filename"] == name);
        assert_eq!(exec.expect(name)["exe"], name);
    }
    let is_beyond = |exec: &&Value| exec["comm"] == "beyond";
    let unknown = stopped
        .recording
        .iter()
        .find(is_beyond)
        .expect("the longest");
    assert_eq!(unknown["exe"], Value::Null);
    assert_eq!(unknown["exe_unknown"], "unfinished");

    let mut agent = Agent::run("");
    let again = tempfile::tempdir().unwrap();
    run_beyond_path_max(again.path());
    let alert =
        agent.wait_for_alert(|alert| alert["rule"]["name"] == "Executable Path Beyond PATH_MAX");
    assert_eq!(alert["execs"][0]["executable_unknown"], "unfinished");
    agent.stop();
}

/// Runs a program whose path has more than 4096 bytes, step by step from open folders.
fn run_beyond_path_max(base: &Path) {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};
    use std::os::fd::{AsRawFd, OwnedFd};
    let name = "b".repeat(200);
    let mut folder: OwnedFd = fs::File::open(base).unwrap().into();
    for _ in 0..25 {
        mkdirat(&folder, name.as_str(), Mode::S_IRWXU).unwrap();
        folder = openat(&folder, name.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    let path = format!(
        "/proc/{}/fd/{}/beyond",
        std::process::id(),
        folder.as_raw_fd()
    );
    tiny_elf::write(Path::new(&path)).unwrap();
    assert!(
        std::process::Command::new(&path)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_path_on_a_mount_that_was_cut_off_is_unknown() {
    if !can_run("a_path_on_a_mount_that_was_cut_off_is_unknown") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stub = stub_in(folder.path(), "stub");
    // In the cut-off tree the stub stands at /usr/bin/stub, which would be excluded.
    let script = "mkdir \"$2/m\"; mount -t tmpfs none \"$2/m\"; mkdir -p \"$2/m/usr/bin\"
        cp \"$1\" \"$2/m/usr/bin/stub\"; cd \"$2/m/usr/bin\"; umount -l \"$2/m\"; ./stub cyclops";
    let mut agent = Agent::run("");
    in_namespaces(script, &[stub.as_os_str(), folder.path().as_os_str()]);
    let alert = agent.wait_for_alert(|alert| alert["parent"]["executable_unknown"] == "detached");
    assert_eq!(alert["parent_process_path"], "null");
    agent.stop();
}

#[test]
fn a_parent_that_has_removed_its_executable_is_still_named() {
    if !can_run("a_parent_that_has_removed_its_executable_is_still_named") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    let remove = format!("rm {}", stub.display());
    let open = |port| format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null");
    let [a, b, c] = ["636", "989", "995"].map(open);
    run_stub(&stub, &["system", &remove, &a, &b, &c]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["port_count"] == 3);
    assert_eq!(alert["parent"]["deleted"], true);
    assert_eq!(alert["parent"]["memfd"], false);
    agent.stop();
}

#[test]
fn a_parent_on_a_mount_that_hangs_nowhere_is_not_excluded() {
    if !can_run("a_parent_on_a_mount_that_hangs_nowhere_is_not_excluded") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    run_stub(&stub, &["detached"]);
    let alert = agent.wait_for_alert(|alert| {
        alert["parent"]["executable_unknown"] == "detached" && alert["count"] == 12
    });
    assert_eq!(alert["parent_process_path"], "null");
    agent.stop();
}

#[test]
fn the_books_balance_when_the_agent_is_stopped_in_a_storm() {
    if !can_run("the_books_balance_when_the_agent_is_stopped_in_a_storm") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("tiny");
    tiny_elf::write(&tiny).unwrap();
    let stub = stub_in(folder.path(), "storm");
    let count = if in_guest() { "500" } else { "10000" };
    let storm =
        std::thread::spawn(move || run_stub(&stub, &["storm", count, "2", tiny.to_str().unwrap()]));
    for _ in 0..5 {
        let agent = Agent::run("");
        std::thread::sleep(std::time::Duration::from_millis(100));
        let stopped = agent.stop();
        assert_eq!(stopped.text("reconciled"), "true", "{}", stopped.log);
    }
    storm.join().unwrap();
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_the_watch() {
    if !can_run("a_log_that_nobody_reads_does_not_stop_the_watch") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stub = stub_in(folder.path(), "many");
    let mut agent = Agent::run_unread();
    // Each process is a group of its own, and each gives an alert and a line of the log; a pipe holds
    // some hundred of those lines.
    for _ in 0..if in_guest() { 60 } else { 600 } {
        let harmless = ["636", "989", "995"]
            .map(|port| format!("true iptables -p tcp --dport {port} -j ACCEPT &>/dev/null"));
        let mut command = std::process::Command::new(&stub);
        assert!(
            command
                .arg("system")
                .args(harmless)
                .status()
                .unwrap()
                .success()
        );
    }
    let last = stub_in(folder.path(), "last");
    run_stub(&last, &["cyclops"]);
    agent.wait_for_alert(|alert| is_of(alert, &last) && alert["count"] == 12);
    agent.stop_unread();
}

#[test]
fn a_storm_on_all_cores_is_recorded_to_the_last_exec() {
    if !can_run("a_storm_on_all_cores_is_recorded_to_the_last_exec") {
        return;
    }
    let count = if in_guest() { 2_000 } else { 100_000 };
    let workers = std::thread::available_parallelism().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("tiny");
    tiny_elf::write(&tiny).unwrap();
    let stub = stub_in(folder.path(), "storm");
    let recording = Agent::record();
    run_stub(
        &stub,
        &[
            "storm",
            &count.to_string(),
            &workers,
            tiny.to_str().unwrap(),
        ],
    );
    let stopped = recording.stop();
    let of_tiny = |exec: &&Value| exec["exe"].as_str() == tiny.to_str();
    assert_eq!(stopped.recording.iter().filter(of_tiny).count(), count);
    assert_eq!(stopped.number("lost"), 0);
}

#[test]
fn an_attack_in_the_middle_of_a_storm_is_alerted_and_the_books_balance() {
    if !can_run("an_attack_in_the_middle_of_a_storm_is_alerted_and_the_books_balance") {
        return;
    }
    let count = if in_guest() { "500" } else { "20000" };
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("tiny");
    tiny_elf::write(&tiny).unwrap();
    let stub = stub_in(folder.path(), "cpd");
    let mut agent = Agent::run("");
    let storm = {
        let (stub, tiny) = (stub.clone(), tiny.clone());
        std::thread::spawn(move || run_stub(&stub, &["storm", count, "2", tiny.to_str().unwrap()]))
    };
    run_stub(&stub, &["cyclops"]);
    agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 12);
    storm.join().unwrap();
    let stopped = agent.stop();
    let seen = stopped.number("execs_seen") + stopped.number("execs_rescued");
    assert_eq!(seen, stopped.number("execs_received"), "{}", stopped.log);
    assert_eq!(
        stopped.number("execs_dropped") + stopped.number("execs_missed"),
        0
    );
    assert_eq!(stopped.number("undecoded"), 0);
    assert_eq!(stopped.text("reconciled"), "true");
}

#[test]
fn without_btf_the_classic_tracepoints_serve_and_say_what_they_lack() {
    if !can_run("without_btf_the_classic_tracepoints_serve_and_say_what_they_lack") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run_without_btf();
    assert!(
        agent.log_text().contains("this kernel has no BTF"),
        "{}",
        agent.log_text()
    );
    // Each shell lives long enough for /proc to be read; one that does not is lost to this mode.
    let commands = ["636", "989", "995"].map(|port| {
        format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null; sleep 0.3")
    });
    let mut arguments = vec!["system"];
    arguments.extend(commands.iter().map(String::as_str));
    run_stub(&stub, &arguments);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["port_count"] == 3);
    assert_eq!(
        alert["sensor"]["faults"], 3,
        "the command lines were read from /proc"
    );
    agent.stop();
}

#[test]
fn the_kernel_programs_own_log_can_be_switched_on() {
    if !can_run("the_kernel_programs_own_log_can_be_switched_on") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("[sensor]\nkernel_log = \"debug\"\n");
    run_stub(&stub, &["detached"]);
    agent.wait_for_alert(|alert| alert["parent"]["executable_unknown"] == "detached");
    let stopped = agent.stop();
    assert!(stopped.log.contains("is unknown: 5"), "{}", stopped.log);
}
