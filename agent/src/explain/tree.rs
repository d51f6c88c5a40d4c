//! The processes behind a finding, drawn: the oldest ancestor at the top, what did it at the bottom.

use super::log::Process;
use super::view::{View, counted};
use crate::delivery::encode::human::passive_within;

/// Ancestors that are drawn; the nearest ones and the oldest.
const ANCESTORS_MAX: usize = 24;
/// Execs that are drawn.
pub const EXECS_MAX: usize = 16;
const COMMAND_BYTES_MAX: usize = 400;

/// One process, and what came of it.
struct Node {
    text: String,
    /// Somewhere below, and not known to be a child.
    is_loose: bool,
    children: Vec<Node>,
}

impl Node {
    fn new(text: String) -> Self {
        Self {
            text,
            is_loose: false,
            children: Vec::new(),
        }
    }
}

/// One line a process, with two columns before each. Of an alert the parent's ancestors, the parent, and under
/// it the execs. Of a finding the lineage of the first who did it, and under the origin what else came from it.
pub fn tree(line: View<'_>) -> Vec<String> {
    let parent = line.at("parent");
    let (ancestors, origin) = if parent.at("pid").number().is_some() {
        (parent.at("ancestry"), Process::of(parent))
    } else {
        (line.at("lineage"), Process::of(line.at("origin")))
    };
    let is_finding = parent.at("pid").number().is_none();
    let ancestors: Vec<View<'_>> = ancestors.list().collect();
    let drawn: Vec<Option<Process>> = ancestors.iter().copied().map(Process::of).collect();
    let execs = line.at("execs").list().filter(|exec| {
        // What stands in the lineage with its command line need not stand there twice.
        let process = Process::of(*exec);
        !(is_finding && process.is_some() && drawn.contains(&process))
    });
    let mut below: Vec<Node> = execs
        .clone()
        .take(EXECS_MAX)
        .map(|exec| Node {
            is_loose: is_finding,
            ..Node::new(process(exec))
        })
        .collect();
    let n_more = execs.count().saturating_sub(EXECS_MAX) as u64
        + line.at("execs_omitted").count()
        + line.at("sensor").at("execs_omitted").count();
    if n_more > 0 {
        below.push(Node {
            is_loose: is_finding,
            ..Node::new(format!("and {} more", counted(n_more, "exec")))
        });
    }
    let mut lines = Vec::new();
    if let Some(root) = chain(line, &ancestors, origin, below) {
        draw(&root, "", "", &mut lines);
    }
    let adopted: Vec<View<'_>> = parent.at("origin").list().collect();
    if let Some(root) = chain(line, &adopted, None, Vec::new()) {
        lines.push("begun by, before the parent adopted it:".to_owned());
        draw(&root, "", "", &mut lines);
    }
    lines
}

/// From the oldest to the nearest, with what stands below `holder`, or below the nearest where nobody is that.
fn chain(
    line: View<'_>,
    nearest_first: &[View<'_>],
    holder: Option<Process>,
    below: Vec<Node>,
) -> Option<Node> {
    let mut shown: Vec<Option<View<'_>>> = nearest_first.iter().copied().map(Some).collect();
    if shown.len() > ANCESTORS_MAX {
        shown.splice(ANCESTORS_MAX - 1..shown.len() - 1, [None]);
    }
    let held_by = shown
        .iter()
        .position(|view| holder.is_some() && view.and_then(Process::of) == holder);
    let holder_at = held_by.unwrap_or(0);
    let mut below = Some(below);
    let mut child: Option<Node> = None;
    for (index, view) in shown.iter().enumerate() {
        let text = view.map_or_else(|| "…".to_owned(), process);
        let mut node = Node::new(text);
        if held_by == Some(index) {
            node.text.push_str(&mark(line));
        }
        node.children.extend(child.take());
        if index == holder_at {
            node.children.extend(below.take().unwrap_or_default());
        }
        child = Some(node);
    }
    child.or_else(|| {
        let children = below.filter(|below| !below.is_empty())?;
        Some(Node {
            children,
            ..Node::new("unknown".to_owned())
        })
    })
}

/// Of a finding what kind of origin the process is, of an alert what became of the parent's executable.
fn mark(line: View<'_>) -> String {
    let parent = line.at("parent");
    let kind = line.at("origin").at("kind").shown();
    if let Some(kind) = kind {
        format!("  <- origin ({kind})")
    } else if parent.at("memfd").holds() {
        "  <- its executable is in memory only".to_owned()
    } else if parent.at("deleted").holds() {
        "  <- its executable was removed".to_owned()
    } else {
        String::new()
    }
}

fn draw(node: &Node, before: &str, before_children: &str, lines: &mut Vec<String>) {
    lines.push(format!("{before}{}", node.text));
    let last = node.children.len().saturating_sub(1);
    for (index, child) in node.children.iter().enumerate() {
        let (branch, trunk) = match (index == last, child.is_loose) {
            (true, false) => ("└─ ", "   "),
            (true, true) => ("└┄ ", "   "),
            (false, false) => ("├─ ", "│  "),
            (false, true) => ("├┄ ", "│  "),
        };
        draw(
            child,
            &format!("{before_children}{branch}"),
            &format!("{before_children}{trunk}"),
            lines,
        );
    }
}

/// `/usr/bin/dash (3486, ended) running /tmp/x.sh: sh -c …`
fn process(view: View<'_>) -> String {
    let mut text = executable(view);
    let mut marks = vec![
        view.at("pid")
            .number()
            .map_or("?".to_owned(), |pid| pid.to_string()),
    ];
    let flags = [
        ("ended", "ended"),
        ("deleted", "executable removed"),
        ("memfd", "in memory only"),
    ];
    marks.extend(
        flags
            .into_iter()
            .filter(|(key, _)| view.at(key).holds())
            .map(|(_, mark)| mark.to_owned()),
    );
    text.push_str(&format!(" ({})", marks.join(", ")));
    if let Some(script) = view.at("script").shown() {
        text.push_str(&format!(" running {script}"));
    }
    if let Some(script) = view.at("claimed_script").shown() {
        text.push_str(&format!(" told to run {script}"));
    }
    if let Some(command) = view
        .at("command_line")
        .text()
        .filter(|text| !text.is_empty())
    {
        text.push_str(&format!(": {}", passive_within(command, COMMAND_BYTES_MAX)));
    }
    text
}

/// The path, or why it is not known.
pub fn executable(view: View<'_>) -> String {
    view.at("executable").shown().unwrap_or_else(|| {
        let why = view.at("executable_unknown").shown();
        why.map_or_else(|| "unknown".to_owned(), |why| format!("unknown ({why})"))
    })
}
