//! One worker of a burst, a process of its own: starts a program again and again, or makes a system call
//! again and again, and says what that took.
//!
//! It says `ready`, begins when its standard input ends, and so cannot outlive the one who holds the
//! other end.

use std::ffi::{CString, OsString, c_char, c_int, c_void};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::time;

/// What a worker says before it waits.
pub(crate) const READY: &str = "ready";

/// A worker that is still there after that is stuck, and the kernel ends it.
const ALARM_S: u32 = 60;

/// System calls between two looks at the clock.
const CALLS: u64 = 1000;

/// More than `execve` and what the C library does around it take.
const STACK_BYTES: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long to go on
    #[arg(long)]
    pub(crate) milliseconds: u64,

    /// Stay on that processor, counted among those that may be used
    #[arg(long)]
    pub(crate) processor: Option<usize>,

    /// Make a cheap system call instead of starting a program
    #[arg(long)]
    pub(crate) system_calls: bool,

    /// The program, by its path, and its arguments
    #[arg(
        required_unless_present = "system_calls",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) command: Vec<OsString>,
}

/// What a worker did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// How often the program ran, or the call was made.
    pub(crate) runs: u64,
    pub(crate) wall_ns: u64,
    /// Processor time of the worker and of all that it started. What a child still does when its parent
    /// has heard of its end is in nobody's account, some microseconds of each exec; how much of it there
    /// is may change with the agent, so that the wall time of one worker on one processor tells more.
    pub(crate) cpu_ns: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // SAFETY: the call has no preconditions.
    unsafe { libc::alarm(ALARM_S) };
    if let Some(processor) = options.processor {
        stay_on(processor)?;
    }
    let mut act = act(options)?;
    say(READY)?;
    io::stdin()
        .read_to_end(&mut Vec::new())
        .context("wait for the sign to begin")?;

    let duration = Duration::from_millis(options.milliseconds);
    let (cpu_before, begin) = (cpu_time_ns(), time::now());
    let mut runs = 0;
    while time::now() - begin < duration {
        runs += act()?;
    }
    let work = Work {
        runs,
        wall_ns: (time::now() - begin).as_nanos() as u64,
        cpu_ns: cpu_time_ns() - cpu_before,
    };
    say(&serde_json::to_string(&work).context("encode the result")?)
}

/// What is done between two looks at the clock; it gives how many runs that were.
fn act(options: &Options) -> anyhow::Result<Box<dyn FnMut() -> anyhow::Result<u64>>> {
    if options.system_calls {
        return Ok(Box::new(|| {
            (0..CALLS).for_each(|_| call());
            Ok(CALLS)
        }));
    }
    let mut image = Image::new(&options.command)?;
    Ok(Box::new(move || image.run().map(|()| 1)))
}

/// The cheapest call there is: whatever taxes all system calls weighs most on it.
fn call() {
    // SAFETY: the call has no preconditions and cannot fail.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Keeps this thread, and what it starts, on one of the processors that it may use.
fn stay_on(index: usize) -> anyhow::Result<()> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the set is as large as is said, and outlives the call.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error()).context("ask for the processors");
    }
    // SAFETY: all bits 0 are an empty set, and what the kernel wrote is one too.
    let allowed = unsafe { set.assume_init() };
    let processor = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the number is below the size of a set.
        .filter(|&number| unsafe { libc::CPU_ISSET(number, &allowed) })
        .nth(index)
        .context("find a processor")?;
    // SAFETY: all bits 0 are an empty set.
    let mut one = unsafe { MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init() };
    // SAFETY: the number is below the size of a set.
    unsafe { libc::CPU_SET(processor, &mut one) };
    // SAFETY: the set is as large as is said, and outlives the call.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one) } != 0 {
        return Err(io::Error::last_os_error()).context("stay on a processor");
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .context("write to standard output")
}

/// A program and its arguments as `execve` takes them, with an empty environment, and the stack on
/// which a child calls it.
struct Image {
    /// The pointers of `argv` point into these.
    texts: Vec<CString>,
    /// Ends with a null pointer.
    argv: Vec<*const c_char>,
    stack: Vec<u8>,
}

impl Image {
    fn new(command: &[OsString]) -> anyhow::Result<Self> {
        let texts = command
            .iter()
            .map(|text| CString::new(text.clone().into_vec()))
            .collect::<Result<Vec<_>, _>>()
            .context("read the command")?;
        let pointers = texts.iter().map(|text| text.as_ptr());
        let argv = pointers.chain([std::ptr::null()]).collect();
        Ok(Self {
            texts,
            argv,
            stack: vec![0; STACK_BYTES],
        })
    }

    /// Starts the program and waits for its end. The child shares this process's memory until its
    /// `execve`, as after `vfork`: the cheapest start there is, on which anything added weighs most.
    fn run(&mut self) -> anyhow::Result<()> {
        let top = self.stack.as_mut_ptr_range().end;
        // Both architectures that are supported want 16 bytes.
        let top = top.wrapping_sub(top as usize % 16).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let image = std::ptr::from_mut(self).cast::<c_void>();
        // SAFETY: the stack is this image's own and large enough; CLONE_VFORK holds this thread until
        // the child has left it, so that both it and the image outlive their use.
        let child = unsafe { libc::clone(start, top, flags, image) };
        if child < 0 {
            return Err(io::Error::last_os_error()).context("start a child");
        }
        let mut status: c_int = 0;
        // SAFETY: `status` outlives the call.
        while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error).context("wait for a child");
            }
        }
        if status != 0 {
            let program = self.texts[0].to_string_lossy();
            bail!("{program} ended with wait status {status:#x}");
        }
        Ok(())
    }
}

/// The child, on its own stack in its parent's memory: it may call the kernel and nothing else.
extern "C" fn start(image: *mut c_void) -> c_int {
    // SAFETY: it is the image that `run` handed to `clone`, and whose owner waits.
    let image = unsafe { &*image.cast::<Image>() };
    let environment = [std::ptr::null()];
    let program = image.argv[0];
    // SAFETY: a C string, and two arrays of such that end with a null pointer.
    unsafe { libc::execve(program, image.argv.as_ptr(), environment.as_ptr()) };
    127
}

/// Of this process and of its children that have ended.
fn cpu_time_ns() -> u64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .into_iter()
        .map(used_ns)
        .sum()
}

fn used_ns(who: c_int) -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is as large as the kernel expects.
    unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    // SAFETY: all bits 0 are a valid value, and what the kernel wrote is too.
    let usage = unsafe { usage.assume_init() };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(words: &[&str]) -> Image {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Image::new(&words).unwrap()
    }

    #[test]
    fn a_program_runs_again_and_again() {
        let mut image = image(&["/bin/sh", "-c", "exit 0"]);
        for _ in 0..3 {
            image.run().unwrap();
        }
        assert!(used_ns(libc::RUSAGE_CHILDREN) > 0);
    }

    #[test]
    fn system_calls_are_made_by_the_thousand() {
        let options = Options {
            milliseconds: 1,
            processor: None,
            system_calls: true,
            command: Vec::new(),
        };
        assert_eq!(act(&options).unwrap()().unwrap(), CALLS);
    }

    #[test]
    fn a_program_that_fails_or_is_not_there_is_an_error() {
        let error = image(&["/bin/sh", "-c", "exit 3"]).run().unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh ended with wait status 0x300");
        let error = image(&["/nonexistent/program"]).run().unwrap_err();
        assert!(error.to_string().contains("0x7f00"), "{error}");
    }
}
