//! The outcome on every kernel, for a reader and for a machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::architecture::Architecture;
use super::console::{Console, Tests};
use super::facts::Facts;
use super::kernel::Kernel;
use super::qemu::Timing;
use super::series::Series;
use super::subject::NATIVE;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) kernel: &'static str,
    /// As the kernel's own `uname -r` says it.
    pub(crate) release: Option<String>,
    /// What `uname -m` says.
    pub(crate) architecture: &'static str,
    /// Absent for the kernel that runs here already.
    pub(crate) accelerator: Option<&'static str>,
    boot_s: Option<f64>,
    pub(crate) total_s: Option<f64>,
    pub(crate) passed: u32,
    failed: u32,
    skipped: u32,
    pub(crate) warnings: Vec<String>,
    /// Absent when every test passed.
    pub(crate) failure: Option<String>,
    #[serde(skip)]
    pub(crate) facts: Facts,
}

impl Report {
    pub(crate) fn of_guest(kernel: &Kernel, console: Console, timing: Timing) -> Self {
        let out_of_time = timing
            .is_timed_out
            .then(|| format!("out of time after {:.0} s", timing.total.as_secs_f64()));
        Self {
            accelerator: Some(timing.accelerator.name()),
            boot_s: timing.boot.map(|boot| tenths(boot.as_secs_f64())),
            total_s: Some(tenths(timing.total.as_secs_f64())),
            failure: out_of_time.or_else(|| console.failure(&kernel.release)),
            ..Self::of_console(kernel.series.name(), kernel.series.architecture(), console)
        }
    }

    /// Of the kernel that runs here already, whose release is known beforehand.
    pub(crate) fn of_native(release: &str, console: Console, total: Duration) -> Self {
        Self {
            total_s: Some(tenths(total.as_secs_f64())),
            failure: console.failure(release),
            ..Self::of_console(NATIVE, Architecture::Amd64, console)
        }
    }

    pub(crate) fn without_kernel(series: Series, error: &anyhow::Error) -> Self {
        Self {
            failure: Some(format!("{error:#}")),
            ..Self::of_console(series.name(), series.architecture(), Console::default())
        }
    }

    fn of_console(kernel: &'static str, architecture: Architecture, console: Console) -> Self {
        let Tests {
            passed,
            failed,
            skipped,
        } = console.tests;
        Self {
            kernel,
            release: console.release,
            architecture: architecture.name(),
            accelerator: None,
            boot_s: None,
            total_s: None,
            passed,
            failed,
            skipped,
            warnings: console.warnings,
            failure: None,
            facts: console.facts,
        }
    }

    pub(crate) fn is_pass(&self) -> bool {
        self.failure.is_none()
    }
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

pub(crate) fn table(reports: &[Report]) -> String {
    let seconds =
        |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} s"));
    let mut table = format!(
        "{:<8} {:<32} {:>8} {:>8} {:>7} {:>7} {:>8}  verdict\n",
        "kernel", "uname -r", "boot", "total", "passed", "failed", "skipped"
    );
    for report in reports {
        table.push_str(&format!(
            "{:<8} {:<32} {:>8} {:>8} {:>7} {:>7} {:>8}  {}\n",
            report.kernel,
            report.release.as_deref().unwrap_or("-"),
            seconds(report.boot_s),
            seconds(report.total_s),
            report.passed,
            report.failed,
            report.skipped,
            report.failure.as_deref().unwrap_or("passed"),
        ));
    }
    table
}

pub(crate) fn write_summary(reports: &[Report], path: &Path) -> Result<()> {
    let mut json = serde_json::to_string_pretty(reports).context("encode summary")?;
    json.push('\n');
    std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
}
