//! `cargo xtask vm`: the kernel tests on kernels other than this machine's.
//!
//! ```text
//! apt ── kernel ──┐
//! payload ────────┼─ guest ── initramfs ── qemu ── console ── report ── docs
//! modules ────────┘          native ───────────────────┘
//! ```
//!
//! A kernel comes from the Debian mirror that apt uses here, signatures checked
//! by apt itself; nothing is installed. The guest is one initramfs with this
//! machine's own iptables, shells and the statically linked tests, so that a
//! boot needs neither a disk image nor a network. A guest of another
//! architecture gets Debian's programs for it, and tests that are compiled for it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use self::architecture::Architecture;
use self::console::Console;
use self::guest::Guest;
use self::kernel::{Kernel, Store};
use self::payload::{Payload, Workspace};
use self::report::Report;
pub(crate) use self::requirements::needs_for_arm64;
pub(crate) use self::series::Series;
use self::subject::Subject;
use self::toolchain::Toolchain;
use self::userland::Userland;
use crate::cmd;

mod apt;
mod architecture;
mod console;
mod docs;
mod facts;
mod guest;
mod initramfs;
mod kernel;
mod modules;
mod native;
mod packages;
mod payload;
mod qemu;
mod report;
mod requirements;
mod series;
mod sources;
mod subject;
mod toolchain;
mod userland;

/// Several times what an emulated guest takes on an idle machine.
const TIMEOUT_S: u64 = 1800;
const FILTER: &str = "kernel::";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Kernel series to boot, or `native`; repeat for several, everything when absent
    #[arg(long = "kernel", value_name = "SERIES", value_enum)]
    pub(crate) kernels: Vec<Subject>,

    /// Write what was seen to agent/docs/kernels.md; rows of other kernels stay
    #[arg(long, conflicts_with_all = ["filter", "skip"])]
    pub(crate) write_docs: bool,

    /// Time limit of one kernel, of a guest from power-on to power-off, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_S)]
    pub(crate) timeout_s: u64,

    /// Which tests to run on each kernel: a filter of the test harness
    #[arg(long, value_name = "FILTER", default_value = FILTER)]
    pub(crate) filter: String,

    /// Which of these tests not to run; repeat for several
    #[arg(long, value_name = "FILTER")]
    pub(crate) skip: Vec<String>,

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
    /// These series, every one when none is given; everything else as the command line has it by default.
    pub(crate) fn of(kernels: Vec<Series>) -> Self {
        let kernels = if kernels.is_empty() {
            Series::ALL.to_vec()
        } else {
            kernels
        };
        Self {
            kernels: kernels.into_iter().map(Subject::Guest).collect(),
            write_docs: false,
            timeout_s: TIMEOUT_S,
            filter: FILTER.to_owned(),
            skip: Vec::new(),
            offline: false,
            refresh: false,
            keep: false,
            list: false,
        }
    }

    /// What the test harness is told to run.
    fn selection(&self) -> Vec<String> {
        let mut selection = vec![self.filter.clone()];
        for skip in &self.skip {
            selection.extend(["--skip".to_owned(), skip.clone()]);
        }
        selection
    }
}

/// Builds the tests and runs them on each kernel.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::locate()?;
    let store = Store::new(workspace.vm_dir());
    if options.list {
        return list(&store);
    }
    if options.write_docs {
        docs::check()?;
    }
    let subjects = wanted(options);
    requirements::check(&subjects)?;
    let payload = Payload::build(&workspace, &Toolchain::native(), &options.selection())?;
    let vm_dir = workspace.vm_dir();
    std::fs::create_dir_all(&vm_dir).with_context(|| format!("create {}", vm_dir.display()))?;
    let mut guests = Guests {
        options,
        workspace: &workspace,
        payload: &payload,
        ready: BTreeMap::new(),
    };
    let mut reports = Vec::new();
    // One after the other: the guests emulate several processors each, and two at a time would only
    // make both miss their limits.
    for subject in subjects {
        let report = match subject {
            Subject::Native => native::run(&payload, options.timeout_s)?,
            Subject::Guest(series) => match guests.provide(series, &store) {
                Ok((kernel, guest)) => boot(options, &vm_dir, guest, &kernel)?,
                Err(error) => Report::without_kernel(series, &error),
            },
        };
        if options.write_docs {
            docs::write(&report)?;
        }
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

/// What runs in the guests, made once for each architecture and not before it is wanted.
struct Guests<'a> {
    options: &'a Options,
    workspace: &'a Workspace,
    /// This machine's own architecture's.
    payload: &'a Payload,
    ready: BTreeMap<Architecture, Guest>,
}

impl Guests<'_> {
    fn provide(&mut self, series: Series, store: &Store) -> Result<(Kernel, &Guest)> {
        let kernel = store.provide(series, self.options)?;
        let architecture = series.architecture();
        if !self.ready.contains_key(&architecture) {
            let guest = self
                .make(series)
                .with_context(|| format!("make a guest for {}", architecture.name()))?;
            self.ready.insert(architecture, guest);
        }
        Ok((kernel, &self.ready[&architecture]))
    }

    fn make(&self, series: Series) -> Result<Guest> {
        let vm_dir = self.workspace.vm_dir();
        let userland = Userland::provide(series, &vm_dir, self.options)?;
        match series.architecture() {
            Architecture::Amd64 => Guest::new(self.payload, &userland),
            Architecture::Arm64 => {
                let toolchain = Toolchain::arm64(&vm_dir, self.options)?;
                let payload =
                    Payload::build(self.workspace, &toolchain, &self.options.selection())?;
                Guest::new(&payload, &userland)
            }
        }
    }
}

/// Everything when nothing is named, but for the kernel that runs here, which is not for a plain user.
fn wanted(options: &Options) -> Vec<Subject> {
    if !options.kernels.is_empty() {
        let mut kernels = options.kernels.clone();
        kernels.sort();
        kernels.dedup();
        return kernels;
    }
    let (kernels, left_out): (Vec<_>, Vec<_>) = Subject::ALL
        .into_iter()
        .partition(|subject| *subject != Subject::Native || cmd::is_root());
    for subject in left_out {
        println!("LEFT OUT: {}: its tests want root", subject.name());
    }
    kernels
}

fn boot(options: &Options, vm_dir: &Path, guest: &Guest, kernel: &Kernel) -> Result<Report> {
    let name = kernel.series.name();
    let initramfs = vm_dir.join(format!("{name}.cpio"));
    guest
        .write_initramfs(kernel, &initramfs)
        .with_context(|| format!("build initramfs for {}", kernel.release))?;

    let machine = qemu::Machine {
        architecture: kernel.series.architecture(),
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
    Ok(Report::of_guest(kernel, console, timing))
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
