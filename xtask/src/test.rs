//! `cargo xtask test`: everything that CI runs, in the order in which a fault shows soonest.

use std::time::Duration;

use anyhow::Context;

use crate::setup::{self, Need};
use crate::vm::Series;
use crate::{cmd, ebpf, fuzz, tidy, vm};

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
        &[setup::IPTABLES, setup::NFT, setup::BUSYBOX, setup::UNSHARE],
        install,
    )?;

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
        step("tests on this kernel", || {
            cmd::run(cmd::cargo().args(["build", "--locked", "-p", "wallwatch", "--examples"]))?;
            let arguments = ["test", "--locked", "-p", "wallwatch", "--test", "main"];
            let harness = ["--", "kernel::", "--test-threads=1"];
            cmd::run(cmd::cargo().args(arguments).args(harness))
        })?;
    } else {
        left_out.push("tests on this kernel: they want root");
    }
    if options.quick {
        left_out.push("the kernel object rebuilt from source; licences; fuzzing; other kernels");
    } else {
        step("kernel object from source", || {
            setup::ensure(&[Need::BpfCompiler, setup::BPF_LINKER], install)?;
            ebpf::run(&ebpf::Options {
                verify: true,
                compiler: ebpf::Choice::Auto,
                no_install: !install,
            })
        })?;
        step("licences and sources of dependencies", || {
            setup::ensure(&[setup::CARGO_DENY], install)?;
            let deny = cmd::find("cargo-deny").context("find cargo-deny")?;
            cmd::run(
                std::process::Command::new(deny).args(["check", "licenses", "bans", "sources"]),
            )
        })?;
        left_out.push("advisories of dependencies: their database is not on crates.io");
        let per_target = Duration::from_secs(if options.full { 300 } else { 10 });
        step("fuzzing", || {
            fuzz::run_all(per_target, install, &mut left_out)
        })?;
        step("other kernels", || other_kernels(options.full, install))?;
        if !options.full {
            left_out.push("kernels between the oldest and the newest; long fuzzing");
        }
    }
    for what in left_out {
        println!("LEFT OUT: {what}");
    }
    Ok(())
}

fn other_kernels(all: bool, install: bool) -> anyhow::Result<()> {
    setup::ensure(&[setup::QEMU, setup::XZ], install)?;
    let kernels = if all {
        Vec::new()
    } else {
        vec![Series::OLDEST, Series::NEWEST]
    };
    vm::run(&vm::Options::of(kernels))
}

fn step(what: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("\n== {what}");
    work().with_context(|| what.to_owned())
}
