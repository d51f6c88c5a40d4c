//! The execs of this host as JSON lines, until SIGTERM or SIGINT.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::compose::{attach, block_on};
use crate::config::Settings;
use crate::host::identity::Identity;
use crate::host::source::Source;
use crate::pipeline::exec::Event;
use crate::recording::{write_failed_line, write_line};

/// Records to `output`, or to standard output.
pub fn record(settings: &Settings, root: &Path, output: Option<&Path>) -> anyhow::Result<()> {
    let mut output: BufWriter<Box<dyn Write>> = BufWriter::new(match output {
        Some(path) => Box::new(create(path).context("create the recording")?),
        None => Box::new(io::stdout()),
    });
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
        let mut source = attach(settings, &Identity::read(root), root, false)?;
        tracing::info!(sight = %source.sight(), "recording");
        loop {
            tokio::select! {
                ready = source.wait() => ready.context("wait for the rings")?,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
            drain(&mut source, &mut output)?;
        }
        source.detach().context("detach the sensor")?;
        while drain(&mut source, &mut output)? > 0 {}
        let counters = source.counters().context("read the counters")?;
        let (received, lost) = (source.received(), counters.execs_lost());
        tracing::info!(
            execs = received.execs,
            lost,
            failed_execs = received.failed_execs,
            failed_execs_lost = counters.failed_execs().lost,
            "stopped"
        );
        Ok(())
    })
}

/// For the owner alone: command lines hold secrets. An existing file is replaced, a link is refused.
fn create(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn drain(source: &mut Source, output: &mut impl Write) -> anyhow::Result<usize> {
    let mut written = Ok(());
    let n = source.drain(|event, _| {
        if written.is_err() {
            return;
        }
        let line = match event {
            Event::Exec(exec) => write_line(&exec),
            Event::FailedExec(failed) => write_failed_line(&failed),
            Event::Fork(_) | Event::Exit(_) | Event::Running(_) | Event::XtablesReplace(_) => {
                return;
            }
        };
        written = line
            .map_err(io::Error::from)
            .and_then(|line| output.write_all(&line));
    });
    written
        .and_then(|()| output.flush())
        .context("write the recording")?;
    Ok(n)
}
