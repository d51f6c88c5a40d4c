//! Who did it, and what shows it: the processes, files and changes of an event.

use serde_json::{Value, json};

use crate::config::EventKind;
use crate::delivery::event::Event;
use crate::delivery::format::process::{Process, execs, name};
use crate::delivery::format::tree::Tree;

/// Of an alert the parent of all its execs, of a finding the last exec.
pub(super) fn actor(event: &Event<'_>) -> Tree {
    let exec = execs(event).last().unwrap_or(&Value::Null);
    let process = match event.kind() {
        EventKind::Alert => Process::parent_of(event, exec).map(process),
        EventKind::Finding => Some(exec_process(event, exec)),
        EventKind::Summary | EventKind::Gap | EventKind::Heartbeat | EventKind::Own => None,
    };
    let mut actor = Tree::default();
    actor.put("process", process.map(Value::from));
    actor.put("user.name", event.text("/user"));
    actor.put("user.uid", exec["uid"].as_u64().map(|uid| uid.to_string()));
    actor
}

pub(super) fn evidences(event: &Event<'_>) -> Vec<Value> {
    let list = |field: &str| event.value()[field].as_array().into_iter().flatten();
    let execs = execs(event).iter().map(|exec| exec_evidence(event, exec));
    let changes = list("changes").map(|change| json!({"data": change}));
    execs
        .chain(list("edits").map(edit_evidence))
        .chain(changes)
        .filter(|evidence| evidence.as_object().is_some_and(|it| !it.is_empty()))
        .collect()
}

fn exec_evidence(event: &Event<'_>, exec: &Value) -> Value {
    let mut evidence = Tree::default();
    evidence.put("process", exec_process(event, exec));
    evidence.put("data.port", exec["port"].as_str());
    let container = &exec["cgroup"]["container"];
    if let Some(id) = container["id"].as_str() {
        evidence.put("container.uid", id);
        evidence.put("container.runtime", container["runtime"].as_str());
    }
    evidence.into()
}

/// OCSF knows a process by its number, or by an id of its own: without either it is none.
fn exec_process(event: &Event<'_>, exec: &Value) -> Tree {
    let (pid, guid) = (exec["pid"].as_u64(), exec["guid"].as_str());
    let mut process = Tree::default();
    if pid.is_none() && guid.is_none() {
        return process;
    }
    process.put("pid", pid);
    process.put("uid", guid);
    process.put("cmd_line", exec["command_line"].as_str());
    if let Some(path) = exec["executable"].as_str() {
        process.put("name", name(path));
        process.put("file", exec_file(path, exec));
    }
    let id = |field: &str| exec[field].as_u64().map(|id| id.to_string());
    process.put("user.uid", id("euid"));
    process.put("session.uid", id("session_id"));
    process.put("session.terminal", exec["tty"].as_str());
    let parent = Process::parent_of(event, exec).map(self::process);
    process.put("parent_process", parent.map(Value::from));
    process
}

fn process(parent: Process<'_>) -> Tree {
    let mut process = Tree::default();
    if parent.pid.is_none() {
        return process;
    }
    process.put("pid", parent.pid);
    process.put("name", parent.name());
    process.put("cmd_line", parent.command_line);
    process.put(
        "file",
        parent.executable.map(|path| Value::from(file(path))),
    );
    process
}

fn exec_file(path: &str, exec: &Value) -> Tree {
    let mut file = file(path);
    if exec["deleted"] == true {
        file.put("is_deleted", true);
    }
    // SHA-256 has the number 3.
    let hash = exec["file"]["sha256"].as_str();
    let hash = hash.map(|value| json!([{"algorithm_id": 3, "value": value}]));
    file.put("hashes", hash);
    file
}

/// A regular file (`type_id` 1).
fn file(path: &str) -> Tree {
    let mut file = Tree::default();
    if path.is_empty() {
        return file;
    }
    file.put("name", name(path));
    file.put("path", path);
    file.put("type_id", 1);
    file
}

fn edit_evidence(edit: &Value) -> Value {
    let mut evidence = Tree::default();
    let path = edit["path"].as_str().unwrap_or_default();
    evidence.put("file", file(path));
    evidence.put("data.what", edit["what"].as_str());
    evidence.put("data.time", edit["time"].as_str());
    let who = Process {
        pid: edit["pid"].as_u64(),
        executable: edit["executable"].as_str(),
        command_line: None,
    };
    evidence.put("actor.process", process(who));
    evidence.into()
}
