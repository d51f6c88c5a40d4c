//! `cargo xtask fuzz`: the decoders against libFuzzer.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::cmd;
use crate::setup::{self, CARGO_FUZZ};

/// Targets of `tests/fuzz`.
const TARGETS: &[&str] = &["record", "recording", "btf"];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) seconds: u64,

    /// Only say what is missing on this machine
    #[arg(long)]
    pub(crate) no_install: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut left_out = Vec::new();
    run_all(
        Duration::from_secs(options.seconds),
        !options.no_install,
        &mut left_out,
    )?;
    for what in left_out {
        println!("LEFT OUT: {what}");
    }
    Ok(())
}

/// Each target for that long. libFuzzer wants a nightly compiler; without one nothing is fuzzed, and
/// that is said.
pub(crate) fn run_all(
    each: Duration,
    install: bool,
    left_out: &mut Vec<&'static str>,
) -> anyhow::Result<()> {
    if cmd::output(Command::new("rustup").args(["which", "rustc", "--toolchain", "nightly"]))
        .is_err()
    {
        left_out.push("fuzzing: there is no nightly compiler (rustup toolchain install nightly)");
        return Ok(());
    }
    setup::ensure(&[CARGO_FUZZ], install)?;
    let fuzz = cmd::find("cargo-fuzz").context("find cargo-fuzz")?;
    for target in TARGETS {
        let mut command = Command::new(&fuzz);
        command
            .current_dir(cmd::root())
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .args(["run", "--fuzz-dir", "tests/fuzz", "--target-dir"])
            .arg(cmd::target().join("fuzz"))
            .arg(target)
            .args([
                "--",
                &format!("-max_total_time={}", each.as_secs()),
                "-max_len=8192",
            ]);
        cmd::run(&mut command)?;
    }
    Ok(())
}
