//! `cargo xtask tidy`: the house rules that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cmd;

/// Folders at the root, exactly.
const FOLDERS: &[&str] = &["agent", "agent-common", "agent-ebpf", "tests", "xtask"];

/// Lines of the longest source file that can still be read at one sitting.
const LINES_MAX: usize = 700;

/// What must not be named in the code of a folder.
struct Arrow {
    folder: &'static str,
    forbidden: &'static [&'static str],
    why: &'static str,
}

const ARROWS: &[Arrow] = &[
    Arrow {
        folder: "agent/src/pipeline",
        forbidden: &[
            "crate::host",
            "crate::delivery",
            "crate::config",
            "crate::run",
            "crate::replay",
            "crate::record",
            "crate::recording",
            "crate::formats",
            "crate::state",
            "crate::cli",
            "tokio::",
            "aya::",
            "nix::",
            "libc::",
            "serde::",
            "serde_json::",
            "tracing::",
            "std::fs",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            "std::process",
            "std::env",
            "std::thread",
            "use std::{",
            "use crate::{",
            "std::io",
            "Instant::now",
            "SystemTime",
        ],
        why: "the pipeline is pure: no I/O, no clock, nothing of the edges",
    },
    Arrow {
        folder: "agent/src/host",
        forbidden: &[
            "crate::delivery",
            "crate::run",
            "crate::replay",
            "crate::record",
            "crate::recording",
            "crate::formats",
            "crate::state",
            "crate::cli",
        ],
        why: "the host knows the pipeline's words and nothing behind them",
    },
    Arrow {
        folder: "agent/src/delivery",
        forbidden: &[
            "crate::host",
            "crate::run",
            "crate::replay",
            "crate::record",
            "crate::recording",
            "crate::formats",
            "crate::state",
            "crate::cli",
        ],
        why: "delivery knows the pipeline's words and nothing before them",
    },
    Arrow {
        folder: "agent/src/config",
        forbidden: &[
            "crate::host",
            "crate::delivery",
            "crate::state",
            "crate::run",
            "crate::cli",
            "tokio::",
            "aya::",
        ],
        why: "the configuration says what is wanted; who does it reads it",
    },
    Arrow {
        folder: "agent/src/state",
        forbidden: &[
            "crate::host",
            "crate::delivery",
            "crate::run",
            "crate::replay",
            "crate::cli",
            "aya::",
        ],
        why: "the state is the pipeline's memory on disk, and knows nothing else",
    },
    Arrow {
        folder: "agent-common/src",
        forbidden: &["unsafe "],
        why: "the wire is plain data",
    },
];

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &[
    "agent-ebpf/src",
    "agent/src/host",
    "agent/src/run.rs",
    "agent/src/socket_queue.rs",
    "xtask/src",
    "tests",
];

/// What no source may hold.
const FORBIDDEN: &[&str] = &["todo!(", "unimplemented!(", "#[ignore", "FIXME", "dbg!("];

pub(crate) fn run() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    check_folders(&mut faults)?;
    let mut sources = Vec::new();
    for folder in FOLDERS {
        collect(&cmd::root().join(folder), &mut sources)?;
    }
    sources.sort();
    let mut longest = (0, String::new());
    for path in &sources {
        let name = path
            .strip_prefix(cmd::root())
            .unwrap_or(path)
            .display()
            .to_string();
        let text = fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        check_source(&name, &text, &mut faults);
        longest = longest.max((text.lines().count(), name));
    }
    println!(
        "tidy: {} sources; the longest is {} with {} lines",
        sources.len(),
        longest.1,
        longest.0
    );
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} fault(s):\n{}", faults.len(), faults.join("\n"));
}

fn check_folders(faults: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(cmd::root()).context("list the root")? {
        let entry = entry.context("list the root")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().context("list the root")?.is_dir();
        if is_folder && !name.starts_with('.') && name != "target" && !FOLDERS.contains(&&*name) {
            faults.push(format!(
                "{name}/: folders at the root are {}",
                FOLDERS.join(", ")
            ));
        }
    }
    Ok(())
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.context("list a folder")?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}

fn check_source(name: &str, text: &str, faults: &mut Vec<String>) {
    if name.ends_with("/mod.rs") {
        faults.push(format!("{name}: a module `x` is x.rs beside x/"));
    }
    if text.lines().count() > LINES_MAX {
        faults.push(format!(
            "{name}: more than {LINES_MAX} lines; which noun can leave it?"
        ));
    }
    let is_this = name == "xtask/src/tidy.rs";
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        let place = format!("{name}:{}", index + 1);
        for arrow in ARROWS.iter().filter(|arrow| name.starts_with(arrow.folder)) {
            for word in arrow.forbidden.iter().filter(|word| code.contains(**word)) {
                faults.push(format!("{place}: `{word}`: {}", arrow.why));
            }
        }
        if is_this {
            continue;
        }
        for word in FORBIDDEN.iter().filter(|word| code.contains(**word)) {
            faults.push(format!("{place}: `{word}` is not for this project"));
        }
        let has_unsafe =
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl");
        if has_unsafe && !UNSAFE.iter().any(|folder| name.starts_with(folder)) {
            faults.push(format!(
                "{place}: `unsafe` belongs to {}",
                UNSAFE.join(", ")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(name: &str, text: &str) -> usize {
        let mut faults = Vec::new();
        check_source(name, text, &mut faults);
        faults.len()
    }

    #[test]
    fn an_import_against_the_arrow_is_found() {
        assert_eq!(
            faults("agent/src/pipeline/detect.rs", "use crate::host::clock;"),
            1
        );
        assert_eq!(faults("agent/src/pipeline.rs", "use std::fs;"), 1);
        assert_eq!(
            faults("agent/src/host/ring.rs", "use crate::pipeline::exec;"),
            0
        );
        assert_eq!(
            faults("agent/src/delivery/writer.rs", "use crate::host::clock;"),
            1
        );
        assert_eq!(faults("agent/src/pipeline.rs", "// crate::host says so"), 0);
    }

    #[test]
    fn unsafe_has_its_places() {
        assert_eq!(faults("agent/src/config.rs", "unsafe { x() }"), 1);
        assert_eq!(faults("agent/src/host/sensor.rs", "unsafe { x() }"), 0);
    }
}
