//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::explain::log::IdPrefix;
use crate::formats::Format;
use crate::pipeline::alert::WindowMode;

const EXIT_STATUS: &str = "\
Exit status:
   0  success
   1  check: the configuration is not valid; doctor: a check failed; explain, alerts: no such id, or
      more than one; spool: something was missed or is in trouble, or is not delivered in time;
      sinks: one of them did not take the test
  64  the command line is wrong
   65  replay, explain, baseline: something could not be read or came too late; the rest was processed
  66  the input could not be opened
  69  the kernel lacks what the sensor needs
  70  a fault of wallwatch itself
  74  reading or writing failed
  77  a capability is missing (CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN); doctor: or another permission
  78  the configuration cannot be used";

/// Knows, on the host and at once, when a Linux firewall is being opened, and by whom.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_STATUS, max_term_width = 100)]
pub struct Cli {
    /// Configuration file [default: /etc/wallwatch/wallwatch.toml, which need not exist]; the *.toml in
    /// conf.d beside it are read after it
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How much wallwatch tells about itself, on standard error
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this host and write alerts, in the foreground
    Run(RunArgs),
    /// Run recorded execs through the same pipeline; alerts go to standard output
    Replay(ReplayArgs),
    /// Show one finding of the alert log: its processes, what changed, why, what was near
    Explain(ExplainArgs),
    /// Propose filters for what the alert log holds again and again; learns and writes nothing
    Baseline(BaselineArgs),
    /// Write the execs of this host as JSON lines, the format that replay reads
    Record(RecordArgs),
    /// Check the configuration and the rules; all errors at once
    Check,
    /// Show the configuration that is in force, and where each key was written; secrets are masked
    Config,
    /// Show the rules that are in force
    Rules,
    /// Say whether watching works on this host, by doing it, and what to do where it does not
    Doctor(DoctorArgs),
    /// List the stored alerts, findings, gaps and heartbeats, or show one
    Alerts(AlertsArgs),
    /// Say how far each receiver of alerts is and what it missed, or wait until all have everything
    Spool(SpoolArgs),
    /// List the receivers of the configuration, or try them
    Sinks(SinksArgs),
    /// The harmless program that doctor starts and looks for
    #[command(hide = true)]
    Canary(CanaryArgs),
}

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Write alerts to this file instead of the configured one
    #[arg(long, value_name = "FILE")]
    pub alerts: Option<PathBuf>,

    /// Keep what the next run should remember in this directory instead of the configured one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Write alerts to standard output as well, as JSON lines
    #[arg(long)]
    pub stdout: bool,

    /// Show alerts on standard output as a person wants to read them
    #[arg(long, conflicts_with = "stdout")]
    pub human: bool,

    #[command(flatten)]
    pub host: HostArgs,
}

#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// Recorded execs, or the log of another sensor; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Whose log it is
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: LogFormat,

    /// Which execs count together, whatever the configuration says
    #[arg(long, value_name = "MODE")]
    pub window: Option<Window>,

    /// Show alerts as a person wants to read them, not as JSON lines
    #[arg(long)]
    pub human: bool,

    /// Say of every exec why the rule matched it or did not and what its command means; alerts stand
    /// between, as with --human
    #[arg(long)]
    pub explain: bool,
}

#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Its id, or the first 8 or more hexadecimal digits of it
    #[arg(value_name = "ALERT-ID")]
    pub id: IdPrefix,

    /// Read this log instead of the configured one; several times for rotated ones; `-` is standard
    /// input
    #[arg(long, value_name = "FILE")]
    pub alerts: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct BaselineArgs {
    /// Read this log instead of the configured one; several times for rotated ones; `-` is standard
    /// input
    #[arg(long, value_name = "FILE")]
    pub alerts: Vec<PathBuf>,

    /// Findings that must be alike to be a habit
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub count_min: u64,
}

#[derive(Debug, clap::Args)]
pub struct RecordArgs {
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub host: HostArgs,
}

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Answer as one JSON object
    #[arg(long)]
    pub json: bool,

    /// How long the canary's alert may take, 1 to 600
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=600)
    )]
    pub timeout: u64,

    #[command(flatten)]
    pub host: HostArgs,
}

#[derive(Debug, clap::Args)]
pub struct AlertsArgs {
    /// Read the store below this state directory instead of the configured one
    #[arg(long, value_name = "DIR", global = true)]
    pub state: Option<PathBuf>,

    /// Only what was stored after this number
    #[arg(long, value_name = "SEQ", default_value_t = 0, global = true)]
    pub since: u64,

    /// JSON lines, as they are stored
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Option<AlertsCommand>,
}

#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// One line for each: number, time, severity, kind, id and revision, what it is [default]
    List,
    /// Every stored revision of one alert or finding
    Show {
        /// Its id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct SpoolArgs {
    /// Use the store below this state directory instead of the configured one
    #[arg(long, value_name = "DIR", global = true)]
    pub state: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Option<SpoolCommand>,
}

#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// Each receiver's backlog, the age of its oldest record, and what it missed [default]
    Status {
        /// Answer as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Wait until every receiver has what is stored by now; where no agent runs, deliver it
    Drain {
        /// How long it may take, 1 to 86400
        #[arg(
            long,
            value_name = "SECONDS",
            default_value_t = 60,
            value_parser = clap::value_parser!(u64).range(1..=86_400)
        )]
        timeout: u64,
    },
}

#[derive(Debug, clap::Args)]
pub struct SinksArgs {
    #[command(subcommand)]
    pub command: Option<SinksCommand>,
}

#[derive(Debug, Subcommand)]
pub enum SinksCommand {
    /// Name, type, place and format of each [default]
    List,
    /// Send a marked event through each, whatever it selects, and show what came back
    Test {
        /// Only these
        #[arg(value_name = "NAME")]
        names: Vec<String>,

        /// Answer as one JSON object a line
        #[arg(long)]
        json: bool,

        /// How long all of them may take, 1 to 3600
        #[arg(
            long,
            value_name = "SECONDS",
            default_value_t = 60,
            value_parser = clap::value_parser!(u64).range(1..=3600)
        )]
        timeout: u64,
    },
}

/// They are there to be seen on the command line, and mean nothing.
#[derive(Debug, clap::Args)]
pub struct CanaryArgs {
    pub tag: String,

    #[arg(long)]
    pub port: u16,
}

/// Where the host is read.
#[derive(Debug, clap::Args)]
pub struct HostArgs {
    /// Directory under which etc and proc are found (by doctor, sys too)
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Told from the first lines that say something
    Auto,
    /// What wallwatch record writes
    Wallwatch,
    /// Sysmon for Linux: XML, bare or behind a syslog header
    Sysmon,
    /// The audit daemon's records, raw or enriched
    Auditd,
    /// The audit daemon's events as LAUREL writes them
    Laurel,
    /// Process events in the Elastic Common Schema
    Ecs,
}

impl From<LogFormat> for Option<Format> {
    fn from(format: LogFormat) -> Self {
        Some(match format {
            LogFormat::Auto => return None,
            LogFormat::Wallwatch => Format::Wallwatch,
            LogFormat::Sysmon => Format::Sysmon,
            LogFormat::Auditd => Format::Auditd,
            LogFormat::Laurel => Format::Laurel,
            LogFormat::Ecs => Format::Ecs,
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Window {
    /// Any stretch of an hour
    Sliding,
    /// The disjoint hours of Splunk's scheduled search
    Tumbling,
}

impl From<Window> for WindowMode {
    fn from(window: Window) -> Self {
        match window {
            Window::Sliding => Self::Sliding,
            Window::Tumbling => Self::Tumbling,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for tracing_subscriber::filter::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
