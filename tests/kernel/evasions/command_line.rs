//! What was on the command line, however long it is and whatever becomes of it: lines 16 and 17.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::json;

use super::{Told, check_told, command_line, teller};
use crate::harness::{Agent, in_guest, is_of};
use crate::kernel::{can_run, run_stub, stub};
use crate::tiny_elf;

/// Longest argument, its NUL included (`MAX_ARG_STRLEN`, `include/uapi/linux/binfmts.h`).
const ARGUMENT_BYTES_MAX: usize = 128 * 1024;

/// Line 16.
#[test]
fn a_long_argument_many_arguments_and_a_long_environment_hide_nothing() {
    if !can_run("a_long_argument_many_arguments_and_a_long_environment_hide_nothing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("tiny");
    tiny_elf::write(&tiny).unwrap();
    let longest = "A".repeat(ARGUMENT_BYTES_MAX - 1);
    let numbers: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let empty = vec![String::new(); 20_000];
    let last = |mut arguments: Vec<String>, last: &str| {
        arguments.push(last.to_owned());
        arguments
    };
    let cases = [
        (last(vec![longest.clone()], "after the longest"), 0),
        (last(numbers, "after many"), 0),
        (last(empty, "after nothing"), 0),
        // With these, the strings fill the 2 MiB that the usual stack lets them have.
        (last(Vec::new(), "before the environment"), 15),
        (last(vec![longest.clone()], "between both"), 13),
    ];
    let recording = Agent::record();
    for (arguments, variables) in &cases {
        let mut command = Command::new(&tiny);
        command.env_clear().args(arguments);
        for number in 10..10 + variables {
            command.env(
                format!("V{number}"),
                &longest[.."V10=".len().abs_diff(longest.len())],
            );
        }
        assert!(command.status().unwrap().success());
    }
    let stopped = recording.stop();
    for (arguments, _) in &cases {
        let mark = arguments.last().unwrap();
        let of_case = |exec: &&serde_json::Value| {
            let argv = exec["argv"].as_array().unwrap();
            exec["exe"].as_str() == tiny.to_str() && argv.last().unwrap() == mark.as_str()
        };
        let exec = stopped.recording.iter().find(of_case).expect(mark);
        assert!(exec["argv"].as_array().unwrap()[1..] == json!(arguments).as_array().unwrap()[..]);
        assert_eq!(exec["argv_bytes_full"], json!(null), "{mark}: it is whole");
        assert_eq!(exec["argv_unread"], json!(null));
    }
}

/// Line 16: a comment that fills the shell's text before the command.
#[test]
fn a_long_comment_before_a_command_hides_nothing() {
    if !can_run("a_long_comment_before_a_command_hides_nothing") {
        return;
    }
    let (_folder, stub) = stub();
    let comment = format!("#{}", "A".repeat(100_000));
    let commands = ["636", "989", "995"].map(|port| {
        format!("{comment}\niptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null")
    });
    let mut agent = Agent::run("");
    let mut arguments = vec!["system"];
    arguments.extend(commands.iter().map(String::as_str));
    run_stub(&stub, &arguments);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    assert_eq!(alert["sensor"]["truncated"], 0);
    let shown = alert["processes_exec"][0].as_str().unwrap();
    assert!(
        shown.contains(" --dport 636 -j ACCEPT &>/dev/null"),
        "{shown}"
    );
    let bytes = alert["execs"][0]["command_line_cut"]["bytes"].as_u64();
    let whole = "sh -c ".len() + commands[0].len();
    assert_eq!(bytes, Some(whole as u64));
    agent.stop();
}

/// Line 17: what a process writes over its command line comes too late.
#[test]
fn a_command_line_rewritten_after_the_exec_is_told_as_it_was() {
    if !can_run("a_command_line_rewritten_after_the_exec_is_told_as_it_was") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    let arguments = "rewrite /usr/sbin/sshd ports exec sh /bin/sh -c %";
    run_stub(&stub, &arguments.split(' ').collect::<Vec<_>>());
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    let told = &alert["parent"]["ancestry"][0]["command_line"];
    assert_eq!(*told, format!("{} {arguments}", stub.display()));
    agent.stop();
}

/// Line 17: another thread changes an argument, where it ends, and which one it is, while `execve` copies
/// them. The record has what the new program has.
#[test]
fn arguments_that_change_during_the_exec_are_told_as_the_program_gets_them() {
    if !can_run("arguments_that_change_during_the_exec_are_told_as_the_program_gets_them") {
        return;
    }
    let (folder, stub) = stub();
    let file = folder.path().join("told");
    let count = if in_guest() { 10 } else { 150 };
    let recording = Agent::record();
    run_stub(&stub, &["race", &count.to_string(), file.to_str().unwrap()]);
    let stopped = recording.stop();
    let mut seen = BTreeSet::new();
    for number in 0..count {
        let file = folder.path().join(format!("told.{number}"));
        let told = Told::read(&file);
        let exec = teller(&stopped, &file);
        check_told(exec, &told);
        assert_eq!(exec["pid"].to_string(), told.get("pid"));
        assert_ne!(exec["tid"], exec["pid"], "the thread that called execve");
        seen.insert(command_line(exec));
    }
    let mixed = |line: &&Vec<u8>| line.windows(2).any(|pair| pair == b"ab" || pair == b"ba");
    let (texts, mixed) = (seen.len(), seen.iter().filter(mixed).count());
    eprintln!("{count} races gave {texts} command lines, {mixed} of them mixed");
    // One processor under emulation may let the thread run hardly ever.
    assert!(in_guest() || mixed > 0, "the arguments did not change");
}
