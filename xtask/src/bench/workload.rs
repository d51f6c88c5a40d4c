//! What is done again and again, with the agent and without it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::{machine, tiny_elf};

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
}

impl Workload {
    pub(crate) const ALL: [Self; 3] = [Self::OneWorker, Self::AllProcessors, Self::Script];

    pub(crate) fn describe(self) -> String {
        match self {
            Self::OneWorker => "tiny, 1 worker".to_owned(),
            Self::AllProcessors => format!("tiny, {} workers", machine::processors()),
            Self::Script => "shell script".to_owned(),
        }
    }

    pub(crate) fn workers(self) -> usize {
        match self {
            Self::OneWorker | Self::Script => 1,
            Self::AllProcessors => machine::processors(),
        }
    }

    /// Where the scheduler puts a process that lives for 70 µs makes more of a difference than the agent
    /// does. A script is left to it, as scripts are.
    pub(crate) fn stays_on_processors(self) -> bool {
        match self {
            Self::OneWorker | Self::AllProcessors => true,
            Self::Script => false,
        }
    }

    /// Execs of one run of [`command`](Bench::command).
    pub(crate) fn execs_per_run(self) -> u64 {
        match self {
            Self::OneWorker | Self::AllProcessors => 1,
            // The shell, and each line but the last.
            Self::Script => SCRIPT.lines().count() as u64,
        }
    }
}

/// The files of one measurement.
pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    /// The agent.
    pub(crate) agent: PathBuf,
    tiny: PathBuf,
    script: PathBuf,
}

impl Bench {
    pub(crate) fn prepare(folder: &Path, agent: PathBuf) -> anyhow::Result<Self> {
        let bench = Self {
            folder: folder.to_owned(),
            agent,
            tiny: folder.join("tiny"),
            script: folder.join("script.sh"),
        };
        tiny_elf::write(&bench.tiny).context("write the tiny program")?;
        fs::write(&bench.script, SCRIPT).context("write the script")?;
        fs::create_dir(bench.work_folder()).context("create a folder for the script")?;
        Ok(bench)
    }

    /// What a worker runs.
    pub(crate) fn command(&self, workload: Workload) -> Vec<OsString> {
        match workload {
            Workload::OneWorker | Workload::AllProcessors => vec![self.tiny.clone().into()],
            Workload::Script => vec![
                "/bin/sh".into(),
                self.script.clone().into(),
                self.work_folder().into(),
            ],
        }
    }

    fn work_folder(&self) -> PathBuf {
        self.folder.join("work")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_how_many_execs_it_makes() {
        let commands = SCRIPT.lines().filter(|line| line.starts_with('/')).count();
        assert_eq!(Workload::Script.execs_per_run(), commands as u64 + 1);
    }
}
