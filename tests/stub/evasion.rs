//! What attackers do to be taken for something else. Most modes do their trick and go on with the rest of
//! the command line, which is a mode again.
//!
//! ```text
//! tell FILE [ANYTHING…]           writes to FILE how /proc shows this process to itself
//! exec ARGV0 PROGRAM [ARGUMENT…]  becomes PROGRAM, under that argv[0]
//! name NAME MODE…                 calls itself NAME (PR_SET_NAME)
//! rewrite TEXT MODE…              writes TEXT over its own command line
//! memfd NAME ARGV0 MODE…          becomes a copy of itself that is in memory only
//! orphan MODE…                    a grandchild goes on, in a session of its own, when its parent has ended
//! reaper MODE…                    a child goes on; what it leaves behind is adopted
//! sibling MODE…                   a new child of its own parent goes on (CLONE_PARENT)
//! ports MODE…                     a child goes on for each of three ports, `%` standing for a command
//! traced TRACER MODE…             goes on while the stub at TRACER traces it and its children
//! tracer PID                      traces that process and its children until it ends
//! race COUNT FILE                 that often, `racing` with FILE.0, FILE.1, …
//! racing FILE                     becomes `tell FILE …` while a second thread changes the arguments
//! xtables-replace ANYTHING        asks the kernel to replace a table of x_tables, without a tool
//! xtables-open ANYTHING           replaces one by itself with another policy, without a tool
//! ```

use std::ffi::{CString, c_char, c_int, c_long};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, ExitCode, Stdio, exit, id};
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::run;

/// Three of the ports that the analytic watches: as many as an alert takes.
const PORTS: [&str; 3] = ["636", "989", "995"];

pub(crate) fn evade(words: &[&str]) -> ExitCode {
    match words {
        ["tell", file, ..] => tell(file),
        ["exec", argv0, program, arguments @ ..] => {
            let error = Command::new(program).arg0(argv0).args(arguments).exec();
            panic!("cannot run {program}: {error}");
        }
        ["name", name, rest @ ..] => {
            set_name(name);
            return run(rest);
        }
        ["rewrite", text, rest @ ..] => {
            rewrite(text);
            return run(rest);
        }
        ["memfd", name, argv0, rest @ ..] => memfd(name, argv0, rest),
        ["orphan", rest @ ..] => orphan(rest),
        ["reaper", rest @ ..] => reaper(rest),
        ["sibling", rest @ ..] => sibling(rest),
        ["ports", rest @ ..] => ports(rest),
        ["traced", tracer, rest @ ..] => return traced(tracer, rest),
        ["tracer", process] => {
            let Ok(process) = process.parse() else {
                return ExitCode::from(64);
            };
            trace(process);
        }
        ["race", count, file] => {
            let Ok(count) = count.parse() else {
                return ExitCode::from(64);
            };
            race(count, file);
        }
        ["racing", file] => racing(file),
        ["xtables-replace", ..] => xtables_replace(),
        ["xtables-open", ..] => xtables_open(),
        _ => return ExitCode::from(64),
    }
    ExitCode::SUCCESS
}

/// `setsockopt(IPT_SO_SET_REPLACE)` for the table `filter`, with rules that the kernel refuses: that it was tried is
/// what is to be seen.
fn xtables_replace() {
    let mut argument = [0u8; 96];
    argument[..6].copy_from_slice(b"filter");
    // SAFETY: the arguments are numbers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW) };
    assert!(socket >= 0, "a raw socket takes CAP_NET_RAW");
    let taken = replace_table(socket, &argument);
    assert!(taken.is_err(), "no kernel takes a table without rules");
}

/// `setsockopt(IPT_SO_SET_REPLACE)`.
fn replace_table(socket: c_int, argument: &[u8]) -> std::io::Result<()> {
    const IPT_SO_SET_REPLACE: c_int = 64;
    // SAFETY: the kernel reads as many bytes as the argument has, and writes counters where the argument says.
    let status = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_IP,
            IPT_SO_SET_REPLACE,
            argument.as_ptr().cast(),
            argument.len() as libc::socklen_t,
        )
    };
    match status {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Takes the table `filter` as it is and puts it back with a chain INPUT that lets pass what no rule decides.
fn xtables_open() {
    const IPT_SO_GET_INFO: c_int = 64;
    const IPT_SO_GET_ENTRIES: c_int = 65;
    /// `NF_ACCEPT`, as a standard target has it.
    const ACCEPT: i32 = -2;
    // SAFETY: the arguments are numbers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
    assert!(socket >= 0, "a socket");
    // `struct ipt_getinfo`: name, hooks, five beginnings, five ends, entries, bytes.
    let mut info = vec![0u8; 84];
    info[..6].copy_from_slice(b"filter");
    ask(socket, IPT_SO_GET_INFO, &mut info);
    let number = |offset: usize| {
        let bytes = info[offset..offset + 4].try_into().expect("four bytes");
        u32::from_ne_bytes(bytes)
    };
    let (entries, bytes) = (number(76), number(80));
    // `struct ipt_get_entries`: name, bytes, padding, entries.
    let mut table = vec![0u8; 40 + bytes as usize];
    table[..6].copy_from_slice(b"filter");
    table[32..36].copy_from_slice(&bytes.to_ne_bytes());
    ask(socket, IPT_SO_GET_ENTRIES, &mut table);
    let mut rules = table.split_off(40);
    // The end of INPUT, hook 1: the target behind `struct ipt_entry` and the head of the target.
    let verdict = number(32 + 4 + 20 + 4) as usize + 112 + 32;
    rules[verdict..verdict + 4].copy_from_slice(&ACCEPT.to_ne_bytes());
    let mut counters = vec![0u8; 16 * entries as usize];
    // `struct ipt_replace`: name, hooks, entries, bytes, beginnings, ends, counters, where those go, rules.
    let mut argument = info[..36].to_vec();
    argument.extend(entries.to_ne_bytes());
    argument.extend(bytes.to_ne_bytes());
    argument.extend_from_slice(&info[36..76]);
    argument.extend(entries.to_ne_bytes());
    argument.extend((counters.as_mut_ptr() as usize).to_ne_bytes());
    argument.extend(rules);
    replace_table(socket, &argument).expect("replace the table");
}

fn ask(socket: c_int, option: c_int, buffer: &mut [u8]) {
    let mut length = buffer.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let status = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_IP,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let error = std::io::Error::last_os_error();
    assert!(status == 0, "ask for the table: {error}");
}

/// One `key=value` a line, then an empty line, then the command line as the kernel has it.
fn tell(file: &str) {
    let link = |name: &str| {
        let target = fs::read_link(format!("/proc/self/{name}")).expect("read a link in /proc");
        target.to_string_lossy().into_owned()
    };
    let exe = fs::metadata("/proc/self/exe").expect("look at the executable");
    let comm = fs::read_to_string("/proc/self/comm").expect("read comm");
    let fields = [
        ("pid", id().to_string()),
        ("comm", comm.trim_end_matches('\n').to_owned()),
        ("exe", link("exe")),
        ("inode", exe.ino().to_string()),
        // SAFETY: the call takes no arguments and cannot fail.
        ("uid", unsafe { libc::getuid() }.to_string()),
        ("cap_effective", status("CapEff")),
        ("tty", tty()),
        ("mount", link("ns/mnt")),
        ("pid_namespace", link("ns/pid")),
        ("net", link("ns/net")),
        ("user", link("ns/user")),
    ];
    let mut text = Vec::new();
    for (key, value) in fields {
        writeln!(text, "{key}={value}").expect("a vector takes everything");
    }
    text.push(b'\n');
    text.extend(fs::read("/proc/self/cmdline").expect("read the command line"));
    fs::write(file, text).expect("write the file");
}

/// A field of `/proc/self/status`.
fn status(name: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").expect("read status");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the field is there").trim().to_owned()
}

/// The controlling terminal by `tty_nr` (`proc_pid_stat(5)`), as a recording writes it.
fn tty() -> String {
    let stat = fs::read_to_string("/proc/self/stat").expect("read stat");
    let behind_name = stat
        .rsplit(") ")
        .next()
        .expect("the name ends with a bracket");
    let number = behind_name
        .split(' ')
        .nth(4)
        .expect("tty_nr is the seventh field");
    match number.parse::<u32>().expect("tty_nr is a number") {
        0 => "none".to_owned(),
        device => {
            let minor = device & 0xff | device >> 12 & 0xf_ff00;
            format!("{}:{minor}", device >> 8 & 0xfff)
        }
    }
}

fn set_name(name: &str) {
    let text = CString::new(name).expect("a name without NUL");
    // SAFETY: the name is a C string that outlives the call.
    let result = unsafe { libc::prctl(libc::PR_SET_NAME, text.as_ptr()) };
    assert_eq!(result, 0);
    let comm = fs::read_to_string("/proc/self/comm").expect("read comm");
    assert_eq!(comm.trim_end(), name, "the name is set");
}

fn rewrite(text: &str) {
    let stat = fs::read_to_string("/proc/self/stat").expect("read stat");
    let (_, fields) = stat.rsplit_once(") ").expect("comm is in parentheses");
    // Fields 48 and 49 of `proc_pid_stat(5)`; these begin with the third.
    let mut numbers = fields.split(' ').skip(45).map(str::parse::<usize>);
    let mut number = || numbers.next().and_then(Result::ok).expect("a number");
    let (start, end) = (number(), number());
    assert!(text.len() < end - start, "the text must fit");
    let memory = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: these bytes are the process's own arguments, which std has copied and nothing refers to.
    unsafe { memory.write_bytes(0, end - start) };
    // SAFETY: as above; the text is shorter.
    unsafe { memory.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
    let shown = fs::read("/proc/self/cmdline").expect("read the command line");
    assert!(shown.starts_with(text.as_bytes()), "the text is shown");
}

fn memfd(name: &str, argv0: &str, rest: &[&str]) {
    let name = CString::new(name).expect("a name without NUL");
    // SAFETY: the name is a C string that outlives the call.
    let memory = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    assert!(memory >= 0, "memfd: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new, and nobody else's.
    let mut memory = unsafe { File::from_raw_fd(memory) };
    let mut image = File::open("/proc/self/exe").expect("open this program");
    std::io::copy(&mut image, &mut memory).expect("copy this program");
    let argv = c_strings([argv0].iter().chain(rest));
    let argv = pointers(&argv);
    // SAFETY: the array and what it points to outlive the call, and it ends with a null pointer; `environ`
    // is not changed meanwhile, for no other thread runs.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            memory.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            environ,
            libc::AT_EMPTY_PATH,
        )
    };
    panic!("execveat: {}", std::io::Error::last_os_error());
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

fn c_strings<'a>(words: impl Iterator<Item = &'a &'a str>) -> Vec<CString> {
    words
        .map(|word| CString::new(*word).expect("a word without NUL"))
        .collect()
}

/// As `execve` takes them.
fn pointers(words: &[CString]) -> Vec<*const c_char> {
    let pointers = words.iter().map(|word| word.as_ptr());
    pointers.chain([std::ptr::null()]).collect()
}

/// A child that goes on and ends; its number.
fn fork(go_on: impl FnOnce() -> ExitCode) -> c_int {
    // SAFETY: no other thread runs, so that the child may do everything.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        exit_with(go_on());
    }
    child
}

/// Ends the process; `ExitCode` does not tell its number.
fn exit_with(code: ExitCode) -> ! {
    exit(i32::from(code != ExitCode::SUCCESS));
}

/// What became of the child does not matter: a shell tells by its status what its command's was.
fn wait_for(child: c_int) {
    // SAFETY: a null pointer asks for no status.
    let waited = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!(waited, child);
}

fn orphan(rest: &[&str]) {
    let middle = fork(|| {
        // SAFETY: the call takes no arguments.
        unsafe { libc::setsid() };
        let middle = id();
        fork(|| {
            while parent_id() == middle {
                thread::sleep(Duration::from_millis(1));
            }
            run(rest)
        });
        ExitCode::SUCCESS
    });
    wait_for(middle);
}

fn reaper(rest: &[&str]) {
    // SAFETY: this command takes a number.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    assert_eq!(result, 0);
    fork(|| run(rest));
    // SAFETY: a null pointer asks for no status.
    while unsafe { libc::wait(std::ptr::null_mut()) } > 0 {}
}

fn sibling(rest: &[&str]) {
    let flags = c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: without a stack and without sharing memory this is a fork, and no other thread runs.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    assert!(child >= 0, "clone: {}", std::io::Error::last_os_error());
    if child == 0 {
        exit_with(run(rest));
    }
    // It cannot be waited for by its maker.
    let stat = format!("/proc/{child}/stat");
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        thread::sleep(Duration::from_millis(1));
    }
}

fn ports(rest: &[&str]) {
    for port in PORTS {
        let command = format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null");
        let with_command = |&word: &&str| {
            if word == "%" {
                command.clone()
            } else {
                word.to_owned()
            }
        };
        let words: Vec<String> = rest.iter().map(with_command).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        wait_for(fork(|| run(&words)));
    }
}

#[expect(clippy::zombie_processes, reason = "the tracer ends with this process")]
fn traced(tracer: &str, rest: &[&str]) -> ExitCode {
    let mut child = Command::new(tracer)
        .args(["tracer", &id().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the tracer");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe was asked for");
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line).expect("read a line");
    assert_eq!(line, "tracing\n");
    assert_eq!(status("TracerPid"), child.id().to_string());
    run(rest)
}

fn trace(process: c_int) {
    let options = libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE;
    // SAFETY: this request takes numbers.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, process, 0, options) };
    assert_eq!(result, 0, "seize: {}", std::io::Error::last_os_error());
    let said = std::io::stdout().write_all(b"tracing\n");
    said.expect("say that it traces");
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a local variable.
        let tracee = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        if tracee < 0 || (tracee == process && !libc::WIFSTOPPED(status)) {
            return;
        }
        if libc::WIFSTOPPED(status) {
            // A stop of ptrace's own, or a signal that is to be delivered.
            let is_event = status >> 16 != 0;
            let signal = if is_event { 0 } else { libc::WSTOPSIG(status) };
            // SAFETY: this request takes numbers. It fails for one that has been killed.
            unsafe { libc::ptrace(libc::PTRACE_CONT, tracee, 0, signal) };
        }
    }
}

fn race(count: usize, file: &str) {
    let program = std::env::current_exe().expect("know this program");
    for number in 0..count {
        let mut racing = Command::new(&program);
        let status = racing
            .args(["racing", &format!("{file}.{number}")])
            .status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

/// One argument alternates between two texts, in the longer of which the letters change, and where it ends.
/// A second thread calls `execve` meanwhile, and gets the number of the process with it.
fn racing(file: &str) -> ! {
    const LETTERS: usize = 4096;
    let text: &'static [AtomicU8] = Vec::leak((0..=LETTERS).map(|_| AtomicU8::new(0)).collect());
    let fill = |letter: u8| {
        text[..LETTERS]
            .iter()
            .for_each(|byte| byte.store(letter, Relaxed))
    };
    fill(b'a');
    let program = CString::new("/proc/self/exe").expect("a path without NUL");
    let words: &'static [CString] =
        Vec::leak(c_strings(["stub", "tell", file, "short", "last"].iter()));
    let null = std::ptr::null_mut();
    let choices = [
        text.as_ptr().cast_mut().cast(),
        words[3].as_ptr().cast_mut(),
    ];
    let argv = words.iter().map(|word| word.as_ptr().cast_mut());
    // The kernel reads up to the null pointer.
    let argv = argv.chain([null]).chain(choices).map(AtomicPtr::new);
    let argv: &'static [AtomicPtr<c_char>] = Vec::leak(argv.collect());
    let choose = |choice: usize| argv[3].store(argv[choice].load(Relaxed), Relaxed);
    let is_short = || argv[3].load(Relaxed) == argv[7].load(Relaxed);
    thread::spawn(move || {
        // The other thread is under way.
        while is_short() {
            thread::yield_now();
        }
        // SAFETY: the arrays and what they point to are never freed, each pointer in them is to a C string
        // as long as the text's last byte is 0, and the kernel copes with what changes.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr().cast(), environ.cast()) };
        panic!("execve: {}", std::io::Error::last_os_error());
    });
    loop {
        for letter in [b'a', b'b'] {
            choose(6);
            fill(letter);
            text[LETTERS / 2].store(0, Relaxed);
            choose(7);
        }
    }
}
