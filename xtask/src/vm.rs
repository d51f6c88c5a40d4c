//! `cargo xtask vm`: the kernel tests on kernels other than this machine's.
//!
//! ```text
//! apt ── kernel ──┐
//! payload ────────┼─ guest ── initramfs ── qemu ── console ── report
//! modules ────────┘
//! ```
//!
//! A kernel comes from the Debian mirror that apt uses here, signatures checked
//! by apt itself; nothing is installed. The guest is one initramfs with this
//! machine's own iptables, shells and the statically linked tests, so that a
//! boot needs neither a disk image nor a network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::console::Console;
use self::guest::Guest;
use self::kernel::{Kernel, Store};
use self::payload::{Payload, Workspace};
use self::report::Report;
pub(crate) use self::series::Series;

mod apt;
mod console;
mod guest;
mod initramfs;
mod kernel;
mod modules;
mod packages;
mod payload;
mod qemu;
mod report;
mod requirements;
mod series;
mod sources;

const TIMEOUT_S: u64 = 900;
const FILTER: &str = "kernel::";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Kernel series to boot; repeat for several, all when absent
    #[arg(long = "kernel", value_name = "SERIES", value_enum)]
    pub(crate) kernels: Vec<Series>,

    /// Time limit of one guest, from power-on to power-off, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_S)]
    pub(crate) timeout_s: u64,

    /// Which tests to run in the guest: a filter of the test harness
    #[arg(long, value_name = "FILTER", default_value = FILTER)]
    pub(crate) filter: String,

    /// Download nothing: only kernels that are already unpacked
    #[arg(long, conflicts_with = "refresh")]
    pub(crate) offline: bool,

    /// Look for a newer package even where a kernel is already unpacked
    #[arg(long)]
    pub(crate) refresh: bool,

    /// Keep each guest's initramfs and print the command that boots it
    #[arg(long)]
    pub(crate) keep: bool,

    /// Print the series, their suites and the unpacked kernels, and stop
    #[arg(long)]
    pub(crate) list: bool,
}

impl Options {
    /// These kernels, everything else as the command line has it by default.
    pub(crate) fn of(kernels: Vec<Series>) -> Self {
        Self {
            kernels,
            timeout_s: TIMEOUT_S,
            filter: FILTER.to_owned(),
            offline: false,
            refresh: false,
            keep: false,
            list: false,
        }
    }
}

/// Builds the tests and runs them in one guest for each kernel.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::locate()?;
    if options.list {
        return list(&Store::new(workspace.vm_dir()));
    }
    requirements::check()?;
    let payload = Payload::build(&workspace, &options.filter)?;
    run_payload(options, workspace.vm_dir(), &payload)
}

/// Boots every wanted kernel, one after the other: the guests emulate several
/// processors each, and two at a time would only make both miss their limits.
pub(crate) fn run_payload(options: &Options, vm_dir: PathBuf, payload: &Payload) -> Result<()> {
    std::fs::create_dir_all(&vm_dir).with_context(|| format!("create {}", vm_dir.display()))?;
    let store = Store::new(vm_dir.clone());
    let guest = Guest::new(payload)?;

    let mut reports = Vec::new();
    for series in wanted(options) {
        let report = match store.provide(series, options) {
            Ok(kernel) => boot(options, &vm_dir, &guest, &kernel)?,
            Err(error) => Report::without_kernel(series, &error),
        };
        reports.push(report);
    }

    println!("\n{}", report::table(&reports));
    report::write_summary(&reports, &vm_dir.join("summary.json"))?;
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| !report.is_pass())
        .map(|report| report.kernel)
        .collect();
    ensure!(failed.is_empty(), "failed on kernel {}", failed.join(", "));
    Ok(())
}

fn wanted(options: &Options) -> Vec<Series> {
    if options.kernels.is_empty() {
        return Series::ALL.to_vec();
    }
    let mut kernels = options.kernels.clone();
    kernels.sort();
    kernels.dedup();
    kernels
}

fn boot(options: &Options, vm_dir: &Path, guest: &Guest, kernel: &Kernel) -> Result<Report> {
    let name = kernel.series.name();
    let initramfs = vm_dir.join(format!("{name}.cpio"));
    guest
        .write_initramfs(kernel, &initramfs)
        .with_context(|| format!("build initramfs for {}", kernel.release))?;

    let machine = qemu::Machine {
        kernel: &kernel.image,
        initramfs: &initramfs,
        log: &vm_dir.join(format!("{name}.log")),
        prefix: name,
        time_limit: std::time::Duration::from_secs(options.timeout_s),
    };
    let mut console = Console::default();
    let timing = machine.run(&mut console)?;

    if options.keep {
        eprintln!("[{name}] boot it again with: {}", machine.command_line());
    } else {
        std::fs::remove_file(&initramfs)
            .with_context(|| format!("remove {}", initramfs.display()))?;
    }
    Ok(Report::new(kernel, &console, timing))
}

fn list(store: &Store) -> Result<()> {
    for series in Series::ALL {
        let unpacked = match store.newest_unpacked(series)? {
            Some(kernel) => kernel.release,
            None => "not unpacked yet".to_owned(),
        };
        println!(
            "{:<8} {:<36} {unpacked}",
            series.name(),
            series.suites().join(", ")
        );
    }
    Ok(())
}
