//! `cargo xtask fuzz`: the decoders against libFuzzer.
//!
//! The fuzzer sets out from the seeds in `tests/fuzz/corpus`, which it only reads. What it finds goes to
//! `target/fuzz-corpus`, from where the next run goes on, and an input that breaks something to
//! `target/fuzz-artifacts`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::cmd;
use crate::setup::{self, CARGO_FUZZ};

const FOLDER: &str = "tests/fuzz";

/// Longest input. It holds some dozen records, or a line with every field. The targets make longer ones of short
/// ones by repeating them.
const INPUT_BYTES_MAX: u32 = 8192;

/// An input that takes longer counts as a finding.
const INPUT_SECONDS_MAX: u32 = 10;

/// Of a fuzzer's log, shown when it found something.
const TAIL_LINES: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Records of the ring buffers: decoder, pipeline, alerts
    Record,
    /// Recordings: lines of JSON, replay
    Recording,
    /// The kernel's type information
    Btf,
    /// Logs of Sysmon for Linux
    Sysmon,
    /// Logs of the audit daemon
    Auditd,
    /// The audit daemon's events as LAUREL writes them
    Laurel,
    /// Process events in the Elastic Common Schema
    Ecs,
    /// What nf_tables tells: messages, transactions, rulesets
    Netlink,
    /// What the tables of x_tables hold
    Xtables,
    /// Command lines of the firewall's tools
    Command,
    /// Rulesets as text: iptables-restore, nft
    Ruleset,
    /// What receivers over HTTP answer
    Answers,
    Spool,
}

impl Target {
    const ALL: [Self; 13] = [
        Self::Record,
        Self::Recording,
        Self::Btf,
        Self::Sysmon,
        Self::Auditd,
        Self::Laurel,
        Self::Ecs,
        Self::Netlink,
        Self::Xtables,
        Self::Command,
        Self::Ruleset,
        Self::Answers,
        Self::Spool,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Recording => "recording",
            Self::Btf => "btf",
            Self::Sysmon => "sysmon",
            Self::Auditd => "auditd",
            Self::Laurel => "laurel",
            Self::Ecs => "ecs",
            Self::Netlink => "netlink",
            Self::Xtables => "xtables",
            Self::Command => "command",
            Self::Ruleset => "ruleset",
            Self::Answers => "answers",
            Self::Spool => "spool",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to fuzz; all of them when absent
    #[arg(value_name = "TARGET", value_enum)]
    pub(crate) targets: Vec<Target>,

    /// Seconds for each target
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) seconds: u64,

    /// Only say what is missing on this machine
    #[arg(long)]
    pub(crate) no_install: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let targets = match options.targets.as_slice() {
        [] => &Target::ALL,
        targets => targets,
    };
    let each = Duration::from_secs(options.seconds);
    let mut left_out = Vec::new();
    fuzz(targets, each, !options.no_install, &mut left_out)?;
    for what in left_out {
        println!("LEFT OUT: {what}");
    }
    Ok(())
}

/// Each target for that long.
pub(crate) fn run_all(
    each: Duration,
    install: bool,
    left_out: &mut Vec<&'static str>,
) -> anyhow::Result<()> {
    fuzz(&Target::ALL, each, install, left_out)
}

/// libFuzzer wants a nightly compiler; without one nothing is fuzzed, and that is said.
fn fuzz(
    targets: &[Target],
    each: Duration,
    install: bool,
    left_out: &mut Vec<&'static str>,
) -> anyhow::Result<()> {
    let which = ["which", "rustc", "--toolchain", "nightly"];
    let Ok(rustc) = cmd::output(Command::new("rustup").args(which)) else {
        left_out.push("fuzzing: there is no nightly compiler (rustup toolchain install nightly)");
        return Ok(());
    };
    let about = cmd::output(Command::new(rustc.trim_end()).arg("-vV"))?;
    let host = host(&about).context("find out for what the nightly compiler compiles")?;
    setup::ensure(&[CARGO_FUZZ], install)?;
    check_seeds()?;
    build(host)?;
    targets
        .iter()
        .try_for_each(|target| run_target(*target, host, each))
}

/// From what `rustc -vV` says.
fn host(about: &str) -> Option<&str> {
    about.lines().find_map(|line| line.strip_prefix("host: "))
}

/// The seeds are made anew and compared, for those of another record layout are of no use. This also
/// finds a lock file that has grown stale, which cargo-fuzz would write anew and say nothing.
fn check_seeds() -> anyhow::Result<()> {
    let manifest = cmd::root().join(FOLDER).join("Cargo.toml");
    let mut command = cmd::cargo();
    command
        .args(["test", "--quiet", "--locked", "--lib", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target_dir());
    cmd::run(&mut command).with_context(|| {
        format!(
            "check {FOLDER}; its lock file is brought up to date by `cargo update --workspace \
             --manifest-path {FOLDER}/Cargo.toml`, its seeds by `UPDATE_EXPECT=1 cargo test \
             --manifest-path {FOLDER}/Cargo.toml`"
        )
    })
}

fn build(host: &str) -> anyhow::Result<()> {
    let cargo_fuzz = cmd::find("cargo-fuzz").context("find cargo-fuzz")?;
    let mut command = Command::new(cargo_fuzz);
    command
        .current_dir(cmd::root())
        .env("RUSTUP_TOOLCHAIN", "nightly")
        // The one that runs this task is of another toolchain.
        .env_remove("CARGO")
        .args(["build", "--fuzz-dir", FOLDER, "--target", host])
        .arg("--target-dir")
        .arg(target_dir());
    cmd::run(&mut command)
}

/// The program is run without cargo-fuzz, which would put what it finds beside the sources.
fn run_target(target: Target, host: &str, each: Duration) -> anyhow::Result<()> {
    let name = target.name();
    let seeds = cmd::root().join(FOLDER).join("corpus").join(name);
    let corpus = cmd::target().join("fuzz-corpus").join(name);
    let artifacts = cmd::target().join("fuzz-artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let log_path = artifacts.with_extension("log");
    let log = File::create(&log_path).context("create the log of a fuzzer")?;
    let program = target_dir().join(host).join("release").join(name);
    let mut command = Command::new(program);
    command
        // What cargo-fuzz sets: statics of the standard library are in more than one object.
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        // New inputs go to the first folder.
        .args([&corpus, &seeds])
        .arg(format!("-max_total_time={}", each.as_secs()))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        // A path that ends in a slash is a folder.
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .stderr(log);
    let ended = cmd::run(&mut command);
    let said = fs::read(&log_path).context("read the log of a fuzzer")?;
    let said = String::from_utf8_lossy(&said);
    if let Err(error) = ended {
        println!("{}", tail(&said, TAIL_LINES));
        let (log, artifacts) = (log_path.display(), artifacts.display());
        return Err(error).context(format!(
            "{name}: a finding; its input is in {artifacts}, all that was said in {log}"
        ));
    }
    println!(
        "{name}: {}",
        statistics(&said).context("read what a fuzzer did")?
    );
    Ok(())
}

/// From the lines `stat::NAME: VALUE` with which libFuzzer ends.
fn statistics(log: &str) -> Option<String> {
    let value = |name: &str| {
        let mut lines = log.lines().filter_map(|line| line.strip_prefix("stat::"));
        let (_, value) =
            lines.find_map(|line| line.split_once(':').filter(|(it, _)| *it == name))?;
        Some(value.trim())
    };
    Some(format!(
        "{} inputs tried, {} a second, {} kept",
        value("number_of_executed_units")?,
        value("average_exec_per_sec")?,
        value("new_units_added")?
    ))
}

fn tail(text: &str, n_lines: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(n_lines)..].join("\n")
}

fn target_dir() -> PathBuf {
    cmd::target().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_what_the_compiler_says() {
        let about = "rustc 1.97.0-nightly\nhost: x86_64-unknown-linux-gnu\nrelease: 1.97.0\n";
        assert_eq!(host(about), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host("rustc 1.97.0\n"), None);
    }

    #[test]
    fn what_a_fuzzer_did_is_read() {
        let log = "#12\tNEW    cov: 3\nstat::number_of_executed_units: 4275\n\
                   stat::average_exec_per_sec:     70\nstat::new_units_added:          216\n";
        let expected = "4275 inputs tried, 70 a second, 216 kept";
        assert_eq!(statistics(log).as_deref(), Some(expected));
        assert_eq!(statistics("==1== ERROR: libFuzzer: timeout\n"), None);
    }

    #[test]
    fn a_tail_is_the_end_of_a_text_or_all_of_it() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 2), "a");
    }

    #[test]
    fn every_target_has_its_seeds() {
        for target in Target::ALL {
            let seeds = cmd::root().join(FOLDER).join("corpus").join(target.name());
            assert!(fs::read_dir(seeds).unwrap().count() > 0, "{target:?}");
        }
    }
}
