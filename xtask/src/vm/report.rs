//! The outcome of every guest, for a reader and for a machine.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::console::{Console, Tests};
use super::kernel::Kernel;
use super::qemu::Timing;
use super::series::Series;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) kernel: &'static str,
    /// As the guest's own `uname -r` says it.
    release: Option<String>,
    accelerator: Option<&'static str>,
    boot_s: Option<f64>,
    total_s: Option<f64>,
    passed: u32,
    failed: u32,
    skipped: u32,
    warnings: Vec<String>,
    /// Absent when the guest passed.
    failure: Option<String>,
}

impl Report {
    pub(crate) fn new(kernel: &Kernel, console: &Console, timing: Timing) -> Self {
        let Tests {
            passed,
            failed,
            skipped,
        } = console.tests;
        let failure = if timing.is_timed_out {
            Some(format!(
                "out of time after {:.0} s",
                timing.total.as_secs_f64()
            ))
        } else {
            console.failure(&kernel.release)
        };
        Self {
            kernel: kernel.series.name(),
            release: console.release.clone(),
            accelerator: Some(timing.accelerator.name()),
            boot_s: timing.boot.map(|boot| tenths(boot.as_secs_f64())),
            total_s: Some(tenths(timing.total.as_secs_f64())),
            passed,
            failed,
            skipped,
            warnings: console.warnings.clone(),
            failure,
        }
    }

    pub(crate) fn without_kernel(series: Series, error: &anyhow::Error) -> Self {
        Self {
            kernel: series.name(),
            release: None,
            accelerator: None,
            boot_s: None,
            total_s: None,
            passed: 0,
            failed: 0,
            skipped: 0,
            warnings: Vec::new(),
            failure: Some(format!("{error:#}")),
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
