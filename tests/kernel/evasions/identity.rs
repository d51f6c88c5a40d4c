//! Which file it is, whatever it is called: lines 13, 14 and 15.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    Told, ancestors, canonical, check_hosts, check_told, command_line, exec_of, run, teller,
};
use crate::harness::{Agent, is_of};
use crate::kernel::{can_run, stub};
use crate::tiny_elf;

/// Line 13.
#[test]
fn a_copy_a_link_and_another_argv0_are_told_by_path_and_inode() {
    if !can_run("a_copy_a_link_and_another_argv0_are_told_by_path_and_inode") {
        return;
    }
    let (folder, stub) = stub();
    let at = |name: &str| folder.path().join(name);
    fs::copy(&stub, at("copy")).unwrap();
    fs::hard_link(at("copy"), at("hard")).unwrap();
    symlink(&stub, at("soft")).unwrap();
    let recording = Agent::record();
    let script = "for name in cpd copy hard soft; do \"$1/$name\" tell \"$1/$name.told\"; done
        (exec -a iptables \"$1/cpd\" tell \"$1/renamed.told\")";
    run(script, &[folder.path()]);
    let stopped = recording.stop();
    let exec = |name: &str| {
        let file = at(&format!("{name}.told"));
        let exec = teller(&stopped, &file);
        check_told(exec, &Told::read(&file));
        assert_eq!(exec["pid"].to_string(), Told::read(&file).get("pid"));
        exec
    };
    let [original, copy, hard, soft, renamed] =
        ["cpd", "copy", "hard", "soft", "renamed"].map(exec);

    assert_eq!(original["exe"].as_str(), stub.to_str());
    assert_eq!(original["exe_stat"]["links"], 1);
    assert_eq!(copy["exe"].as_str(), at("copy").to_str());
    assert_ne!(copy["exe_file"], original["exe_file"], "another file");
    assert_eq!(hard["exe"].as_str(), at("hard").to_str());
    assert_eq!(hard["exe_file"], copy["exe_file"], "the same file");
    assert_eq!(hard["exe_stat"]["links"], 2);
    assert_eq!(soft["filename"].as_str(), at("soft").to_str());
    assert_eq!(
        soft["exe"].as_str(),
        stub.to_str(),
        "what the link leads to"
    );
    assert_eq!(soft["exe_file"], original["exe_file"]);
    assert_eq!(renamed["argv"][0], "iptables");
    assert_eq!(renamed["exe"].as_str(), stub.to_str());
    assert_eq!(renamed["comm"], "cpd");
}

/// Line 13: what a process calls itself ends with its next exec.
#[test]
fn a_name_set_before_an_exec_is_not_the_new_programs() {
    if !can_run("a_name_set_before_an_exec_is_not_the_new_programs") {
        return;
    }
    let (folder, stub) = stub();
    let file = folder.path().join("told");
    let recording = Agent::record();
    run(
        "\"$1\" name systemd exec /sbin/init \"$1\" tell \"$2\"",
        &[&stub, &file],
    );
    let stopped = recording.stop();
    let exec = teller(&stopped, &file);
    check_told(exec, &Told::read(&file));
    assert_eq!(exec["comm"], "cpd");
    assert_eq!(exec["argv"][0], "/sbin/init");
}

/// Line 13: neither the parent's nor the shell's `argv[0]` and comm count, in an alert.
#[test]
fn an_alert_names_files_and_not_what_processes_call_themselves() {
    if !can_run("an_alert_names_files_and_not_what_processes_call_themselves") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    let script = "exec -a /usr/bin/apt \"$1\" name apt ports exec rsyslogd /bin/sh -c %";
    run(script, &[&stub]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    assert_eq!(alert["parent_process_name"], "cpd");
    let parent = &alert["parent"]["ancestry"][0];
    assert_eq!(parent["executable"].as_str(), stub.to_str());
    let called = parent["command_line"].as_str().unwrap();
    assert!(called.starts_with("/usr/bin/apt name apt "), "{called}");
    let shell = canonical("/bin/sh");
    assert_eq!(alert["process_path"].as_str(), shell.to_str());
    let shown = alert["processes_exec"][0].as_str().unwrap();
    assert!(shown.starts_with("rsyslogd -c iptables "), "{shown}");
    agent.stop();
}

/// Whether somebody could have been sitting there.
#[test]
fn the_controlling_terminal_is_told_and_its_absence() {
    if !can_run("the_controlling_terminal_is_told_and_its_absence") {
        return;
    }
    let (folder, stub) = stub();
    let at = |name: &str| folder.path().join(name);
    let recording = Agent::record();
    let script = "script -qec \"'$1' tell '$2'\" /dev/null </dev/null >&2
        script -qec \"setsid '$1' tell '$3' & wait\" /dev/null </dev/null >&2";
    run(script, &[&stub, &at("on"), &at("off")]);
    let stopped = recording.stop();
    for (name, is_on) in [("on", true), ("off", false)] {
        let told = Told::read(&at(name));
        check_told(teller(&stopped, &at(name)), &told);
        assert_eq!(told.get("tty") != "none", is_on, "{}", told.get("tty"));
    }
}

/// Line 14: `execveat` of a memfd, which has no path at all.
#[test]
fn a_program_in_memory_is_told_as_such() {
    if !can_run("a_program_in_memory_is_told_as_such") {
        return;
    }
    let (folder, stub) = stub();
    let file = folder.path().join("told");
    let recording = Agent::record();
    run(
        "\"$1\" memfd ' (deleted)' '[kthreadd]' tell \"$2\"",
        &[&stub, &file],
    );
    let stopped = recording.stop();
    let exec = teller(&stopped, &file);
    check_told(exec, &Told::read(&file));
    assert_eq!(exec["exe_memfd"], true);
    assert_eq!(exec["exe"], "/memfd: (deleted)");
    assert_eq!(exec["exe_stat"]["links"], 0);
    let name = exec["filename"].as_str().unwrap();
    assert!(name.starts_with("/dev/fd/"), "{name}");
}

/// Line 14.
#[test]
fn a_parent_in_memory_alerts_and_is_told_as_such() {
    if !can_run("a_parent_in_memory_alerts_and_is_told_as_such") {
        return;
    }
    let (folder, stub) = stub();
    let name = folder.path().file_name().unwrap();
    let mut agent = Agent::run("");
    let script = "\"$1\" memfd \"$2\" /usr/bin/apt ports exec sh /bin/sh -c %";
    run(script, &[&stub, Path::new(name)]);
    let path = PathBuf::from(format!("/memfd:{}", name.to_str().unwrap()));
    let alert = agent.wait_for_alert(|alert| is_of(alert, &path) && alert["count"] == 3);
    assert_eq!(alert["parent"]["memfd"], true);
    assert_eq!(alert["parent"]["deleted"], false);
    agent.stop();
}

/// Line 14: a file that is gone, run by its descriptor, and again by `/proc/self/exe`.
#[test]
fn a_removed_executable_that_runs_itself_again_is_told_by_its_old_path() {
    if !can_run("a_removed_executable_that_runs_itself_again_is_told_by_its_old_path") {
        return;
    }
    let (folder, stub) = stub();
    let file = folder.path().join("told");
    let recording = Agent::record();
    let script = "exec 9<\"$1\"; rm \"$1\"
        /proc/self/fd/9 exec again /proc/self/exe tell \"$2\"";
    run(script, &[&stub, &file]);
    let stopped = recording.stop();
    let again = teller(&stopped, &file);
    check_told(again, &Told::read(&file));
    assert_eq!(again["filename"], "/proc/self/exe");
    let same_process = |exec: &&Value| exec["pid"] == again["pid"] && exec["argv"][1] == "exec";
    let mut execs = stopped.recording.iter().filter(same_process);
    let first = execs.next().expect("the exec before it");
    for exec in [first, again] {
        assert_eq!(exec["exe"].as_str(), stub.to_str());
        assert_eq!(exec["exe_deleted"], true);
        assert_eq!(exec["exe_stat"]["links"], 0);
    }
    assert_eq!(first["exe_file"], again["exe_file"]);
}

/// Line 14: the dynamic loader as a program that runs another.
#[test]
fn a_program_run_by_the_loader_is_told_by_the_command_line() {
    if !can_run("a_program_run_by_the_loader_is_told_by_the_command_line") {
        return;
    }
    let loader = loader_of(Path::new("/bin/dash"));
    let mut agent = Agent::run("");
    let recording = Agent::record();
    let mark = format!("loader-{}", std::process::id());
    let script =
        "open() { echo \"sh -c 'iptables -I OUTPUT -p tcp --dport $1 -j ACCEPT &>/dev/null'\"; }
        \"$1\" /bin/dash -c \"$(open 636); $(open 989); $(open 995); :\" \"$2\"";
    run(script, &[&loader, Path::new(&mark)]);
    let resolved = fs::canonicalize(&loader).unwrap();
    let alert = agent.wait_for_alert(|alert| is_of(alert, &resolved) && alert["count"] == 3);
    let told = alert["parent"]["ancestry"][0]["command_line"]
        .as_str()
        .unwrap();
    let head = format!("{} /bin/dash -c ", loader.display());
    assert!(told.starts_with(&head), "{told}");
    agent.stop();
    let stopped = recording.stop();
    let exec = exec_of(&stopped, &resolved, &mark);
    assert_eq!(exec["exe"].as_str(), resolved.to_str());
    assert_eq!(exec["filename"].as_str(), loader.to_str());
    assert_eq!(exec["argv"][1], "/bin/dash");
}

/// The interpreter that an ELF file names (`PT_INTERP`), which stands near its beginning.
fn loader_of(program: &Path) -> PathBuf {
    let image = fs::read(program).unwrap();
    let texts = image[..4096].split(|&byte| byte == 0);
    let loader = texts
        .filter_map(|text| str::from_utf8(text).ok())
        .find(|text| text.starts_with("/lib") && text.contains("/ld"));
    PathBuf::from(loader.expect("a program with a loader"))
}

/// Line 15: dressed as a kernel thread, by `argv[0]` and by comm.
#[test]
fn a_process_dressed_as_a_kernel_thread_has_an_executable() {
    if !can_run("a_process_dressed_as_a_kernel_thread_has_an_executable") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    let script = "exec -a '[kworker/0:1]' \"$1\" name kworker/0:1 ports exec sh /bin/sh -c %";
    run(script, &[&stub]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    assert_eq!(alert["parent"]["executable"].as_str(), stub.to_str());
    assert_eq!(ancestors(&alert)[0], stub.to_str());
    let called = alert["parent"]["ancestry"][0]["command_line"].as_str();
    let dress = "[kworker/0:1] name kworker/0:1 ";
    assert!(called.unwrap().starts_with(dress), "{called:?}");
    agent.stop();
}

/// Line 15: the kernel starts a program itself, the release agent of a cgroup (cgroups(7)), in a hierarchy
/// made for this test. Its parent is a kernel thread, and that has no executable.
#[test]
fn a_real_kernel_thread_has_no_executable() {
    if !can_run("a_real_kernel_thread_has_no_executable") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("released");
    tiny_elf::write(&tiny).unwrap();
    let recording = Agent::record();
    // The helper finds its program from the host's root, where the folder is too.
    let script = "mkdir \"$1/v1\"
        mount -t cgroup -o \"none,name=wallwatch-$$,release_agent=$1/released\" none \"$1/v1\"
        mkdir \"$1/v1/left\"; echo 1 >\"$1/v1/left/notify_on_release\"
        sh -c 'echo $$ >\"$1\"' sh \"$1/v1/left/cgroup.procs\"
        while [ -s \"$1/v1/left/cgroup.procs\" ]; do sleep 0.01; done
        sleep 0.2; rmdir \"$1/v1/left\"; umount \"$1/v1\"";
    run(script, &[folder.path()]);
    let stopped = recording.stop();
    let of_tiny = |exec: &&Value| exec["exe"].as_str() == tiny.to_str();
    let exec = stopped.recording.iter().find(of_tiny);
    let exec = exec.expect("the kernel runs the release agent");
    assert_eq!(exec["parent_exe"], Value::Null);
    assert_eq!(exec["parent_exe_unknown"], "absent");
    check_hosts(exec, &[]);
    // The name of the cgroup is its argument.
    assert_eq!(
        command_line(exec),
        [tiny.to_str().unwrap().as_bytes(), b"\0/left\0"].concat()
    );
    let parent = format!("/proc/{}", exec["ppid"]);
    assert_eq!(
        fs::read_to_string(format!("{parent}/comm")).unwrap(),
        "kthreadd\n"
    );
    assert!(fs::read_link(format!("{parent}/exe")).is_err());
}
