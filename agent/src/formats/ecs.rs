//! Process events in the Elastic Common Schema: Elastic Defend, Auditbeat, and what ingest pipelines make of other
//! sensors' events. One JSON object a line; fields nested or with dots in their names; a document as
//! Elasticsearch hands it out (`_source`, `fields`) or as it was sent.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::exec::{
    bare, guid, mark_cut, set_executable, set_id, set_parent, set_user, split, without_nul,
};
use crate::pipeline::exec::{Argv, Exec};
use crate::pipeline::tty::Tty;

/// What senders call a start of a program that is no fork: Elastic Defend, the audit module of Auditbeat, its
/// process module, and both Sysmon integrations.
const EXEC_ACTIONS: [&str; 4] = ["exec", "executed", "process_started", "start"];

/// Reads one line. `None` when it is of no exec that succeeded.
pub(super) fn read(line: &[u8]) -> Result<Option<Exec>, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if !value.is_object() {
        return Err("expected a JSON object".to_owned());
    }
    let wrapped = ["_source", "fields"]
        .iter()
        .find_map(|name| value.get(name));
    let event = Document(wrapped.filter(|it| it.is_object()).unwrap_or(&value));
    if !event.is_exec() {
        return Ok(None);
    }
    event.exec().map(Some)
}

struct Document<'a>(&'a Value);

impl<'a> Document<'a> {
    fn is_exec(&self) -> bool {
        let is = |path, word: &str| self.texts(path).any(|text| text == word);
        let is_start = is("event.type", "start");
        let has_exec_action = EXEC_ACTIONS.iter().any(|action| is("event.action", action));
        is("event.category", "process")
            && !is("event.outcome", "failure")
            && (has_exec_action || is_start && !is("event.action", "fork"))
    }

    fn exec(&self) -> Result<Exec, String> {
        let pid = self.needed_id("process.pid")?;
        let ppid = match self.id("process.parent.pid")? {
            Some(ppid) => ppid,
            // Its name before ECS 1.3.
            None => self
                .id("process.ppid")?
                .ok_or_else(|| missing("process.parent.pid"))?,
        };
        let mut exec = bare(self.time()?, pid, ppid);
        if let Some(told) = self.text("process.entity_id").and_then(guid) {
            exec.guid = told;
        }
        self.set_who(&mut exec)?;
        exec.dest = self
            .text("host.name")
            .or(self.text("host.hostname"))
            .map(Arc::from);
        exec.host_id = self.text("host.id").map(Arc::from);
        if let Some(path) = self.path("process.executable")? {
            set_executable(&mut exec, path);
        }
        if let Some(path) = self.path("process.parent.executable")? {
            set_parent(&mut exec, path);
        }
        if let Some(argv) = self.argv("process")? {
            exec.argv = argv;
        }
        exec.parent_argv = self.argv("process.parent")?;
        Ok(exec)
    }

    /// Elastic Defend has the effective user in `user`, and the real one in `process.real_user`.
    fn set_who(&self, exec: &mut Exec) -> Result<(), String> {
        let has_real = self.find("process.real_user.id").is_some();
        let (real, effective) = if has_real {
            ("process.real_user", "user")
        } else {
            ("user", "user.effective")
        };
        let name = self.text(&format!("{real}.name"));
        set_user(exec, name, self.unix_id(&format!("{real}.id")));
        exec.euid = self.unix_id(&format!("{effective}.id"));
        exec.gid = self
            .unix_id("process.real_group.id")
            .or(self.unix_id("group.id"));
        exec.login_uid = self.unix_id("user.audit.id").and_then(set_id);
        exec.session_id = self.unix_id("auditd.session").and_then(set_id);
        let device = |part| self.unix_id(&format!("process.tty.char_device.{part}"));
        if let (Some(major @ 0..0x1000), Some(minor @ 0..0x10_0000)) =
            (device("major"), device("minor"))
        {
            exec.tty = Tty::Device(major << 20 | minor);
        }
        Ok(())
    }

    /// `args` are the arguments; of Sysmon's events they are what an ingest pipeline took the one text for, quotes and
    /// all, and the text is what was logged.
    fn argv(&self, process: &str) -> Result<Option<Argv>, String> {
        let told: Vec<&str> = self.texts(&format!("{process}.args")).collect();
        let line = self.text(&format!("{process}.command_line"));
        let is_sysmon = ["event.module", "event.dataset", "event.provider"]
            .into_iter()
            .filter_map(|path| self.text(path))
            .any(|text| text.to_ascii_lowercase().contains("sysmon"));
        match line {
            Some(line) if told.is_empty() || is_sysmon => return split(line.as_bytes()).map(Some),
            None if told.is_empty() => return Ok(None),
            _ => {}
        }
        for argument in &told {
            without_nul(argument.as_bytes())?;
        }
        let count = self.id(&format!("{process}.args_count"))?.map(u64::from);
        let mut argv = Argv::from_arguments(told.iter().map(|text| text.as_bytes()));
        mark_cut(&mut argv, told.len() as u64, count);
        Ok(Some(argv))
    }

    /// Nanoseconds since 1970; `@timestamp` is RFC 3339, or a number of milliseconds.
    fn time(&self) -> Result<u64, String> {
        let told = self
            .find("@timestamp")
            .map(first)
            .ok_or_else(|| missing("@timestamp"))?;
        let ns = match told {
            Value::Number(ms) => ms.as_u64().and_then(|ms| ms.checked_mul(1_000_000)),
            Value::String(text) => text
                .parse()
                .ok()
                .and_then(|time: Timestamp| u64::try_from(time.as_nanosecond()).ok()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        ns.ok_or_else(|| format!("@timestamp is {}, expected RFC 3339", shown(told)))
    }

    fn path(&self, path: &str) -> Result<Option<&'a [u8]>, String> {
        let text = self.text(path).map(str::as_bytes);
        without_nul(text.unwrap_or_default())?;
        Ok(text)
    }

    fn text(&self, path: &str) -> Option<&'a str> {
        first(self.find(path)?)
            .as_str()
            .filter(|text| !text.is_empty())
    }

    /// One text or a list of them.
    fn texts(&self, path: &str) -> impl Iterator<Item = &'a str> {
        let values = match self.find(path) {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        values.iter().filter_map(Value::as_str)
    }

    fn needed_id(&self, path: &str) -> Result<u32, String> {
        self.id(path)?.ok_or_else(|| missing(path))
    }

    fn id(&self, path: &str) -> Result<Option<u32>, String> {
        let Some(value) = self.find(path).map(first).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        number(value)
            .map(Some)
            .ok_or_else(|| format!("{path} is {}, expected a number", shown(value)))
    }

    /// An id of user or group, which on Windows is no number.
    fn unix_id(&self, path: &str) -> Option<u32> {
        number(first(self.find(path)?))
    }

    fn find(&self, path: &str) -> Option<&'a Value> {
        find(self.0, path)
    }
}

/// The field at `path`, of which each dot may stand in a name or between two objects.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    if let Some(found) = object.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(at, _)| {
        let inner = object.get(&path[..at])?;
        find(inner, &path[at + 1..])
    })
}

/// A list of one is the one.
fn first(value: &Value) -> &Value {
    value
        .as_array()
        .and_then(|values| values.first())
        .unwrap_or(value)
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn missing(path: &str) -> String {
    format!("{path} is missing")
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}
