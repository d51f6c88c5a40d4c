//! `agent/docs/kernels.md`: what was seen on each kernel, written by the run that saw it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::report::Report;
use super::subject::Subject;
use crate::{cmd, time};

const FILE: &str = "agent/docs/kernels.md";
const MANIFEST: &str = "agent-ebpf/object/manifest.json";

const HEAD: &str = "\
# Kernels

This file is written by `cargo xtask vm --write-docs`, never by hand.
The command boots Debian's kernels under qemu and runs every test of `tests/kernel.rs` in each; `native` is the kernel of the machine that it ran on, `aarch64` the one of Debian 13 for 64-bit ARM.
A row stands until its kernel is run again.

";

const COLUMNS: [&str; 11] = [
    "kernel",
    "release",
    "BTF fields missing",
    "`sched_process_*`",
    "tail-called",
    "instructions verified",
    "limits",
    "tests",
    "seconds",
    "on",
    "object",
];

const FOOT: &str = "
* *BTF fields missing*: kernel members that the agent looked for and did not find, by its own word (`sight=` in its log). A field that hangs on one is unknown on that kernel; nothing else is lost.
* *`sched_process_*`*: the tracepoints on which a program is attached. `exec ×2` is the exec program and the one that rescues execs which the kernel skips for the first.
* *tail-called*: programs that only other programs reach: what is too much for the verifier, or too long for a loop, in one.
* *instructions verified*: what the verifier went through, for the largest program and for all (told since Linux 5.16); it gives up at a million for one program.
* *limits*: what the kernel keeps from the agent besides, and what the guest lacked. Skipped runs of a program are counted by the kernel since Linux 5.12.
* *seconds*: from power-on to power-off, under hardware virtualisation (kvm) or emulation (tcg); of `native` the tests alone.
* *object*: the start of the SHA-256 of the kernel object under test, as in `agent-ebpf/object/manifest.json`.
";

/// Rows by kernel; the cells of each as they stand in the file.
type Rows = BTreeMap<String, String>;

/// Puts the kernel's row into the file in place of an older one, as soon as there is one: a run is
/// long. A kernel that could not be had was not run, and keeps its row.
pub(crate) fn write(report: &Report) -> Result<()> {
    if report.release.is_none() {
        return Ok(());
    }
    let path = cmd::root().join(FILE);
    let mut rows = match fs::read_to_string(&path) {
        Ok(text) => read_rows(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => Rows::new(),
        Err(error) => return Err(error).with_context(|| format!("read {FILE}")),
    };
    let row = row(report, &today()?, &object()?);
    rows.insert(report.kernel.to_owned(), row);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(&path, render(&rows)).with_context(|| format!("write {FILE}"))?;
    println!("written: {FILE}");
    Ok(())
}

/// Before anything is run: another object than the committed one is not what the file speaks of.
pub(crate) fn check() -> Result<()> {
    ensure!(
        std::env::var_os("WALLWATCH_BPF_OBJECT").is_none(),
        "{FILE} speaks of the committed kernel object; unset WALLWATCH_BPF_OBJECT"
    );
    Ok(())
}

fn today() -> Result<String> {
    let now = i128::from(time::now_utc_ns()?);
    let now = Timestamp::from_nanosecond(now).context("read the clock")?;
    Ok(now.strftime("%F").to_string())
}

fn object() -> Result<String> {
    let text = fs::read_to_string(cmd::root().join(MANIFEST))
        .with_context(|| format!("read {MANIFEST}"))?;
    let manifest: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("understand {MANIFEST}"))?;
    let hash = manifest["object_sha256"].as_str().unwrap_or_default();
    let start = hash.get(..8);
    start
        .map(str::to_owned)
        .with_context(|| format!("read object_sha256 of {MANIFEST}"))
}

fn row(report: &Report, today: &str, object: &str) -> String {
    let facts = &report.facts;
    let release = report.release.as_deref().unwrap_or_default();
    // Behind the version a machine's own kernel has a name that means nothing elsewhere.
    let release = match report.accelerator {
        Some(_) => release,
        None => release.split('-').next().unwrap_or(release),
    };
    let mut limits: Vec<&str> = facts.limits().into_iter().collect();
    limits.extend(report.warnings.iter().map(String::as_str));
    let limits = if limits.is_empty() {
        "none".to_owned()
    } else {
        limits.join("; ")
    };
    let tests = match &report.failure {
        Some(failure) => format!("**failed**: {failure}"),
        None => format!("{} passed", report.passed),
    };
    let seconds = format!(
        "{:.0}{}",
        report.total_s.unwrap_or_default(),
        report
            .accelerator
            .map_or_else(String::new, |name| format!(" ({name})"))
    );
    let cells = [
        report.kernel.to_owned(),
        format!("{release}, {}", report.architecture),
        facts.missing_fields(),
        facts.tracepoints(),
        facts.tail_called(),
        facts.verified(),
        limits,
        tests,
        seconds,
        today.to_owned(),
        object.to_owned(),
    ];
    line(cells.iter().map(|cell| cell.replace('|', "/")))
}

fn line(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    cells.into_iter().fold("|".to_owned(), |text, cell| {
        format!("{text} {} |", cell.as_ref())
    })
}

/// The rows of kernels that can be named today; a row of any other is dropped.
fn read_rows(text: &str) -> Rows {
    text.lines()
        .filter_map(|line| {
            let name = line.strip_prefix("| ")?.split(" |").next()?;
            let is_known = Subject::ALL.iter().any(|subject| subject.name() == name);
            is_known.then(|| (name.to_owned(), line.to_owned()))
        })
        .collect()
}

fn render(rows: &Rows) -> String {
    let mut text = HEAD.to_owned();
    text.push_str(&line(COLUMNS));
    text.push('\n');
    text.push_str(&"|---".repeat(COLUMNS.len()));
    text.push_str("|\n");
    for row in Subject::ALL
        .iter()
        .filter_map(|subject| rows.get(subject.name()))
    {
        text.push_str(row);
        text.push('\n');
    }
    text.push_str(FOOT);
    text
}

#[cfg(test)]
mod tests {
    use super::super::console::Console;
    use super::{Report, read_rows, render, row};
    use std::time::Duration;

    fn report(lines: &[&str]) -> Report {
        let mut console = Console::default();
        for line in lines {
            console.read_line(line);
        }
        Report::of_native("6.18.5-home", console, Duration::from_secs(42))
    }

    #[test]
    fn a_row_tells_what_the_run_saw() {
        let report = report(&[
            "WALLWATCH-VM-KERNEL 6.18.5-home",
            "WALLWATCH-VM-SIGHT BTF tracepoints, all fields",
            "WALLWATCH-VM-DESCRIPTOR prog_type: 26 prog_id: 3 recursion_misses: 0 verified_insns: 9",
            "WALLWATCH-VM-DESCRIPTOR link_type: raw_tracepoint prog_id: 3 tp_name: sched_process_exec",
            "test result: ok. 21 passed; 0 failed; 0 ignored; 0 measured",
            "WALLWATCH-VM-EXIT 0",
        ]);
        assert_eq!(
            row(&report, "2026-11-24", "0a1b2c3d"),
            "| native | 6.18.5, x86_64 | none | exec | 0 | 9 / 9 | none | 21 passed | 42 \
             | 2026-11-24 | 0a1b2c3d |"
        );
    }

    #[test]
    fn a_failure_is_written_as_one() {
        let report = report(&[
            "WALLWATCH-VM-KERNEL 6.18.5-home",
            "WALLWATCH-VM-WARNING no a|b",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured",
            "WALLWATCH-VM-EXIT 101",
        ]);
        let row = row(&report, "2026-11-24", "0a1b2c3d");
        assert!(
            row.contains("| no a/b | **failed**: tests failed: 2 | 42 |"),
            "{row}"
        );
    }

    #[test]
    fn rows_of_kernels_that_were_not_run_are_kept_in_order() {
        let old = "| native | 6.18 |\n| 5.10 | old |\n| 4.19 | gone |\n";
        let mut rows = read_rows(old);
        rows.insert("6.1".to_owned(), "| 6.1 | new |".to_owned());
        let text = render(&rows);
        assert!(
            text.contains("|\n| 5.10 | old |\n| 6.1 | new |\n| native | 6.18 |\n\n"),
            "{text}"
        );
        assert!(!text.contains("4.19"));
        assert_eq!(read_rows(&text), rows);
    }
}
