//! One boot under qemu: the serial console goes to a log, to the terminal and to
//! the [`Console`]; the machine lives until it powers off, panics or is out of time.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::architecture::Architecture;
use super::console::Console;
use crate::time::now;

pub(crate) struct Machine<'a> {
    pub(crate) architecture: Architecture,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) log: &'a Path,
    /// Stands before each console line on the terminal.
    pub(crate) prefix: &'a str,
    pub(crate) time_limit: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) accelerator: Accelerator,
    /// From power-on until the tests begin.
    pub(crate) boot: Option<Duration>,
    pub(crate) total: Duration,
    pub(crate) is_timed_out: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accelerator {
    Kvm,
    /// Emulation: slower, and possible everywhere.
    Tcg,
}

/// A fault of the kernel is a panic, so that it cannot pass unnoticed.
const KERNEL_ARGUMENTS: &str = "panic=-1 oops=panic quiet loglevel=4";
const MEMORY: &str = "1024M";
const PROCESSORS: &str = "2";

/// After a panic: long enough for its backtrace to reach the log.
const PANIC_GRACE: Duration = Duration::from_secs(2);

impl Machine<'_> {
    pub(crate) fn run(&self, console: &mut Console) -> Result<Timing> {
        let accelerator = Accelerator::detect(self.architecture);
        eprintln!("[{}] booting under {}", self.prefix, accelerator.name());
        let mut log =
            File::create(self.log).with_context(|| format!("create {}", self.log.display()))?;

        let start = now();
        let mut child = self
            .command(accelerator)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start qemu")?;
        let lines = console_lines(&mut child)?;
        let mut record = |line: &[u8], console: &mut Console| {
            log.write_all(line).context("write console log")?;
            let line = printable(line);
            eprintln!("[{}] {line}", self.prefix);
            console.read_line(&line);
            Ok(())
        };
        let watched = watch(&lines, start, self.time_limit, console, &mut record);
        // Out of time, panicked, or ended by itself: then this does nothing.
        child.kill().context("stop qemu")?;
        child.wait().context("wait for qemu")?;
        let total = now() - start;

        let (boot, is_timed_out) = watched?;
        // The name of a test that hangs stands on a line without an end.
        for line in lines {
            record(&line, console)?;
        }
        Ok(Timing {
            accelerator,
            boot,
            total,
            is_timed_out,
        })
    }

    pub(crate) fn command_line(&self) -> String {
        let command = self.command(Accelerator::detect(self.architecture));
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        for argument in command.get_args() {
            let argument = argument.to_string_lossy();
            if argument.contains(' ') {
                words.push(format!("'{argument}'"));
            } else {
                words.push(argument.into_owned());
            }
        }
        words.join(" ")
    }

    /// Started through setpriv, so that the machine dies with this program even
    /// when nobody is left to stop it.
    fn command(&self, accelerator: Accelerator) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", self.architecture.qemu()])
            .args(self.architecture.machine())
            .args(["-accel", accelerator.option()])
            .args(["-smp", PROCESSORS, "-m", MEMORY])
            .args(["-display", "none", "-monitor", "none"])
            .args(["-serial", "stdio", "-nic", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .arg("-append")
            .arg(format!(
                "console={} {KERNEL_ARGUMENTS}",
                self.architecture.console()
            ));
        command
    }
}

impl Accelerator {
    /// Hardware helps with the machine's own architecture alone.
    fn detect(architecture: Architecture) -> Self {
        if architecture != Architecture::Amd64 {
            return Self::Tcg;
        }
        let can_open = File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok();
        let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        if can_open && has_virtualisation(&processor) {
            Self::Kvm
        } else {
            Self::Tcg
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }
}

/// A guest may be given `/dev/kvm` and no processor feature to go with it; a
/// kernel booted through that does not come up.
fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| {
            line.split_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        })
}

/// Follows the console until the machine is gone or its time is up. Gives the
/// time that it took to boot, and whether it ran out of time.
fn watch(
    lines: &Receiver<Vec<u8>>,
    start: Instant,
    time_limit: Duration,
    console: &mut Console,
    record: &mut impl FnMut(&[u8], &mut Console) -> Result<()>,
) -> Result<(Option<Duration>, bool)> {
    let mut boot = None;
    let mut deadline = start + time_limit;
    loop {
        let line = match lines.recv_timeout(deadline.saturating_duration_since(now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return Ok((boot, false)),
            Err(RecvTimeoutError::Timeout) => return Ok((boot, !console.has_panicked())),
        };
        let had_panicked = console.has_panicked();
        record(&line, console)?;
        if console.has_panicked() && !had_panicked {
            deadline = deadline.min(now() + PANIC_GRACE);
        }
        if console.has_started {
            boot.get_or_insert_with(|| now() - start);
        }
    }
}

/// The console as lines; the channel closes when the machine is gone.
fn console_lines(child: &mut Child) -> Result<Receiver<Vec<u8>>> {
    let stdout = child.stdout.take().context("open console of qemu")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut console = BufReader::new(stdout);
        loop {
            let mut line = Vec::new();
            match console.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if sender.send(line).is_err() => return,
                Ok(_) => {}
            }
        }
    });
    Ok(lines)
}

/// A guest's control characters have no business on this terminal.
fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .chars()
        .filter(|character| !character.is_control() || *character == '\t')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{has_virtualisation, printable};

    #[test]
    fn kvm_needs_a_processor_feature() {
        assert!(has_virtualisation(
            "model name : x\nflags\t\t: fpu vmx sse\n"
        ));
        assert!(has_virtualisation("flags\t\t: svm\n"));
        assert!(!has_virtualisation(
            "flags\t\t: fpu hypervisor\nbugs : vmx\n"
        ));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable(b"\x1b[2Jok\tyes\r\n"), "[2Jok\tyes");
    }
}
