//! What the kernel says about the time that the agent's programs take.
//!
//! Its statistics cost two readings of the clock for each run, so this is a burst of its own. They are
//! on for as long as a descriptor is open (`BPF_ENABLE_STATS`, since Linux 5.8), so that nothing has to
//! be put back.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, bail};
use serde::Serialize;

use super::agent::Agent;
use super::burst::Burst;
use super::machine::Gate;
use super::workload::{Bench, Workload};

/// Commands of `bpf(2)` (`enum bpf_cmd`, `include/uapi/linux/bpf.h`).
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_ENABLE_STATS: libc::c_long = 32;

/// The only kind of statistics there is (`BPF_STATS_RUN_TIME`).
const BPF_STATS_RUN_TIME: u32 = 0;

/// One of the agent's programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct KernelProgram {
    pub(crate) name: String,
    pub(crate) runs: u64,
    pub(crate) ns_per_run: f64,
    /// The time of all its runs, shared out over the burst's execs.
    pub(crate) ns_per_exec: f64,
}

/// One burst of the tiny program, with the statistics on.
pub(crate) fn measure(bench: &Bench, gate: &mut Gate) -> anyhow::Result<Vec<KernelProgram>> {
    let agent = Agent::start(bench)?;
    let statistics = enable_statistics()?;
    let before = runs(agent.pid())?;
    let burst = Burst::undisturbed(bench, Workload::OneWorker, Some(&agent), gate)?;
    let after = runs(agent.pid())?;
    drop(statistics);
    let burst = burst.context("others used the machine all the time")?;
    let mut programs = Vec::new();
    for (before, after) in before.iter().zip(&after) {
        let (runs, time_ns) = (after.count - before.count, after.time_ns - before.time_ns);
        if runs > 0 {
            programs.push(KernelProgram {
                name: name(after.id)?,
                runs,
                ns_per_run: time_ns as f64 / runs as f64,
                ns_per_exec: time_ns as f64 / burst.execs as f64,
            });
        }
    }
    // A program is gone with the agent, and its name with it.
    agent.stop()?;
    Ok(programs)
}

/// How often a program has run, as its descriptor's `fdinfo` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Runs {
    id: u32,
    count: u64,
    time_ns: u64,
}

/// The programs that a process holds, by id.
fn runs(pid: u32) -> anyhow::Result<Vec<Runs>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut programs = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
        let path = entry.context("list the agent's descriptors")?.path();
        // A descriptor may be closed meanwhile.
        let info = fs::read_to_string(path).unwrap_or_default();
        programs.extend(parse(&info));
    }
    programs.sort();
    programs.dedup_by_key(|program| program.id);
    if programs.is_empty() {
        bail!("this kernel does not tell the run time of programs");
    }
    Ok(programs)
}

/// `None` when it is no program's, or of a kernel before 5.1.
fn parse(fdinfo: &str) -> Option<Runs> {
    let number = |name: &str| {
        let line = fdinfo.lines().find(|line| line.starts_with(name))?;
        line.split_once(':')?.1.trim().parse::<u64>().ok()
    };
    Some(Runs {
        id: number("prog_id:")?.try_into().ok()?,
        count: number("run_cnt:")?,
        time_ns: number("run_time_ns:")?,
    })
}

fn enable_statistics() -> anyhow::Result<OwnedFd> {
    let mut attribute = [BPF_STATS_RUN_TIME; 4];
    bpf(BPF_ENABLE_STATS, &mut attribute)
        .and_then(descriptor)
        .context("switch the kernel's statistics of programs on")
}

/// The name under which a program was loaded.
fn name(id: u32) -> anyhow::Result<String> {
    let mut attribute = [id, 0, 0, 0];
    let program = bpf(BPF_PROG_GET_FD_BY_ID, &mut attribute)
        .and_then(descriptor)
        .context("open a program by its id")?;
    // The first fields of `struct bpf_prog_info`, up to and with `name`.
    let mut info = [0_u8; 80];
    let address = info.as_mut_ptr() as u64;
    let [low, high] = [address as u32, (address >> 32) as u32];
    let [first, second] = if cfg!(target_endian = "little") {
        [low, high]
    } else {
        [high, low]
    };
    let program_number = program.as_raw_fd().cast_unsigned();
    let mut attribute = [program_number, info.len() as u32, first, second];
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute).context("ask for a program's name")?;
    let name = CStr::from_bytes_until_nul(&info[64..]).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// `bpf(2)`, for commands whose attributes begin with the words given and are 0 beyond.
fn bpf(command: libc::c_long, attribute: &mut [u32; 4]) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are as long as is said, and outlive the call; what they point to does as
    // well and has room for what the caller says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attribute.as_mut_ptr(),
            size_of_val(attribute),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn descriptor(number: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for this process, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_time_of_a_program_is_read() {
        let fdinfo = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nprog_jited:\t1\n\
                      prog_tag:\t0123456789abcdef\nmemlock:\t8192\nprog_id:\t42\n\
                      run_time_ns:\t9000\nrun_cnt:\t5\nrecursion_misses:\t0\n";
        let expected = Runs {
            id: 42,
            count: 5,
            time_ns: 9000,
        };
        assert_eq!(parse(fdinfo), Some(expected));
    }

    #[test]
    fn what_is_no_program_has_no_run_time() {
        assert_eq!(parse("pos:\t0\nlink_type:\ttracing\nprog_id:\t42\n"), None);
        assert_eq!(parse(""), None);
    }
}
