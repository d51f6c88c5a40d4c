//! A report for a person and for a program. Nothing in it acts on a terminal, whatever the host is
//! called.

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::delivery::encode::human::passive;
use crate::delivery::encode::json::passive_line;
use crate::exit_code::ExitCode;

use super::check::{Report, Status};

/// Rises when a name changes its meaning or goes; a new check or value leaves it alone.
const SCHEMA: &str = "wallwatch.doctor/1";

/// One line a check, what to do in the lines below it, and the verdict in the last one.
pub fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for check in &report.checks {
        let (status, name) = (check.status.as_str(), check.name);
        lines.push(format!(
            "{status:<4}  {name:<14}  {}",
            passive(&check.found)
        ));
        if let Some(remedy) = &check.remedy {
            lines.push(format!("{:<22}-> {}", "", passive(remedy)));
        }
    }
    lines.push(format!("\n{}\n", verdict(report)));
    lines.join("\n")
}

fn verdict(report: &Report) -> String {
    let counted = |status, one: &str| match report.count(status) {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {one}s")),
    };
    let parts: Vec<String> = [
        counted(Status::Fail, "failure"),
        counted(Status::Warn, "warning"),
        counted(Status::Skip, "skipped check"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let verdict = sentence(report.exit_code());
    if parts.is_empty() {
        verdict.to_owned()
    } else {
        format!("{verdict}: {}", parts.join(", "))
    }
}

fn sentence(code: ExitCode) -> &'static str {
    match word(code) {
        "works" => "watching works",
        "kernel" => "watching does not work: the kernel lacks what it needs",
        "permission" => "watching does not work for this caller: permission is missing",
        _ => "watching does not work as it should",
    }
}

/// The verdict as a program reads it.
fn word(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Success => "works",
        ExitCode::Unavailable => "kernel",
        ExitCode::NoPermission => "permission",
        ExitCode::Found
        | ExitCode::Usage
        | ExitCode::DataError
        | ExitCode::NoInput
        | ExitCode::Software
        | ExitCode::IoError
        | ExitCode::Config => "fails",
    }
}

/// The order here is the order of the fields.
#[derive(Serialize)]
struct ReportLine<'a> {
    schema: &'static str,
    agent: AgentLine,
    verdict: &'static str,
    exit_status: u8,
    checks: Vec<CheckLine<'a>>,
}

#[derive(Serialize)]
struct AgentLine {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct CheckLine<'a> {
    name: &'static str,
    status: &'static str,
    found: &'a str,
    remedy: Option<&'a str>,
    values: &'a Map<String, Value>,
}

/// One object and LF.
pub fn json(report: &Report) -> anyhow::Result<String> {
    let code = report.exit_code();
    let checks = report.checks.iter().map(|check| CheckLine {
        name: check.name,
        status: check.status.as_str(),
        found: &check.found,
        remedy: check.remedy.as_deref(),
        values: &check.values,
    });
    let line = ReportLine {
        schema: SCHEMA,
        agent: AgentLine {
            name: "wallwatch",
            version: env!("CARGO_PKG_VERSION"),
        },
        verdict: word(code),
        exit_status: code as u8,
        checks: checks.collect(),
    };
    let bytes = passive_line(&line).context("encode the report")?;
    String::from_utf8(bytes).context("encode the report")
}

#[cfg(test)]
mod tests {
    use super::super::check::{Cause, Check};
    use super::*;

    fn report() -> Report {
        let checks = vec![
            Check::ok("kernel", "Linux 6.1\u{1b}[2J").value("release", "6.1\u{202e}"),
            Check::warn("cgroup", "hybrid").remedy("use v2\nalone"),
            Check::fail("btf", Cause::Kernel, "none"),
        ];
        Report { checks }
    }

    #[test]
    fn a_person_gets_a_line_a_check_what_to_do_and_the_verdict() {
        expect_test::expect![[r"
            ok    kernel          Linux 6.1\x1b[2J
            warn  cgroup          hybrid
                                  -> use v2\x0aalone
            fail  btf             none

            watching does not work: the kernel lacks what it needs: 1 failure, 1 warning
        "]]
        .assert_eq(&text(&report()));
    }

    #[test]
    fn a_program_gets_one_object_that_acts_on_no_terminal() {
        let line = json(&report()).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains(['\u{1b}', '\u{202e}']));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["schema"], "wallwatch.doctor/1");
        assert_eq!(
            (&value["verdict"], &value["exit_status"]),
            (&"kernel".into(), &69.into())
        );
        assert_eq!(value["checks"][0]["values"]["release"], "6.1\u{202e}");
        assert_eq!(value["checks"][1]["remedy"], "use v2\nalone");
        assert_eq!(value["checks"][2]["remedy"], Value::Null);
    }

    #[test]
    fn a_host_without_a_fault_is_told_so() {
        let checks = vec![Check::ok("kernel", "Linux")];
        assert!(text(&Report { checks }).ends_with("\n\nwatching works\n"));
    }
}
