//! What is done again and again, with an observer and without one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::{machine, tiny_elf};
use crate::cmd;

/// What an autoconf-made `configure` does, in one readable file: it looks for headers, functions and
/// types by compiling a `conftest.c` for each, and writes a `Makefile` and a `config.h`. It is no real
/// project's, so that a measurement needs neither sources nor a network. `$1` is a folder to work in,
/// `$2` the C compiler.
const CONFIGURE: &str = include_str!("configure.sh");

/// Short commands, as an installation or a boot would run them. `$1` is a folder to work in.
const SCRIPT: &str = "\
/bin/mkdir -p $1/a
/bin/touch $1/a/f
/bin/cat $1/a/f
/bin/ls $1 >/dev/null
/bin/date >/dev/null
/usr/bin/basename $1/a/f >/dev/null
/usr/bin/stat -c %s $1/a/f >/dev/null
/bin/cp $1/a/f $1/g
/bin/mv $1/g $1/h
/bin/rm -f $1/h
:
";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Workload {
    /// One worker and a program that does nothing: little but the exec itself.
    OneWorker,
    /// The same on every processor at once: nowhere is the agent out of the way.
    AllProcessors,
    /// One worker and a shell script: execs as they are in life.
    Script,
    /// One worker and a `configure` that compiles: execs between work.
    Configure,
    /// One worker and no exec at all, only the cheapest system call: it shows whether an observer makes
    /// every other system call of the host slower.
    SystemCalls,
}

impl Workload {
    pub(crate) const ALL: [Self; 5] = [
        Self::OneWorker,
        Self::AllProcessors,
        Self::Script,
        Self::Configure,
        Self::SystemCalls,
    ];

    pub(crate) fn describe(self) -> String {
        match self {
            Self::OneWorker => "static do-nothing program, 1 worker".to_owned(),
            Self::AllProcessors => {
                format!(
                    "static do-nothing program, {} workers",
                    machine::processors()
                )
            }
            Self::Script => "shell script".to_owned(),
            Self::Configure => "configure".to_owned(),
            Self::SystemCalls => "getppid, no exec".to_owned(),
        }
    }

    /// What is counted, with its article.
    pub(crate) fn a_step(self) -> &'static str {
        match self {
            Self::OneWorker | Self::AllProcessors | Self::Script | Self::Configure => "an exec",
            Self::SystemCalls => "a call",
        }
    }

    /// Little but the exec itself, on which anything added weighs most.
    pub(crate) fn is_cheapest_exec(self) -> bool {
        match self {
            Self::OneWorker | Self::AllProcessors => true,
            Self::Script | Self::Configure | Self::SystemCalls => false,
        }
    }

    pub(crate) fn workers(self) -> usize {
        match self {
            Self::OneWorker | Self::Script | Self::Configure | Self::SystemCalls => 1,
            Self::AllProcessors => machine::processors(),
        }
    }

    /// Where the scheduler puts a process that lives for 70 µs makes more of a difference than the agent
    /// does. A script is left to it, as scripts are.
    pub(crate) fn stays_on_processors(self) -> bool {
        match self {
            Self::OneWorker | Self::AllProcessors | Self::SystemCalls => true,
            Self::Script | Self::Configure => false,
        }
    }
}

/// The files of one measurement.
pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    /// The agent.
    pub(crate) agent: PathBuf,
    /// Execs of one `configure`, which depend on the compiler.
    pub(crate) configure_execs: u64,
    tiny: PathBuf,
    canary: PathBuf,
    script: PathBuf,
    configure: PathBuf,
    compiler: PathBuf,
}

impl Bench {
    pub(crate) fn prepare(folder: &Path, agent: PathBuf) -> anyhow::Result<Self> {
        let bench = Self {
            folder: folder.to_owned(),
            agent,
            configure_execs: 1,
            tiny: folder.join("tiny"),
            canary: folder.join("canary"),
            script: folder.join("script.sh"),
            configure: folder.join("configure"),
            compiler: cmd::find("cc").context("find a C compiler (cc) for `configure`")?,
        };
        tiny_elf::write(&bench.tiny).context("write the tiny program")?;
        tiny_elf::write(&bench.canary).context("write the tiny program")?;
        fs::write(&bench.script, SCRIPT).context("write the script")?;
        fs::write(&bench.configure, CONFIGURE).context("write the script")?;
        fs::create_dir(bench.work_folder()).context("create a folder for the script")?;
        Ok(bench)
    }

    /// A program that does nothing and that no workload runs: whoever shows it is awake.
    pub(crate) fn canary(&self) -> &Path {
        &self.canary
    }

    /// What a worker runs; nothing when it only makes system calls.
    pub(crate) fn command(&self, workload: Workload) -> Vec<OsString> {
        match workload {
            Workload::OneWorker | Workload::AllProcessors => vec![self.tiny.clone().into()],
            Workload::Script => vec![
                "/bin/sh".into(),
                self.script.clone().into(),
                self.work_folder().into(),
            ],
            Workload::Configure => vec![
                "/bin/sh".into(),
                self.configure.clone().into(),
                self.work_folder().into(),
                self.compiler.clone().into(),
            ],
            Workload::SystemCalls => Vec::new(),
        }
    }

    /// Execs, or system calls, of one run of [`command`](Self::command).
    pub(crate) fn steps_per_run(&self, workload: Workload) -> u64 {
        match workload {
            Workload::OneWorker | Workload::AllProcessors | Workload::SystemCalls => 1,
            Workload::Script => script_execs(),
            Workload::Configure => self.configure_execs,
        }
    }

    fn work_folder(&self) -> PathBuf {
        self.folder.join("work")
    }
}

/// The shell, and each line but the last.
fn script_execs() -> u64 {
    SCRIPT.lines().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_how_many_execs_it_makes() {
        let commands = SCRIPT.lines().filter(|line| line.starts_with('/')).count();
        assert_eq!(script_execs(), commands as u64 + 1);
    }
}
