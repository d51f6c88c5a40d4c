//! What was made of one exec of a replay, as a person reads it.

use crate::pipeline::Explanation;
use crate::pipeline::detect::explain::{Explanation as RuleExplanation, Standing};
use crate::pipeline::exec::{ExePath, Exec};
use crate::pipeline::firewall::tamper::explain::{
    CommandMeaning, Explanation as TamperExplanation,
};

use super::{COMMAND_BYTES_MAX, Page, Passive, counted, field, unknown_path};
use crate::delivery::encode::Moment;
use crate::delivery::encode::change::ChangeText;
use crate::delivery::encode::text::Text;

/// Changes of one command that are shown.
const CHANGES_MAX: usize = 8;

/// Which exec it was, whether the rule matched it and why, and what its command means. Nothing in it acts
/// on the terminal.
pub fn explained(exec: &Exec, explanation: &Explanation) -> String {
    let mut page = Page::default();
    let mut process = Vec::new();
    exec.argv.join_into(&mut process);
    let head = format!(
        "{} ({}): {}",
        path(&exec.exe),
        exec.process.tgid,
        Text::whole(&process).within(COMMAND_BYTES_MAX)
    );
    page.put(format_args!("{} {}", Moment(exec.time), Passive(&head)));
    page.line("rule", &rule(exec, &explanation.rule));
    if explanation.parent_is_replaced {
        page.more("the parent says that it runs another file than it was started from: it is never excluded");
    }
    match &explanation.tamper {
        Some(tamper) => command(&mut page, tamper),
        None => page.line("command", "not judged: [tamper] is not enabled"),
    }
    page.text
}

fn path(exe: &ExePath) -> String {
    match exe {
        ExePath::Known(path) => field(path).to_string(),
        ExePath::Unknown(why) => unknown_path(*why),
    }
}

fn rule(exec: &Exec, rule: &RuleExplanation) -> String {
    let port = match &rule.port {
        Some(port) => format!("port {port}"),
        None => "no port extracted".to_owned(),
    };
    if let Some(group) = &rule.group {
        return format!("matches; {port}; {}", standing(group));
    }
    let clauses = &rule.clauses;
    let excluded = rule.excluded_by.as_ref().map(|pattern| {
        let parent = path(&exec.parent_exe);
        format!("the parent {parent} is excluded by \"{pattern}\"")
    });
    let hold: Vec<&str> = clauses
        .iter()
        .filter(|(_, range)| range.is_some())
        .map(|(clause, _)| clause.as_str())
        .collect();
    let mut parts = Vec::new();
    let first_failing = clauses.iter().find(|(_, range)| range.is_none());
    if let Some((clause, _)) = first_failing {
        parts.push(format!("{clause} is the first clause that fails"));
    }
    parts.extend(excluded);
    parts.push(match hold.len() {
        0 => format!("none of {} holds", counted(clauses.len() as u64, "clause")),
        n if n == clauses.len() => format!("all {n} clauses over process hold"),
        n => format!("{n} of {} hold: {}", clauses.len(), hold.join(", ")),
    });
    parts.push(port);
    format!("no match: {}", parts.join("; "))
}

fn standing(group: &Standing) -> String {
    let Standing {
        ports,
        port_count_min,
        alert,
        suppressed_by,
        is_late,
    } = group;
    let n = ports.len();
    let mut text = format!("{n} of {port_count_min} ports in this window");
    if n > 0 {
        text.push_str(&format!(": {}", ports.join(" ")));
    }
    if *is_late {
        text.push_str("; too late to be counted with others of its time");
    }
    match (alert, suppressed_by) {
        (_, Some(filter)) => text.push_str(&format!("; withheld by filter \"{filter}\"")),
        (Some(alert), None) => text.push_str(&format!("; alert {alert}")),
        (None, None) => {}
    }
    text
}

fn command(page: &mut Page, tamper: &TamperExplanation) {
    match &tamper.command {
        CommandMeaning::NoTool => page.line("command", "of no firewall tool"),
        CommandMeaning::Query => page.line("command", "only reads or checks: no finding"),
        CommandMeaning::Rejected { reason } => {
            page.line("command", &format!("the tool refuses it: {reason}"));
        }
        CommandMeaning::Changes(changes) => {
            page.line(
                "command",
                &format!("asks for {}", counted(changes.len() as u64, "change")),
            );
            for (change, kind) in changes.iter().take(CHANGES_MAX) {
                let kind = kind.map_or("no finding", |kind| kind.as_str());
                let text = ChangeText(change).to_string();
                page.more(&format!("  {} -> {kind}", field(text.as_bytes())));
            }
            page.rest(changes.len(), CHANGES_MAX);
        }
    }
    for kind in &tamper.disguises {
        page.line("pretence", kind.as_str());
    }
}
