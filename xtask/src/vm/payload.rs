//! What runs in the guest: the kernel tests, the agent that they start and the
//! programs that they let it watch, all linked statically, because the guest's
//! C library need not be the one that they were built against.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::apt;
use super::toolchain::Toolchain;

pub(crate) struct Payload {
    /// Each becomes `<folder>/<name>`, in a guest `/wallwatch/<name>`.
    pub(crate) programs: Vec<Program>,
    /// Name of the test program and its arguments.
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

/// Where the project and its build products are.
pub(crate) struct Workspace {
    root: PathBuf,
    target_dir: PathBuf,
}

/// Debug information would make up most of the initramfs.
const FLAGS: [&str; 2] = ["-Ctarget-feature=+crt-static", "-Cstrip=debuginfo"];
const TESTS: &str = "kernel-tests";

pub(crate) const PROBE_NAME: &str = "probe.sh";
/// What [`super::facts`] reads is printed by this.
pub(crate) const PROBE: &str = include_str!("guest/probe.sh");

impl Payload {
    pub(crate) fn build(
        workspace: &Workspace,
        toolchain: &Toolchain,
        selection: &[String],
    ) -> Result<Self> {
        let built = workspace
            .cargo_executables(toolchain, &["build", "--bins", "--examples"])
            .context("build agent and examples")?;
        let mut programs: Vec<_> = built
            .into_iter()
            .map(|executable| executable.program)
            .collect();

        let built = workspace
            .cargo_executables(toolchain, &["test", "--no-run", "--test", "main"])
            .context("build kernel tests")?;
        let tests = built
            .into_iter()
            .find(|executable| executable.is_test)
            .context("find test executable in cargo's messages")?;
        programs.push(Program {
            name: TESTS.to_owned(),
            ..tests.program
        });

        Ok(Self {
            programs,
            command: [TESTS, "--test-threads=1", "--nocapture"]
                .map(str::to_owned)
                .into_iter()
                .chain(selection.iter().cloned())
                .collect(),
        })
    }

    /// The script that asks the kernel about the programs, then runs the tests; `folder` holds it and
    /// everything else. `WALLWATCH_VM` tells the tests that everything is slow.
    pub(crate) fn script(&self, folder: &str, is_guest: bool) -> String {
        let mut script = "#!/bin/sh\n".to_owned();
        for (name, value) in [
            ("WALLWATCH_BIN", format!("{folder}/wallwatch")),
            ("WALLWATCH_STUB", format!("{folder}/malware-stub")),
            ("RUST_BACKTRACE", "1".to_owned()),
        ] {
            script.push_str(&format!("export {name}={}\n", quote(&value)));
        }
        if is_guest {
            script.push_str("export WALLWATCH_VM=1\n");
        }
        script.push_str(&format!("sh {}/{PROBE_NAME}\n", quote(folder)));
        let words: Vec<_> = self.command.iter().map(|word| quote(word)).collect();
        script.push_str(&format!("exec {}/{}\n", quote(folder), words.join(" ")));
        script
    }
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let metadata =
            apt::run_for_output(cargo().args(["metadata", "--no-deps", "--format-version=1"]))
                .context("locate workspace")?;
        let metadata: serde_json::Value =
            serde_json::from_str(&metadata).context("parse cargo metadata")?;
        let path = |name: &str| {
            metadata[name]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("read {name} from cargo metadata"))
        };
        Ok(Self {
            root: path("workspace_root")?,
            target_dir: path("target_directory")?,
        })
    }

    pub(crate) fn vm_dir(&self) -> PathBuf {
        self.target_dir.join("vm")
    }

    fn cargo_executables(
        &self,
        toolchain: &Toolchain,
        arguments: &[&str],
    ) -> Result<Vec<Executable>> {
        let inherited = std::env::var("RUSTFLAGS").unwrap_or_default();
        let flags: Vec<_> = inherited
            .split_whitespace()
            .chain(FLAGS)
            .chain(toolchain.flags.iter().map(String::as_str))
            .collect();
        let mut cargo = cargo();
        if let Some(rustc) = toolchain.rustc {
            cargo.env("RUSTC", rustc).env_remove("RUSTC_WRAPPER");
        }
        let output = cargo
            .args(arguments)
            .args(["--package", "wallwatch", "--target"])
            .arg(toolchain.architecture.target())
            .arg("--message-format=json-render-diagnostics")
            .current_dir(&self.root)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .stderr(Stdio::inherit())
            .output()
            .context("start cargo")?;
        ensure!(output.status.success(), "cargo: {}", output.status);
        parse_messages(&String::from_utf8_lossy(&output.stdout))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Executable {
    program: Program,
    is_test: bool,
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The executables among cargo's messages, one JSON object a line.
fn parse_messages(messages: &str) -> Result<Vec<Executable>> {
    let mut executables = Vec::new();
    for line in messages.lines() {
        let message: serde_json::Value =
            serde_json::from_str(line).context("parse cargo message")?;
        let Some(file) = message["executable"].as_str() else {
            continue;
        };
        let name = message["target"]["name"]
            .as_str()
            .with_context(|| format!("read target name of {file}"))?;
        executables.push(Executable {
            program: Program {
                name: name.to_owned(),
                file: file.into(),
            },
            is_test: message["profile"]["test"].as_bool().unwrap_or(false),
        });
    }
    Ok(executables)
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{Executable, Payload, Program, parse_messages};

    #[test]
    fn executables_are_told_from_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"libc"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"wallwatch"},"profile":{"test":false},"executable":"/t/wallwatch"}
{"reason":"compiler-artifact","target":{"name":"main"},"profile":{"test":true},"executable":"/t/main-1"}
{"reason":"build-finished","success":true}
"#;
        let executable = |name: &str, file: &str, is_test| Executable {
            program: Program {
                name: name.to_owned(),
                file: file.into(),
            },
            is_test,
        };
        assert_eq!(
            parse_messages(messages).unwrap(),
            [
                executable("wallwatch", "/t/wallwatch", false),
                executable("main", "/t/main-1", true),
            ]
        );
    }

    #[test]
    fn the_script_quotes_what_the_shell_would_read() {
        let payload = Payload {
            programs: Vec::new(),
            command: vec!["tests".to_owned(), "it's $HOME".to_owned()],
        };
        let script = payload.script("/w", true);
        assert!(
            script.ends_with(
                "export WALLWATCH_VM=1\nsh '/w'/probe.sh\nexec '/w'/'tests' 'it'\\''s $HOME'\n"
            ),
            "{script}"
        );
        assert!(!payload.script("/w", false).contains("WALLWATCH_VM"));
    }
}
