//! What the guest says on its serial console, and what to make of it.
//!
//! ```text
//! WALLWATCH-VM-KERNEL <uname -r>      the guest's init runs
//! WALLWATCH-VM-WARNING <text>         something is missing, the tests decide whether it matters
//! WALLWATCH-VM-START                  the tests begin
//! WALLWATCH-VM-SIGHT <text>           what the agent says it sees
//! WALLWATCH-VM-DESCRIPTOR <fields>    one of the agent's programs or links
//! test result: ok. 3 passed; …        from the test harness
//! WALLWATCH-VM-EXIT <status>          the tests ended
//! Kernel panic - not syncing: …       from the kernel; nothing follows
//! ```
//! Programs under test write to the console too, without a care for whole
//! lines: a mark counts wherever it stands in the line.

use super::facts::Facts;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Console {
    pub(crate) release: Option<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) has_started: bool,
    pub(crate) tests: Tests,
    pub(crate) facts: Facts,
    exit_status: Option<i32>,
    panic: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tests {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Console {
    pub(crate) fn read_line(&mut self, line: &str) {
        if let Some(release) = after(line, "WALLWATCH-VM-KERNEL ") {
            self.release = Some(release.to_owned());
        } else if let Some(warning) = after(line, "WALLWATCH-VM-WARNING ") {
            self.warnings.push(warning.to_owned());
        } else if line.contains("WALLWATCH-VM-START") {
            self.has_started = true;
        } else if let Some(sight) = after(line, "WALLWATCH-VM-SIGHT ") {
            self.facts.read_sight(sight);
        } else if let Some(fields) = after(line, "WALLWATCH-VM-DESCRIPTOR ") {
            self.facts.read_descriptor(fields);
        } else if let Some(status) = after(line, "WALLWATCH-VM-EXIT ") {
            self.exit_status = status.parse().ok();
        } else if let Some(counts) = after(line, "test result: ") {
            self.tests = parse_counts(counts);
        } else if let Some(reason) = after(line, "Kernel panic - not syncing: ") {
            self.panic.get_or_insert_with(|| reason.to_owned());
        }
    }

    pub(crate) fn has_panicked(&self) -> bool {
        self.panic.is_some()
    }

    /// Why the guest's run is no success, if it is none.
    pub(crate) fn failure(&self, expected_release: &str) -> Option<String> {
        if let Some(reason) = &self.panic {
            return Some(format!("kernel panic: {reason}"));
        }
        let Some(release) = &self.release else {
            return Some("the guest's init never ran".to_owned());
        };
        if release != expected_release {
            return Some(format!("booted {release} instead of {expected_release}"));
        }
        let Some(status) = self.exit_status else {
            return Some("the tests did not end".to_owned());
        };
        if self.tests.failed > 0 {
            return Some(format!("tests failed: {}", self.tests.failed));
        }
        if status != 0 {
            return Some(format!("tests exited with status {status}"));
        }
        if self.tests.passed == 0 {
            return Some("no test ran".to_owned());
        }
        None
    }
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark).map(|(_, rest)| rest.trim())
}

/// `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out; …`
fn parse_counts(counts: &str) -> Tests {
    let counts = counts.split_once(". ").map_or(counts, |(_, rest)| rest);
    let count = |label: &str| {
        counts
            .split(';')
            .filter_map(|part| part.trim().split_once(' '))
            .find(|(_, what)| *what == label)
            .and_then(|(number, _)| number.parse().ok())
            .unwrap_or(0)
    };
    Tests {
        passed: count("passed"),
        failed: count("failed"),
        skipped: count("ignored"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Console, Tests};

    const RESULT: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; \
                          9 filtered out; finished in 0.50s";

    fn check(lines: &[&str], failure: Option<&str>) {
        let mut console = Console::default();
        for line in lines {
            console.read_line(line);
        }
        assert_eq!(console.failure("6.1.0-50-cloud-amd64").as_deref(), failure);
    }

    const KERNEL: &str = "WALLWATCH-VM-KERNEL 6.1.0-50-cloud-amd64\r";

    #[test]
    fn a_run_passes_with_an_exit_line_and_a_test() {
        check(&[KERNEL, RESULT, "WALLWATCH-VM-EXIT 0\r"], None);
        let polluted = format!("chain INPUT{RESULT}");
        check(&[KERNEL, &polluted, "~ WALLWATCH-VM-EXIT 0"], None);
    }

    #[test]
    fn a_run_fails_for_what_is_wrong_or_absent() {
        let ended = "WALLWATCH-VM-EXIT 0";
        check(&[], Some("the guest's init never ran"));
        check(&[KERNEL, RESULT], Some("the tests did not end"));
        check(&[KERNEL, ended], Some("no test ran"));
        check(
            &[
                KERNEL,
                "test result: ok. 0 passed; 0 failed; 0 ignored",
                ended,
            ],
            Some("no test ran"),
        );
        check(
            &[KERNEL, RESULT, "WALLWATCH-VM-EXIT 101"],
            Some("tests exited with status 101"),
        );
        check(
            &[
                KERNEL,
                "test result: FAILED. 1 passed; 2 failed; 0 ignored",
                "WALLWATCH-VM-EXIT 101",
            ],
            Some("tests failed: 2"),
        );
        check(
            &["WALLWATCH-VM-KERNEL 5.10.0-1", RESULT, ended],
            Some("booted 5.10.0-1 instead of 6.1.0-50-cloud-amd64"),
        );
    }

    #[test]
    fn a_panic_outweighs_everything() {
        check(
            &[
                KERNEL,
                "[    4.2] Kernel panic - not syncing: Attempted to kill init!",
                RESULT,
                "WALLWATCH-VM-EXIT 0",
            ],
            Some("kernel panic: Attempted to kill init!"),
        );
    }

    #[test]
    fn counts_and_warnings_are_kept() {
        let mut console = Console::default();
        console.read_line(RESULT);
        console.read_line("WALLWATCH-VM-WARNING this kernel has no module ip_tables\r");
        console.read_line("WALLWATCH-VM-START\r");
        assert_eq!(
            console.tests,
            Tests {
                passed: 3,
                failed: 0,
                skipped: 1
            }
        );
        assert_eq!(console.warnings, ["this kernel has no module ip_tables"]);
        assert!(console.has_started);
    }
}
