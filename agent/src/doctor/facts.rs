//! What the host says about itself. Everything is read under one root, nothing is judged; `None` means
//! that it is not told.

pub mod agents;
pub mod alert_log;
pub mod mounts;

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::utsname::uname;
use sha2::{Digest, Sha256};
use wallwatch_common::MemberSpec;

use crate::config::{AlertsSettings, SensorSettings, Settings};
use crate::delivery::encode;
use crate::host::sensor::OBJECT;
use crate::host::{btf, capabilities, clock};
use crate::pipeline::exec::Time;

use agents::Agent;
use alert_log::AlertLog;
use mounts::Mount;

/// Longest of the small files that are read here, in bytes.
const TEXT_BYTES_MAX: u64 = 64 << 10;

/// Mounts of a host with many containers; the rest is not looked at.
const MOUNTINFO_BYTES_MAX: u64 = 16 << 20;

/// The kernel's types have 5 to 10 MB.
const BTF_BYTES_MAX: u64 = 256 << 20;

/// The pid namespace in which the kernel counts (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const PID_NS_INIT: &str = "pid:[4026531836]";

#[derive(Clone, Debug)]
pub struct Facts {
    pub configuration: Configuration,
    /// As `uname -r` has it.
    pub release: String,
    /// The architecture for which the agent was built.
    pub machine: Machine,
    /// The effective set of this process, `CapEff`.
    pub capabilities: Option<u64>,
    /// Whether system calls of this process are filtered.
    pub seccomp: Option<bool>,
    pub btf: BtfFile,
    /// Of the kernel object that is built into the agent, in hexadecimal.
    pub object_sha256: String,
    /// The level in force; `None` on a kernel without lockdown.
    pub lockdown: Option<String>,
    /// Soft limit of `RLIMIT_MEMLOCK` as `/proc/self/limits` has it.
    pub memory_lock: Option<String>,
    /// 0: BPF programs are interpreted.
    pub bpf_jit_enable: Option<u32>,
    /// 1: each run of a BPF program is timed.
    pub bpf_stats_enabled: Option<u32>,
    pub cpus_possible: Option<usize>,
    pub cpus_online: Option<usize>,
    pub clocksource: Option<String>,
    /// What both clocks said.
    pub time: Time,
    pub is_synchronised: Option<bool>,
    /// `None` when they cannot be read: there is no `/proc`.
    pub mounts: Option<Vec<Mount>>,
    /// Whether the pids of this process's `/proc` are those that the kernel programs report.
    pub is_in_first_pid_ns: Option<bool>,
    pub agents: Vec<Agent>,
    pub alert_log: AlertLog,
    pub sensor: SensorSettings,
    pub alerts: AlertsSettings,
}

#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub name: &'static str,
    /// The object is for machines of 64 bits that begin with the lowest byte.
    pub takes_object: bool,
}

impl Machine {
    const THIS: Self = Self {
        name: std::env::consts::ARCH,
        takes_object: cfg!(all(target_endian = "little", target_pointer_width = "64")),
    };
}

/// Where the settings came from.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub path: PathBuf,
    pub is_there: bool,
    /// What is wrong with it; if anything is, the defaults were examined.
    pub problems: Vec<String>,
}

/// The kernel's type information.
#[derive(Clone, Debug)]
pub enum BtfFile {
    Absent,
    Unreadable {
        error: String,
        is_permission: bool,
    },
    Damaged {
        error: String,
    },
    Read {
        bytes: usize,
        lacking: Vec<&'static MemberSpec>,
    },
}

impl Facts {
    /// Reads what can be read. The alert log stands where the settings say, whatever the root: that is
    /// where the agent would write.
    pub fn read(root: &Path, configuration: Configuration, settings: &Settings) -> Self {
        let text = |path: &str| text(&root.join(path), TEXT_BYTES_MAX);
        let number = |path: &str| text(path)?.trim().parse().ok();
        let status = text("proc/self/status");
        let status_line = |name: &str| {
            let mut lines = status.as_deref()?.lines();
            lines.find_map(|line| line.strip_prefix(name))
        };
        Self {
            configuration,
            release: text("proc/sys/kernel/osrelease")
                .map_or_else(own_release, |release| release.trim().to_owned()),
            machine: Machine::THIS,
            capabilities: status.as_deref().and_then(capabilities::effective),
            seccomp: status_line("Seccomp:").map(|mode| mode.trim() != "0"),
            btf: read_btf(&root.join("sys/kernel/btf/vmlinux")),
            object_sha256: hex(&Sha256::digest(OBJECT)),
            lockdown: text("sys/kernel/security/lockdown").and_then(|text| chosen(&text)),
            memory_lock: text("proc/self/limits").and_then(|limits| memory_lock(&limits)),
            bpf_jit_enable: number("proc/sys/net/core/bpf_jit_enable"),
            bpf_stats_enabled: number("proc/sys/kernel/bpf_stats_enabled"),
            cpus_possible: text("sys/devices/system/cpu/possible").and_then(|list| count(&list)),
            cpus_online: text("sys/devices/system/cpu/online").and_then(|list| count(&list)),
            clocksource: text("sys/devices/system/clocksource/clocksource0/current_clocksource")
                .map(|name| name.trim().to_owned()),
            time: clock::now(),
            is_synchronised: clock::is_synchronised(),
            mounts: self::text(&root.join("proc/self/mountinfo"), MOUNTINFO_BYTES_MAX)
                .map(|mountinfo| mounts::parse(&mountinfo)),
            is_in_first_pid_ns: root
                .join("proc/self/ns/pid")
                .read_link()
                .ok()
                .map(|namespace| namespace == Path::new(PID_NS_INIT)),
            agents: agents::running(&root.join("proc")),
            alert_log: AlertLog::look(&settings.alerts),
            sensor: settings.sensor.clone(),
            alerts: settings.alerts.clone(),
        }
    }

    /// Whether this process has the capability of that number; `None` when it is not told.
    pub fn has_capability(&self, capability: u32) -> Option<bool> {
        Some(self.capabilities? >> capability & 1 == 1)
    }

    /// Major and minor number of the release.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(|char: char| !char.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

fn own_release() -> String {
    uname().map_or_else(
        |_| "unknown".to_owned(),
        |names| names.release().to_string_lossy().into_owned(),
    )
}

fn read_btf(path: &Path) -> BtfFile {
    let bytes = match read_at_most(path, BTF_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BtfFile::Absent,
        Err(error) => {
            return BtfFile::Unreadable {
                is_permission: error.kind() == io::ErrorKind::PermissionDenied,
                error: error.to_string(),
            };
        }
    };
    match btf::lacking(&bytes) {
        Ok(lacking) => BtfFile::Read {
            bytes: bytes.len(),
            lacking,
        },
        Err(error) => BtfFile::Damaged {
            error: error.to_string(),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The word in brackets: `none [integrity] confidentiality`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (chosen, _) = rest.split_once(']')?;
    Some(chosen.to_owned())
}

/// The soft limit, in bytes or `unlimited`.
fn memory_lock(limits: &str) -> Option<String> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max locked memory"))?;
    Some(line.split_ascii_whitespace().next()?.to_owned())
}

/// How many a list such as `0-3,8` names.
fn count(list: &str) -> Option<usize> {
    list.trim()
        .split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .try_fold(0, |sum: usize, count| sum.checked_add(count?))
}

/// A file as text, what is not UTF-8 escaped.
fn text(path: &Path, bytes_max: u64) -> Option<String> {
    let bytes = read_at_most(path, bytes_max).ok()?;
    Some(encode::text(&bytes))
}

fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(bytes_max)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_lockdown_is_the_one_in_brackets() {
        let level = |text| chosen(text).unwrap();
        assert_eq!(level("[none] integrity confidentiality\n"), "none");
        assert_eq!(
            level("none integrity [confidentiality]\n"),
            "confidentiality"
        );
        assert_eq!(chosen(""), None);
        assert_eq!(chosen("none ["), None);
    }

    #[test]
    fn processors_are_counted_from_the_kernels_list() {
        assert_eq!(count("0\n"), Some(1));
        assert_eq!(count("0-3,8\n"), Some(5));
        for damaged in ["", "x", "3-1", "0-", &format!("0-{}", usize::MAX)] {
            assert_eq!(count(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_read() {
        let limits = "Limit                     Soft Limit  Hard Limit  Units\n\
            Max locked memory         65536       unlimited   bytes\n";
        assert_eq!(memory_lock(limits).unwrap(), "65536");
        assert_eq!(memory_lock(""), None);
    }
}
