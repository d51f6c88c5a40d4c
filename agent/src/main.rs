//! Parse, call, exit status.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use wallwatch::cli::{
    AlertsArgs, AlertsCommand, BaselineArgs, Cli, Command, DoctorArgs, ExplainArgs, LogLevel,
    ReplayArgs, RunArgs, SinksArgs, SinksCommand, SpoolArgs, SpoolCommand,
};
use wallwatch::config::{self, Problems, Settings};
use wallwatch::delivery::encode::Shape;
use wallwatch::delivery::writer::WriterError;
use wallwatch::exit_code::ExitCode;
use wallwatch::host::clock;
use wallwatch::host::identity::Identity;
use wallwatch::host::sensor::SensorError;
use wallwatch::replay::Show;
use wallwatch::run::AlertsLost;
use wallwatch::{baseline, compose, doctor, explain, record, replay, rules, run, sinks, stored};

/// Lines of the agent's own log that may wait for a slow reader.
const LOG_LINES_MAX: usize = 4096;

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Success
            };
            // Nothing is left to do when the terminal is gone.
            drop(error.print());
            return code.into();
        }
    };
    let watches = matches!(cli.command, Command::Run(_) | Command::Record(_));
    let _written_before_the_end = log_to_stderr(cli.log_level, watches);
    let code = match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            let code = code_of(&error);
            tracing::error!("{error:#}");
            code
        }
    };
    code.into()
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::Canary(_) = cli.command {
        doctor::canary::sing().context("wait for the end of standard input")?;
        return Ok(ExitCode::Success);
    }
    let loaded = config::load(cli.config.as_deref());
    if let Command::Check = cli.command {
        return check(loaded);
    }
    if let Command::Config = cli.command {
        return print(&config::effective(cli.config.as_deref())?);
    }
    if let Command::Doctor(args) = cli.command {
        return examine(loaded, cli.config.as_deref(), &args);
    }
    let mut settings = loaded?;
    match cli.command {
        Command::Run(RunArgs {
            alerts,
            state,
            stdout,
            human,
            host,
        }) => {
            settings.alerts.path = alerts.unwrap_or(settings.alerts.path);
            settings.state.directory = state.unwrap_or(settings.state.directory);
            settings.alerts.stdout |= stdout || human;
            run::run(&settings, &host.root, shape(human))?;
            Ok(ExitCode::Success)
        }
        Command::Replay(args) => replay_file(settings, args),
        Command::Explain(ExplainArgs { id, alerts }) => {
            let files = logs(&settings, alerts);
            let answer = explain::explain(&settings, id, &files)?;
            print(&answer.text)?;
            Ok(answer.code)
        }
        Command::Baseline(BaselineArgs { alerts, count_min }) => {
            let (text, code) = baseline::baseline(&logs(&settings, alerts), count_min)?;
            print(&text)?;
            Ok(code)
        }
        Command::Record(args) => {
            record::record(&settings, &args.host.root, args.output.as_deref())?;
            Ok(ExitCode::Success)
        }
        Command::Alerts(args) => stored::unless_broken_pipe(alerts(&settings, args)),
        Command::Spool(args) => stored::unless_broken_pipe(spool(settings, args)),
        Command::Sinks(args) => stored::unless_broken_pipe(sinks(&settings, args)),
        Command::Rules => print(&rules::describe(&settings, clock::now().wall_ns)),
        Command::Check | Command::Config | Command::Doctor(_) | Command::Canary(_) => {
            unreachable!("handled above")
        }
    }
}

/// The alert logs that were named, or the configured one.
fn logs(settings: &Settings, named: Vec<PathBuf>) -> Vec<PathBuf> {
    if named.is_empty() {
        return vec![settings.alerts.path.clone()];
    }
    named
}

fn check(loaded: Result<Settings, Problems>) -> anyhow::Result<ExitCode> {
    match loaded {
        Ok(settings) => {
            for doubt in settings.doubts(clock::now().wall_ns) {
                write_all(&mut io::stderr(), &format!("warning: {doubt}\n"))?;
            }
            print("the configuration is valid\n")
        }
        Err(problems) => {
            write_all(&mut io::stderr(), &format!("{problems}\n"))?;
            Ok(ExitCode::Found)
        }
    }
}

fn examine(
    loaded: Result<Settings, Problems>,
    named: Option<&Path>,
    args: &DoctorArgs,
) -> anyhow::Result<ExitCode> {
    let report = doctor::examine(
        loaded,
        named,
        &args.host.root,
        Duration::from_secs(args.timeout),
    )?;
    let answer = if args.json {
        doctor::show::json(&report)?
    } else {
        doctor::show::text(&report)
    };
    print(&answer)?;
    Ok(report.exit_code())
}

fn replay_file(mut settings: Settings, args: ReplayArgs) -> anyhow::Result<ExitCode> {
    if let Some(window) = args.window {
        let rule = &mut settings.rules.linux_iptables_firewall_modification;
        rule.spec.window.mode = window.into();
    }
    let input = match replay::open(&args.file) {
        Ok(input) => input,
        Err(error) => {
            tracing::error!("{}: cannot be opened: {error}", args.file.display());
            return Ok(ExitCode::NoInput);
        }
    };
    let pipeline = compose::pipeline(&settings)?;
    let dest = settings.host.name.as_deref();
    let show = if args.explain {
        Show::Explained
    } else {
        Show::Alerts(shape(args.human))
    };
    let summary = replay::replay(
        pipeline,
        &args.file,
        input,
        io::stdout(),
        replay::Options {
            format: args.format.into(),
            show,
            dest,
        },
    )?;
    Ok(summary.exit_code())
}

fn alerts(settings: &Settings, args: AlertsArgs) -> anyhow::Result<ExitCode> {
    let AlertsArgs {
        state,
        since,
        json,
        command,
    } = args;
    let state = state.as_deref().unwrap_or(&settings.state.directory);
    let mut out = BufWriter::new(io::stdout());
    let code = match command {
        None | Some(AlertsCommand::List) => {
            stored::list(state, since, json, &mut out)?;
            ExitCode::Success
        }
        Some(AlertsCommand::Show { id }) => stored::show(state, &id, since, json, &mut out)?,
    };
    out.flush()?;
    Ok(code)
}

fn spool(mut settings: Settings, args: SpoolArgs) -> anyhow::Result<ExitCode> {
    let SpoolArgs { state, command } = args;
    settings.state.directory = state.unwrap_or(settings.state.directory);
    match command.unwrap_or(SpoolCommand::Status { json: false }) {
        SpoolCommand::Status { json } => {
            stored::status(&settings.state.directory, json, &mut io::stdout())
        }
        SpoolCommand::Drain { timeout } => stored::drain(&settings, Duration::from_secs(timeout)),
    }
}

fn sinks(settings: &Settings, args: SinksArgs) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout();
    match args.command.unwrap_or(SinksCommand::List) {
        SinksCommand::List => sinks::list(&settings.sinks, out),
        SinksCommand::Test {
            names,
            json,
            timeout,
        } => {
            let identity = Identity::read(Path::new("/"));
            let context = compose::alert_context(settings, identity);
            let timeout = Duration::from_secs(timeout);
            sinks::test(&settings.sinks, &names, &context, timeout, json, out)
        }
    }
}

fn shape(human: bool) -> Shape {
    if human {
        Shape::Human
    } else {
        Shape::JsonLines
    }
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    write_all(&mut io::stdout(), text)?;
    Ok(ExitCode::Success)
}

fn write_all(stream: &mut impl Write, text: &str) -> anyhow::Result<()> {
    stream
        .write_all(text.as_bytes())
        .context("write the answer")
}

/// Of an agent that watches, through a thread and a bounded queue: a reader of the log that stands still must not stop the
/// watch. Lines that find no room are dropped, and what waits is written when the guard goes. Any other command
/// waits for its reader, who wants all of it.
///
/// The level is for the agent. The kernel programs have a switch of their own (`kernel_log`), and what
/// passes that is shown.
fn log_to_stderr(level: LogLevel, watches: bool) -> Option<WorkerGuard> {
    let (writer, guard) = if watches {
        let (stderr, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(LOG_LINES_MAX)
            .finish(io::stderr());
        (BoxMakeWriter::new(stderr), Some(guard))
    } else {
        (BoxMakeWriter::new(io::stderr), None)
    };
    let filter = Targets::new()
        .with_default(LevelFilter::from(level))
        .with_target("wallwatch_ebpf", LevelFilter::TRACE);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .init();
    guard
}

fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<Problems>() {
        return ExitCode::Config;
    }
    if error.is::<WriterError>() || error.is::<AlertsLost>() {
        return ExitCode::IoError;
    }
    match error.downcast_ref::<SensorError>() {
        Some(error) if error.is_permission() => ExitCode::NoPermission,
        Some(_) => ExitCode::Unavailable,
        None if error.chain().any(|cause| cause.is::<io::Error>()) => ExitCode::IoError,
        None => ExitCode::Software,
    }
}
