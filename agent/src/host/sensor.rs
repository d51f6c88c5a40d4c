//! The kernel programs: loaded, attached, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::resume_unwind;
use std::path::Path;

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::trace_point::TracePointLinkId;
use aya::programs::{BtfTracePoint, Iter, Program, ProgramError, ProgramInfo, TracePoint};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use aya_log::EbpfLogger;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::utsname::uname;
use wallwatch_common::{Counter, NAME_KEY_BYTES};

use super::btf::{BtfError, Offsets};
use super::capabilities;
use super::counters::{Counters, sum};
use super::ring::Rings;
use super::shares::Shares;
use super::urgent;
use crate::config::SensorSettings;
use xtables::XtablesWatch;

mod failed;
mod xtables;

/// The object, built by `cargo xtask ebpf`; `build.rs` says where it is.
pub static OBJECT: &[u8] = include_bytes_aligned!(env!("WALLWATCH_BPF_OBJECT"));

/// The tracepoint of a successful exec.
const EXEC: &str = "sched_process_exec";

/// The iterator over running processes.
const LISTING: &str = "list_processes";

/// Most bytes of a listing: 100,000 processes of some 300 bytes, and room to spare.
const LISTING_BYTES_MAX: u64 = 64 << 20;

/// The kernel's type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// What keeps the sensor from working.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    #[error("the capabilities {} are missing", .missing.join(" and "))]
    Capabilities { missing: Vec<&'static str> },
    #[error("kernel types cannot be used: {0}")]
    Btf(#[from] BtfError),
    #[error("cannot read {path}")]
    Read {
        path: &'static str,
        source: io::Error,
    },
    #[error("cannot load the kernel object")]
    Object(#[source] Box<EbpfError>),
    #[error("cannot load or attach the program `{name}`")]
    Program {
        name: &'static str,
        source: Box<ProgramError>,
    },
    #[error("cannot use the map `{name}`")]
    Map {
        name: &'static str,
        source: Box<MapError>,
    },
    #[error("the kernel object has no {what} `{name}`")]
    ObjectLacks {
        what: &'static str,
        name: &'static str,
    },
    #[error("cannot list the running processes")]
    List(#[source] io::Error),
    #[error("cannot watch the rings")]
    Rings(#[source] io::Error),
}

impl SensorError {
    /// Whether the kernel said that the caller may not do this.
    pub fn is_permission(&self) -> bool {
        if let Self::Capabilities { .. } = self {
            return true;
        }
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<io::Error>()
                && matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
            {
                return true;
            }
            source = error.source();
        }
        false
    }
}

/// What this kernel lets the sensor see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The BTF tracepoints, and the members that the kernel lacks.
    Btf { missing: Vec<String> },
    /// The classic tracepoints; command line and paths come from `/proc`, afterwards.
    Classic,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Btf { missing } if missing.is_empty() => f.write_str("BTF tracepoints, all fields"),
            Self::Btf { missing } => write!(f, "BTF tracepoints, without {}", missing.join(", ")),
            Self::Classic => f.write_str(
                "classic tracepoints: this kernel has no BTF; argv, paths, start times, login uid and \
                 session are read from /proc and lost when a process ends first; namespaces, effective \
                 uid, script names, output to /dev/null and forks are not seen",
            ),
        }
    }
}

/// The attached programs. Dropping it detaches them.
pub struct Sensor {
    ebpf: Ebpf,
    links: Vec<(&'static str, Link)>,
    counters: PerCpuArray<MapData, u64>,
    counters_rescue: PerCpuArray<MapData, u64>,
    sight: Sight,
    watches_failed_execs: bool,
    /// `None` where calls that replace a table of x_tables are not recorded.
    xtables: Option<XtablesWatch>,
}

/// What holds a program on its tracepoint.
enum Link {
    Btf(BtfTracePointLinkId),
    Classic(TracePointLinkId),
}

impl Sensor {
    /// Loads and attaches the programs. From its return on every exec is recorded.
    /// Must be called within a tokio runtime.
    ///
    /// With `watches_xtables` calls that replace a table of x_tables are recorded too, where the kernel has BTF.
    /// Every `setsockopt` of the host takes about 290 ns longer for it (526 to 818 ns for `SO_REUSEADDR` in a loop,
    /// Linux 6.18).
    pub fn attach(
        settings: &SensorSettings,
        watches_xtables: bool,
    ) -> Result<(Self, Rings), SensorError> {
        let missing = capabilities::missing();
        if !missing.is_empty() {
            return Err(SensorError::Capabilities { missing });
        }
        lift_memory_limit();
        let offsets = offsets()?;
        let rescues = programs_are_preempted();
        let urgent_keys = urgent::keys(&settings.urgent_names);
        let mut ebpf = load(settings, &urgent_keys, offsets.as_ref(), rescues)?;
        fill_urgent_names(&mut ebpf, urgent_keys)?;
        let (mut links, sight) = match &offsets {
            Some(offsets) => {
                let missing = BTreeSet::from_iter(offsets.missing());
                let sight = Sight::Btf {
                    missing: missing.into_iter().collect(),
                };
                (attach_btf(&mut ebpf, rescues)?, sight)
            }
            None => (attach_classic(&mut ebpf)?, Sight::Classic),
        };
        let xtables = (watches_xtables && offsets.is_some())
            .then(|| XtablesWatch::attach(&mut ebpf))
            .flatten();
        let mut failed_links = Vec::new();
        if settings.failed_execs {
            failed_links = failed::attach(&mut ebpf);
        }
        let watches_failed_execs = !failed_links.is_empty();
        links.append(&mut failed_links);
        let bulk: RingBuf<MapData> = take_map(&mut ebpf, "BULK")?;
        let urgent: RingBuf<MapData> = take_map(&mut ebpf, "URGENT")?;
        let shares = Shares::new(
            &take_array(&mut ebpf, "TAKEN_OUT")?,
            &take_array(&mut ebpf, "LOST")?,
        )
        .map_err(SensorError::Rings)?;
        let rings =
            Rings::new(bulk, urgent, shares, settings.drain_delay).map_err(SensorError::Rings)?;
        let counters = take_map(&mut ebpf, "COUNTERS")?;
        let counters_rescue = take_map(&mut ebpf, "COUNTERS_RESCUE")?;
        give_memory_back();
        let sensor = Self {
            ebpf,
            links,
            counters,
            counters_rescue,
            sight,
            watches_failed_execs,
            xtables,
        };
        Ok((sensor, rings))
    }

    /// Takes the programs off their tracepoints. What they have made stays in the rings.
    pub fn detach(&mut self) -> Result<(), SensorError> {
        for (name, link) in self.links.drain(..) {
            let detached = match link {
                Link::Btf(link) => program::<BtfTracePoint>(&mut self.ebpf, name)?.detach(link),
                Link::Classic(link) => program::<TracePoint>(&mut self.ebpf, name)?.detach(link),
            };
            detached.map_err(|source| SensorError::Program {
                name,
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Whether execs that fail are recorded: the operator asked for it, and the kernel has their tracepoints.
    pub fn watches_failed_execs(&self) -> bool {
        self.watches_failed_execs
    }

    /// Whether calls that replace a table of x_tables are recorded.
    pub fn watches_xtables(&self) -> bool {
        self.xtables.is_some()
    }

    /// Whether somebody had taken off a program, which is put back. Only the one on a cgroup lets that be done.
    pub fn check_attached(&mut self) -> anyhow::Result<bool> {
        let Some(xtables) = &mut self.xtables else {
            return Ok(false);
        };
        xtables.check(&mut self.ebpf)
    }

    /// The running processes, as records of their latest execs, one after the other. `None` when the kernel
    /// cannot list them.
    pub fn list(&mut self) -> Result<Option<Vec<u8>>, SensorError> {
        let name = LISTING;
        let program: &mut Iter = program(&mut self.ebpf, name)?;
        if program.fd().is_err() {
            return Ok(None);
        }
        let failed = |source| SensorError::Program {
            name,
            source: Box::new(source),
        };
        let link = program.attach().map_err(failed)?;
        let link = program.take_link(link).map_err(failed)?;
        let file = link
            .into_file()
            .map_err(|error| SensorError::List(io::Error::other(error)))?;
        let mut records = Vec::new();
        file.take(LISTING_BYTES_MAX)
            .read_to_end(&mut records)
            .map_err(SensorError::List)?;
        Ok(Some(records))
    }

    /// Reader of the programs' own log, which goes to the `log` crate's logger.
    pub fn kernel_log(&mut self) -> Result<EbpfLogger<&'static dyn log::Log>, aya_log::Error> {
        EbpfLogger::init(&mut self.ebpf)
    }

    pub fn counters(&self) -> Result<Counters, SensorError> {
        let mut values = [0; Counter::COUNT];
        for (index, value) in values.iter_mut().enumerate() {
            let read = |counters| {
                sum(counters, index).map_err(|source| SensorError::Map {
                    name: "COUNTERS",
                    source: Box::new(source),
                })
            };
            *value = read(&self.counters)? + read(&self.counters_rescue)?;
        }
        let missed_by = |name: &str| self.ebpf.program(name).map_or(0, missed);
        Ok(Counters {
            values,
            execs_skipped: missed_by("exec") + missed_by("exec_classic"),
            lineage_skipped: missed_by("fork") + missed_by("exit") + missed_by("exit_classic"),
            failed_execs_skipped: missed_by("failed_execve") + missed_by("failed_execveat"),
        })
    }
}

/// From Linux 7.0 tracepoints leave preemption on, and a program that is preempted may be skipped for
/// the next task.
fn programs_are_preempted() -> bool {
    uname().is_ok_and(|names| is_preemptible(&names.release().to_string_lossy()))
}

/// A release below 5 is the pretence of a personality (`UNAME26`, `personality(2)`).
fn is_preemptible(release: &str) -> bool {
    let major = release
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    major.is_none_or(|major| !(5..7).contains(&major))
}

/// Offsets of this kernel; `None` when it has no BTF.
fn offsets() -> Result<Option<Offsets>, SensorError> {
    if !Path::new(BTF_PATH).exists() {
        return Ok(None);
    }
    let btf = fs::read(BTF_PATH).map_err(|source| SensorError::Read {
        path: BTF_PATH,
        source,
    })?;
    Ok(Some(Offsets::resolve(&btf)?))
}

fn load(
    settings: &SensorSettings,
    urgent_keys: &[[u8; NAME_KEY_BYTES]],
    offsets: Option<&Offsets>,
    rescues: bool,
) -> Result<Ebpf, SensorError> {
    let cpus = aya::util::nr_cpus().map_err(|(path, source)| SensorError::Read { path, source })?;
    // aya-log's numbers: 0 is off, 5 is trace.
    let kernel_log_level = settings.kernel_log as u8;
    let ring_bytes = [settings.bulk_ring_bytes, settings.urgent_ring_bytes].map(u64::from);
    let argument_registers = failed::ARGUMENT_REGISTERS.unwrap_or_default();
    let mut has_task_pt_regs = 0;
    let mut failed_scratches = 1;
    if settings.failed_execs {
        has_task_pt_regs = u8::from(failed::has_task_pt_regs(offsets.is_some()));
        failed_scratches = cpus as u32;
    }
    let mut loader = EbpfLoader::new();
    // The programs carry no relocations against the kernel's types.
    loader
        .btf(None)
        .map_max_entries("BULK", settings.bulk_ring_bytes)
        .map_max_entries("URGENT", settings.urgent_ring_bytes)
        .map_max_entries("URGENT_NAMES", urgent_keys.len() as u32)
        .map_max_entries("SCRATCH", cpus as u32)
        .map_max_entries("SCRATCH_RESCUE", if rescues { cpus as u32 } else { 1 })
        .map_max_entries("FAILED_SCRATCH", failed_scratches)
        .override_global("ARGUMENT_REGISTERS", &argument_registers, true)
        .override_global("HAS_TASK_PT_REGS", &has_task_pt_regs, true)
        .override_global("RING_BYTES", &ring_bytes, true)
        .override_global(aya_log::LEVEL, &kernel_log_level, true);
    if let Some(offsets) = offsets {
        loader.override_global("OFFSETS", offsets.as_slice(), true);
    }
    loader
        .load(OBJECT)
        .map_err(|error| SensorError::Object(Box::new(error)))
}

fn fill_urgent_names(ebpf: &mut Ebpf, keys: Vec<[u8; NAME_KEY_BYTES]>) -> Result<(), SensorError> {
    let name = "URGENT_NAMES";
    // The map stays where it is: the programs are loaded later and need its descriptor.
    let map = ebpf
        .map_mut(name)
        .ok_or(SensorError::ObjectLacks { what: "map", name })?;
    let fill = || {
        let mut map: HashMap<&mut MapData, [u8; NAME_KEY_BYTES], u8> = HashMap::try_from(map)?;
        keys.into_iter().try_for_each(|key| map.insert(key, 1, 0))
    };
    fill().map_err(|source| SensorError::Map {
        name,
        source: Box::new(source),
    })
}

/// With `rescues` the second exec program is attached too, after the first: they run in this order.
fn attach_btf(ebpf: &mut Ebpf, rescues: bool) -> Result<Vec<(&'static str, Link)>, SensorError> {
    let mut called = vec![("argv_rest", "ARGV_REST", 0), ("exec_end", "EXEC_END", 0)];
    let mut attached = vec![
        ("fork", "sched_process_fork"),
        ("exit", "sched_process_exit"),
        ("exec", EXEC),
    ];
    if rescues {
        called.push(("argv_rest_rescue", "ARGV_REST", 1));
        called.push(("exec_end_rescue", "EXEC_END", 1));
        attached.push(("exec_rescue", EXEC));
    }
    let called_at_exec = called.iter().map(|&(name, ..)| (name, EXEC));
    load_btf(
        ebpf,
        &called_at_exec.chain(attached.iter().copied()).collect(),
    )?;
    for (name, map, index) in called {
        enter(ebpf, name, map, index)?;
    }
    let mut links = Vec::new();
    for (name, _) in attached {
        let link = program::<BtfTracePoint>(ebpf, name)?.attach();
        let link = link.map_err(|source| SensorError::Program {
            name,
            source: Box::new(source),
        })?;
        links.push((name, Link::Btf(link)));
    }
    Ok(links)
}

/// Loads the listing and the programs of these names at their tracepoints, each on a thread of its own: the
/// verifier is nearly all of the time until the agent is armed, and checks them side by side.
fn load_btf(
    ebpf: &mut Ebpf,
    tracepoints: &BTreeMap<&'static str, &'static str>,
) -> Result<(), SensorError> {
    let btf = &Btf::from_sys_fs().map_err(|error| SensorError::Object(Box::new(error.into())))?;
    std::thread::scope(|scope| {
        let mut loads = Vec::new();
        for (name, program) in ebpf.programs_mut() {
            let tracepoint = tracepoints.get_key_value(name);
            if let Some((&name, &tracepoint)) = tracepoint {
                loads.push(scope.spawn(move || load_program(program, name, tracepoint, btf)));
            } else if name == LISTING {
                loads.push(scope.spawn(move || load_listing(program, btf)));
            }
        }
        loads
            .into_iter()
            .try_for_each(|load| load.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn load_program(
    program: &mut Program,
    name: &'static str,
    tracepoint: &str,
    btf: &Btf,
) -> Result<(), SensorError> {
    let failed = |source| SensorError::Program {
        name,
        source: Box::new(source),
    };
    let program: &mut BtfTracePoint = program.try_into().map_err(failed)?;
    program.load(tracepoint, btf).map_err(failed)?;
    say_loaded(name, program.info());
    Ok(())
}

/// A kernel that refuses it costs exactness, not the watch.
fn load_listing(program: &mut Program, btf: &Btf) -> Result<(), SensorError> {
    let failed = |source| SensorError::Program {
        name: LISTING,
        source: Box::new(source),
    };
    let program: &mut Iter = program.try_into().map_err(failed)?;
    match program.load("task", btf) {
        Ok(()) => say_loaded(LISTING, program.info()),
        Err(error) => tracing::warn!(
            %error,
            "the kernel cannot list its processes; /proc serves instead"
        ),
    }
    Ok(())
}

fn say_loaded(name: &str, info: Result<ProgramInfo, ProgramError>) {
    if let Ok(info) = info {
        let verified = info.verified_instruction_count();
        tracing::debug!(program = name, ?verified, "loaded");
    }
}

/// Puts a program where the exec programs call it.
fn enter(
    ebpf: &mut Ebpf,
    name: &'static str,
    map_name: &'static str,
    index: u32,
) -> Result<(), SensorError> {
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    let fd = program
        .fd()
        .and_then(|fd| fd.try_clone().map_err(ProgramError::from))
        .map_err(|source| SensorError::Program {
            name,
            source: Box::new(source),
        })?;
    let map = ebpf.map_mut(map_name).ok_or(SensorError::ObjectLacks {
        what: "map",
        name: map_name,
    })?;
    ProgramArray::try_from(map)
        .and_then(|mut programs| programs.set(index, &fd, 0))
        .map_err(|source| SensorError::Map {
            name: map_name,
            source: Box::new(source),
        })
}

fn attach_classic(ebpf: &mut Ebpf) -> Result<Vec<(&'static str, Link)>, SensorError> {
    let mut links = Vec::new();
    for (name, tracepoint) in [
        ("exit_classic", "sched_process_exit"),
        ("exec_classic", EXEC),
    ] {
        links.push((name, attach_tracepoint(ebpf, name, "sched", tracepoint)?));
    }
    Ok(links)
}

fn attach_tracepoint(
    ebpf: &mut Ebpf,
    name: &'static str,
    category: &str,
    tracepoint: &str,
) -> Result<Link, SensorError> {
    let program: &mut TracePoint = program(ebpf, name)?;
    program
        .load()
        .and_then(|()| program.attach(category, tracepoint))
        .map(Link::Classic)
        .map_err(|source| SensorError::Program {
            name,
            source: Box::new(source),
        })
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, SensorError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(SensorError::ObjectLacks {
        what: "program",
        name,
    })?;
    program.try_into().map_err(|source| SensorError::Program {
        name,
        source: Box::new(source),
    })
}

fn take_map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, SensorError>
where
    M: TryFrom<aya::maps::Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or(SensorError::ObjectLacks { what: "map", name })?;
    M::try_from(map).map_err(|source| SensorError::Map {
        name,
        source: Box::new(source),
    })
}

/// The array of that name, whatever its values.
fn take_array(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, SensorError> {
    match ebpf.take_map(name) {
        Some(Map::Array(data)) => Ok(data),
        _ => Err(SensorError::ObjectLacks {
            what: "array",
            name,
        }),
    }
}

/// `recursion_misses` of a loaded program, from its descriptor's `fdinfo` (`bpf_prog_show_fdinfo`,
/// `kernel/bpf/syscall.c`; since Linux 5.12). 0 where the kernel does not tell.
fn missed(program: &Program) -> u64 {
    let Ok(fd) = program.fd() else {
        return 0;
    };
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let Ok(info) = fs::read_to_string(path) else {
        return 0;
    };
    info.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Before Linux 5.11 maps are charged to `RLIMIT_MEMLOCK`. Where it cannot be lifted the load fails,
/// and says so.
fn lift_memory_limit() {
    let lifted = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    if let Err(error) = lifted {
        tracing::debug!(%error, "RLIMIT_MEMLOCK cannot be lifted");
    }
}

/// Parsing the kernel's types took tens of megabytes, which glibc would keep.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_rescued_where_they_may_be_skipped() {
        for release in ["7.2.13+deb14-cloud-amd64", "10.0", "2.6.78", ""] {
            assert!(is_preemptible(release), "{release}");
        }
        for release in ["6.18.44", "5.10.0-46-cloud-amd64"] {
            assert!(!is_preemptible(release), "{release}");
        }
    }
}
