//! Who a process came from: scripts behind interpreters, ancestors that have ended, numbers that are used
//! again. Lines 19 and 21.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Told, ancestors, canonical, check_told, exec_of, run, teller};
use crate::harness::{Agent, is_of, stub_in, wallwatch_with_defaults_in};
use crate::kernel::{can_run, stub};
use crate::tiny_elf;

/// An interpreter: its file, what it needs in the environment, and how it has the shell run a command.
struct Interpreter {
    name: &'static str,
    program: PathBuf,
    home: String,
    run: fn(&str) -> String,
}

/// Those of this machine; each that is not there is named.
fn interpreters() -> Vec<Interpreter> {
    let shell = |name| Interpreter {
        name,
        program: canonical(&format!("/bin/{name}")),
        home: String::new(),
        run: |command| format!("sh -c '{command}'\n"),
    };
    let mut all = vec![shell("dash"), shell("bash")];
    match ask("perl", &["-e", "print $^X"]) {
        Some(program) => all.push(Interpreter {
            name: "perl",
            program: canonical(&program),
            home: String::new(),
            run: |command| format!("system('{command}');\n"),
        }),
        None => eprintln!("LEFT OUT: perl is not installed"),
    }
    let asked = "import sys; print(sys.executable, sys.base_prefix)";
    match ask("python3", &["-c", asked]) {
        Some(told) => {
            let (program, home) = told.split_once(' ').unwrap();
            all.push(Interpreter {
                name: "python3",
                program: canonical(program),
                home: home.trim().to_owned(),
                run: |command| format!("__import__('os').system('{command}')\n"),
            });
        }
        None => eprintln!("LEFT OUT: python3 is not installed"),
    }
    all
}

fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout)
        .ok()
        .filter(|text| !text.is_empty())
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn firewall_command(port: &str) -> String {
    format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null")
}

/// Line 19: with an interpreter that the analytic does not exclude, the alert names the script too.
#[test]
fn an_alert_names_the_script_beside_its_interpreter() {
    if !can_run("an_alert_names_the_script_beside_its_interpreter") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Agent::run("");
    let recording = Agent::record();
    let mut scripts = Vec::new();
    for Interpreter {
        name,
        program,
        home,
        run: command,
    } in interpreters()
    {
        let interpreter = folder.path().join(name);
        fs::copy(program, &interpreter).unwrap();
        let script = folder.path().join(format!("updates.{name}"));
        let commands = ["636", "989", "995"].map(|port| command(&firewall_command(port)));
        let text = format!("#!{} \n{}", interpreter.display(), commands.concat());
        write_script(&script, &text);
        let set_home = "[ -z \"$2\" ] || export PYTHONHOME=\"$2\"; \"$1\"";
        run(set_home, &[&script, Path::new(&home)]);
        let fits = |alert: &Value| is_of(alert, &interpreter) && alert["count"] == 3;
        let alert = agent.wait_for_alert(fits);
        let parent = &alert["parent"]["ancestry"][0];
        assert_eq!(parent["script"].as_str(), script.to_str(), "{name}");
        assert_eq!(parent["executable"].as_str(), interpreter.to_str());
        scripts.push((interpreter, script));
    }
    agent.stop();

    let lines = recording
        .stop()
        .recording
        .iter()
        .map(Value::to_string)
        .collect::<Vec<_>>();
    let file = folder.path().join("recording.jsonl");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let output = wallwatch_with_defaults_in(folder.path())
        .args(["replay", "--human"])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for (interpreter, script) in scripts {
        let from = format!(
            "from     {} running {}, pid",
            interpreter.display(),
            script.display()
        );
        assert!(text.contains(&from), "{from}\n{text}");
    }
}

/// Line 19: with an interpreter of `/usr/bin` the analytic does not alert. The record of the script's
/// own exec names it, and those of its children lead there.
#[test]
fn the_script_of_an_ordinary_interpreter_is_in_the_record() {
    if !can_run("the_script_of_an_ordinary_interpreter_is_in_the_record") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (script, tiny) = (folder.path().join("updates"), folder.path().join("tiny"));
    tiny_elf::write(&tiny).unwrap();
    write_script(
        &script,
        &format!("#!/bin/dash\n{} child\n:\n", tiny.display()),
    );
    let recording = Agent::record();
    run("\"$1\" again; /bin/bash \"$1\" spelled", &[&script]);
    let stopped = recording.stop();
    let by_name = exec_of(&stopped, &canonical("/bin/dash"), "again");
    assert_eq!(by_name["filename"].as_str(), script.to_str());
    assert_eq!(by_name["interp"], "/bin/dash");
    assert_eq!(by_name["exe"].as_str(), canonical("/bin/dash").to_str());
    assert_eq!(by_name["argv"][1].as_str(), script.to_str());
    let spelled = exec_of(&stopped, &canonical("/bin/bash"), "spelled");
    assert_eq!(spelled["argv"][1].as_str(), script.to_str());
    assert_eq!(spelled["interp"], Value::Null, "bash reads it as its input");
    let of_tiny = |exec: &&Value| exec["exe"].as_str() == tiny.to_str();
    let children: Vec<&Value> = stopped.recording.iter().filter(of_tiny).collect();
    assert_eq!(children.len(), 2);
    for (child, parent) in children.iter().zip([by_name, spelled]) {
        assert_eq!(child["ppid"], parent["pid"]);
        assert_eq!(child["parent_exe"], parent["exe"]);
        assert_eq!(child["parent_file"], parent["exe_file"]);
    }
}

/// Line 21: the parent is an orphan in a session of its own; its lineage goes on through those that have
/// ended.
#[test]
fn a_double_fork_does_not_cut_the_lineage() {
    if !can_run("a_double_fork_does_not_cut_the_lineage") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    run("\"$1\" orphan ports exec sh /bin/sh -c %; true", &[&stub]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    let ancestry = alert["parent"]["ancestry"].as_array().unwrap();
    let [orphan, middle, origin, script] = &ancestry[..4] else {
        panic!("four steps")
    };
    assert_eq!(
        orphan["pid"].to_string(),
        alert["parent_process_id"].as_str().unwrap()
    );
    assert_eq!(middle["ended"], true);
    for step in [orphan, middle, origin] {
        assert_eq!(step["executable"].as_str(), stub.to_str());
        let told = step["command_line"].as_str().unwrap();
        assert!(
            told.ends_with(" orphan ports exec sh /bin/sh -c %"),
            "{told}"
        );
    }
    let bash = canonical("/bin/bash");
    assert_eq!(script["executable"].as_str(), bash.to_str());
    agent.stop();
}

/// Line 21: what dash leaves in the background has the reaper for a parent, and the record says so.
#[test]
fn a_command_left_in_the_background_has_the_reaper_for_a_parent() {
    if !can_run("a_command_left_in_the_background_has_the_reaper_for_a_parent") {
        return;
    }
    let (folder, stub) = stub();
    let file = folder.path().join("told");
    let recording = Agent::record();
    let script = "\"$1\" reaper exec dash /bin/dash -c '
        shell=$$; (while [ -d /proc/$shell/fd ] && ls /proc/$shell/fd/0; do :; done >/dev/null 2>&1
        exec \"$0\" tell \"$1\") &' \"$1\" \"$2\"";
    run(script, &[&stub, &file]);
    let stopped = recording.stop();
    let exec = teller(&stopped, &file);
    check_told(exec, &Told::read(&file));
    let is_reaper =
        |exec: &&Value| exec["argv"][1] == "reaper" && exec["exe"].as_str() == stub.to_str();
    let reaper = stopped.recording.iter().find(is_reaper).unwrap();
    assert_eq!(exec["ppid"], reaper["pid"]);
    assert_eq!(exec["parent_start_time"], reaper["start_time"]);
    assert_eq!(exec["parent_exe"].as_str(), stub.to_str());
}

/// Line 21: with `CLONE_PARENT` a process chooses its own parent for its child's. The record has the parent
/// that the kernel has.
#[test]
fn a_sibling_made_by_clone_has_the_parent_of_its_maker() {
    if !can_run("a_sibling_made_by_clone_has_the_parent_of_its_maker") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let parent = stub_in(folder.path(), "parent");
    let maker = stub_in(folder.path(), "maker");
    let mut agent = Agent::run("");
    let script = "\"$1\" ports exec maker \"$2\" sibling exec sh /bin/sh -c %";
    run(script, &[&parent, &maker]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &parent) && alert["count"] == 3);
    assert_eq!(ancestors(&alert)[0], parent.to_str());
    let stopped = agent.stop();
    assert!(stopped.alerts_of(&maker).is_empty());
}

/// The number of a process that has ended goes to another, of which nothing of the first is told.
#[test]
fn a_process_number_used_again_does_not_mix_two_processes() {
    if !can_run("a_process_number_used_again_does_not_mix_two_processes") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let first = stub_in(folder.path(), "first");
    let second = stub_in(folder.path(), "second");
    let mut agent = Agent::run("");
    // The kernel goes on from the number in that file, and from where it was afterwards.
    let script = "last=/proc/sys/kernel/ns_last_pid
        \"$1\" ports exec sh /bin/sh -c % & number=$!; wait
        for attempt in {1..100}; do
            before=$(<$last); echo $((number - 1)) >$last
            ([ $BASHPID != $number ] || exec \"$2\" ports exec sh /bin/sh -c %) & again=$!
            echo $before >$last; wait
            [ $again != $number ] || exit 0
        done; exit 1";
    run(script, &[&first, &second]);
    let of = |agent: &mut Agent, path: &Path| {
        agent.wait_for_alert(|alert| is_of(alert, path) && alert["count"] == 3)
    };
    let (old, new) = (of(&mut agent, &first), of(&mut agent, &second));
    assert_eq!(old["parent_process_id"], new["parent_process_id"]);
    assert_ne!(old["parent"]["start_ns"], new["parent"]["start_ns"]);
    assert_ne!(old["id"], new["id"]);
    for (alert, path) in [(&old, &first), (&new, &second)] {
        let parent = &alert["parent"]["ancestry"][0];
        assert_eq!(parent["executable"].as_str(), path.to_str());
        assert_eq!(parent["start_ns"], alert["parent"]["start_ns"]);
        let told = parent["command_line"].as_str().unwrap();
        assert!(told.starts_with(path.to_str().unwrap()), "{told}");
    }
    let bash = canonical("/bin/bash");
    assert_eq!(
        ancestors(&new)[1],
        bash.to_str(),
        "the parent of the second"
    );
    agent.stop();
}

/// The main thread of the parent has ended, so that `/proc/PID/exe` is empty.
#[test]
fn a_parent_without_its_leader_is_told_like_any() {
    if !can_run("a_parent_without_its_leader_is_told_like_any") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    let script = "\"$1\" leaderless ports exec sh /bin/sh -c %; true";
    run(script, &[&stub]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    let parent = &alert["parent"]["ancestry"][0];
    assert_eq!(parent["executable"].as_str(), stub.to_str());
    assert_eq!(parent["start_ns"], alert["parent"]["start_ns"]);
    let bash = canonical("/bin/bash");
    assert_eq!(ancestors(&alert)[1], bash.to_str());
    agent.stop();
}

/// A process that becomes one program after the other keeps its place in the lineage.
#[test]
fn another_exec_of_the_same_process_keeps_its_lineage() {
    if !can_run("another_exec_of_the_same_process_keeps_its_lineage") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [above, before, after] =
        ["above", "before", "after"].map(|name| stub_in(folder.path(), name));
    let mut agent = Agent::run("");
    let recording = Agent::record();
    let script =
        "\"$1\" reaper exec before \"$2\" exec after \"$3\" ports exec sh /bin/sh -c %; true";
    run(script, &[&above, &before, &after]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &after) && alert["count"] == 3);
    let told = ancestors(&alert);
    let bash = canonical("/bin/bash");
    assert_eq!(told[..3], [after.to_str(), above.to_str(), bash.to_str()]);
    agent.stop();
    let stopped = recording.stop();
    let of = |path: &Path| {
        let mut execs = stopped.recording.iter();
        execs
            .find(|exec| exec["exe"].as_str() == path.to_str())
            .unwrap()
    };
    let (first, second) = (of(&before), of(&after));
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(first["start_time"], second["start_time"]);
    assert_ne!(first["guid"], second["guid"]);
    assert_eq!(
        second["pid"].to_string(),
        alert["parent_process_id"].as_str().unwrap()
    );
    for exec in [first, second] {
        assert_eq!(exec["parent_exe"].as_str(), above.to_str());
    }
}
