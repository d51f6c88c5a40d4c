//! `cargo xtask test`: everything that CI runs, in the order in which a fault shows soonest.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::setup;
use crate::vm::Series;
use crate::{cmd, ebpf, fuzz, guest, tidy, time, vm};

/// What a guest without hardware support takes too long for: half a minute for a test. As filters of the test
/// harness.
const LONG_IN_GUESTS: [&str; 4] = [
    // A watchdog of two seconds: a guest may be slower than that.
    "kernel::notify",
    "kernel::evasions",
    "kernel::flood",
    "kernel::tamper",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The inner loop: no rebuild of the kernel object, no licences, no other kernels, no fuzzing
    #[arg(long, conflicts_with = "full")]
    pub(crate) quick: bool,

    /// All kernels, and long fuzzing
    #[arg(long)]
    pub(crate) full: bool,

    /// Only say what is missing on this machine
    #[arg(long)]
    pub(crate) no_install: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let install = !options.no_install;
    let mut left_out = Vec::new();
    setup::ensure(
        &[
            setup::IPTABLES,
            setup::NFT,
            setup::UFW,
            setup::BUSYBOX,
            setup::IPROUTE,
            setup::UNSHARE,
            setup::PIP,
            setup::RSYSLOG,
            setup::SYSLOG_NG,
            setup::SYSTEMD_ANALYZE,
        ],
        install,
    )?;
    setup::ensure(&[setup::ROTEL], install)?;

    step("format", || {
        cmd::run(cmd::cargo().args(["fmt", "--all", "--check"]))
    })?;
    step("tidy", tidy::run)?;
    step("lints", || {
        cmd::run(cmd::cargo().args([
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-Dwarnings",
        ]))
    })?;
    step("kernel object and its manifest", ebpf::check_manifest)?;
    step("tests without a kernel", || {
        cmd::run(cmd::cargo().args([
            "test",
            "--locked",
            "--workspace",
            "--",
            "--skip",
            "kernel::",
        ]))
    })?;
    if cmd::is_root() {
        step("tests on this kernel", || kernel_tests(None))?;
    } else {
        left_out.push("tests on this kernel: they want root");
    }
    if options.full {
        step(
            "a million execs against the analytic written a second time",
            parity,
        )?;
    } else {
        left_out.push("parity over a million execs: 40,000 were compared");
    }
    if options.quick {
        left_out.push(
            "the kernel object rebuilt from source; the service in a guest; licences; fuzzing; other kernels",
        );
    } else {
        step("kernel object from source", || {
            match ebpf::verify(install)? {
                None => Ok(()),
                Some(other) => {
                    println!("it must load and pass the kernel tests");
                    kernel_tests(Some(&other))
                }
            }
        })?;
        step("licences and sources of dependencies", || {
            setup::ensure(&[setup::CARGO_DENY], install)?;
            let deny = cmd::find("cargo-deny").context("find cargo-deny")?;
            cmd::run(
                std::process::Command::new(deny).args(["check", "licenses", "bans", "sources"]),
            )
        })?;
        left_out.push("advisories of dependencies: their database is not on crates.io");
        let per_target = Duration::from_secs(if options.full { 300 } else { 4 });
        step("fuzzing", || {
            fuzz::run_all(per_target, install, &mut left_out)
        })?;
        if cmd::is_root() {
            step("the service in a booted guest", || {
                guest::run(&guest::Options {
                    no_install: !install,
                })
            })?;
        } else {
            left_out.push("the service in a booted guest: it wants root");
        }
        step("other kernels", || other_kernels(options.full, install))?;
        if !options.full {
            left_out.push("all kernels but the oldest and this machine's; long fuzzing");
            left_out
                .push("evasions, floods and the tamper layer on the oldest and the newest kernel");
        }
    }
    for what in left_out {
        println!("LEFT OUT: {what}");
    }
    Ok(())
}

/// With optimization, and another seed each time, which the test prints.
fn parity() -> anyhow::Result<()> {
    let mut cargo = cmd::cargo();
    cargo.args([
        "test",
        "--locked",
        "--profile",
        "optimized",
        "-p",
        "wallwatch",
    ]);
    cargo.args(["--test", "main", "--", "parity::", "--nocapture"]);
    cargo.env("WALLWATCH_PARITY_EVENTS", "1000000");
    cargo.env("WALLWATCH_PARITY_SEED", std::process::id().to_string());
    cmd::run(&mut cargo)
}

/// The tests on this machine's kernel, with the committed object or another.
fn kernel_tests(object: Option<&Path>) -> anyhow::Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut cargo = cmd::cargo();
        cargo.args(arguments);
        if let Some(object) = object {
            cargo.env("WALLWATCH_BPF_OBJECT", object);
        }
        cmd::run(&mut cargo)
    };
    let package = ["--locked", "-p", "wallwatch"];
    cargo(&[&["build"], &package[..], &["--examples"]].concat())?;
    let harness = ["--test", "main", "--", "kernel::", "--test-threads=1"];
    cargo(&[&["test"], &package[..], &harness].concat())
}

fn other_kernels(all: bool, install: bool) -> anyhow::Result<()> {
    setup::ensure(&[setup::QEMU, setup::XZ], install)?;
    let kernels = if all {
        setup::ensure(&vm::needs_for_arm64(), install)?;
        Vec::new()
    } else {
        vec![Series::OLDEST]
    };
    let skipped: &[&str] = if all { &[] } else { &LONG_IN_GUESTS };
    let skip = skipped.iter().map(|filter| (*filter).to_owned()).collect();
    vm::run(&vm::Options {
        skip,
        ..vm::Options::of(kernels)
    })
}

/// Does a part of the work, and says how long it took.
fn step(what: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("\n== {what}");
    let begin = time::now();
    work().with_context(|| what.to_owned())?;
    println!("-- {what}: {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}
