//! What the tests share: the binary, a running agent, programs in throw-away namespaces.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for something that should happen at once. Guests without hardware support are some
/// fifty times slower than this machine, and it may be busy beside them.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(if in_guest() { 600 } else { 60 })
}

/// The binary under test. In a guest there is no cargo, and the environment says where it is.
pub(crate) fn wallwatch() -> Command {
    let path =
        std::env::var_os("WALLWATCH_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_wallwatch").into());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// The binary under test with all defaults, whatever the machine's own configuration says.
pub(crate) fn wallwatch_with_defaults() -> Command {
    let mut command = wallwatch();
    command.arg("--config").arg(data().join("empty.toml"));
    command
}

/// The same for a guest, which has no folder of test data: the empty configuration is put in `folder`.
pub(crate) fn wallwatch_with_defaults_in(folder: &Path) -> Command {
    let config = folder.join("empty.toml");
    fs::write(&config, "").unwrap();
    let mut command = wallwatch();
    command.arg("--config").arg(config);
    command
}

/// Where recordings and what is expected of them are kept.
pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data")
}

/// The stand-in for malware, copied to `folder` under `name`: its path is what tests look for.
pub(crate) fn stub_in(folder: &Path, name: &str) -> PathBuf {
    let stub =
        std::env::var_os("WALLWATCH_STUB").map_or_else(|| example("malware-stub"), PathBuf::from);
    let target = folder.join(name);
    fs::copy(&stub, &target).unwrap_or_else(|error| {
        panic!(
            "copy {}: {error}; build it with `cargo build --examples`",
            stub.display()
        )
    });
    target
}

/// One of the programs that only tests use.
pub(crate) fn example(name: &str) -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_wallwatch"));
    binary.with_file_name("examples").join(name)
}

/// A copy of the program that any user can reach, in a folder that any user can write.
pub(crate) fn copy_for_nobody(binary: &OsStr, folder: &Path) -> PathBuf {
    let copy = folder.join("wallwatch");
    fs::copy(binary, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    copy
}

/// Whether a log has warnings or errors, but for one: before Linux 5.13 a tmpfs, on which guests live, has no identity
/// for fanotify.
pub(crate) fn complains(log: &str) -> bool {
    let mut lines = log.lines();
    lines.any(|line| {
        line.contains("ERROR") || (line.contains("WARN") && !line.contains("is watched by inotify"))
    })
}

/// Whether this runs in a guest, where everything is slow.
pub(crate) fn in_guest() -> bool {
    std::env::var_os("WALLWATCH_VM").is_some()
}

/// A program as it is started outside of these tests: cargo has theirs look for libraries in its own folders, and a
/// manager that was told to load the code of others is none.
pub(crate) fn host_program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// Runs a shell script in network and mount namespaces of its own, and waits for it. `$1…` are the
/// arguments.
pub(crate) fn in_namespaces(script: &str, arguments: &[&OsStr]) -> Output {
    let output = host_program("unshare")
        .args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-ec",
            script,
            "script",
        ])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("start unshare (util-linux)");
    assert!(
        output.status.success(),
        "{script}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A running `wallwatch run` (or `record`) with every path in a temporary directory.
pub(crate) struct Agent {
    child: Child,
    pub(crate) folder: TempDir,
    log: Receiver<String>,
    said: Vec<String>,
}

impl Agent {
    /// Starts the agent and waits until it is armed. `config` is the text of its configuration file.
    pub(crate) fn run(config: &str) -> Self {
        Self::start(config, run_arguments)
    }

    /// Starts the agent on the host whose files stand under `root`; without `capability`, by its number in
    /// `include/uapi/linux/capability.h`, where there is one.
    pub(crate) fn run_on(root: &Path, capability: Option<u32>) -> Self {
        Self::start("", |command, folder| {
            run_arguments(command, folder);
            command.arg("--root").arg(root);
            if let Some(capability) = capability {
                let drop_it = move || drop_capability(capability);
                // SAFETY: between fork and exec it makes one system call and allocates nothing.
                unsafe { command.pre_exec(drop_it) };
            }
        })
    }

    /// Starts the agent as a service manager does that listens at `socket` and has a watchdog of that interval.
    pub(crate) fn run_as_service(socket: &Path, watchdog: Duration) -> Self {
        Self::start("", |command, folder| {
            run_arguments(command, folder);
            command
                .env("NOTIFY_SOCKET", socket)
                .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        })
    }

    /// Starts the agent with a log that is read only until it is armed, and then by nobody.
    pub(crate) fn run_unread() -> Self {
        let mut agent = Self::run("");
        let (_, nobody) = mpsc::channel();
        agent.log = nobody;
        agent
    }

    /// Starts a recording.
    pub(crate) fn record() -> Self {
        Self::start("", |command, folder| {
            command
                .arg("record")
                .arg("--output")
                .arg(folder.join("recording.jsonl"));
        })
    }

    /// Starts the agent, or a recording if `command` is `record`, where `/sys/kernel/tracing` is mounted if `tracefs`,
    /// and empty if not.
    pub(crate) fn start_with_tracing(command: &str, config: &str, tracefs: bool) -> Self {
        let (option, file) = match command {
            "record" => ("--output", "recording.jsonl"),
            _ => ("--alerts", "alerts.jsonl"),
        };
        // The same file system cannot be mounted twice in one place.
        let mount = match tracefs {
            true => {
                "grep -q ' /sys/kernel/tracing tracefs ' /proc/mounts || mount -t tracefs none /sys/kernel/tracing"
            }
            false => "mount -t tmpfs none /sys/kernel/tracing",
        };
        let script = format!(
            "{mount}; mount -t tmpfs none /sys/kernel/debug
            exec \"$1\" --config \"$2\" \"$3\" \"$4\" \"$5\""
        );
        Self::start(config, |wallwatch, folder| {
            let binary = wallwatch.get_program().to_owned();
            *wallwatch = Command::new("unshare");
            wallwatch
                .args(["--mount", "--propagation", "private", "bash", "-ec"])
                .args([&script, "script"])
                .arg(binary)
                .arg(folder.join("wallwatch.toml"))
                .args([command, option])
                .arg(folder.join(file));
        })
    }

    /// Programs of the type `BPF_PROG_TYPE_TRACEPOINT` (5, `include/uapi/linux/bpf.h`) that the agent holds.
    pub(crate) fn tracepoint_programs(&self) -> usize {
        let folder = format!("/proc/{}/fdinfo", self.child.id());
        let descriptors = fs::read_dir(folder).expect("the agent runs");
        descriptors
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
            .filter(|info| info.lines().any(|line| line == "prog_type:\t5"))
            .count()
    }

    /// Starts the agent without the kernel's type information.
    pub(crate) fn run_without_btf() -> Self {
        Self::run_among_mounts(
            "mount -t tmpfs none /sys/kernel/btf
            grep -q ' /sys/kernel/tracing ' /proc/mounts || mount -t tracefs none /sys/kernel/tracing",
        )
    }

    /// Starts the agent where no cgroup v2 is mounted.
    pub(crate) fn run_without_cgroup2() -> Self {
        Self::run_among_mounts(
            "while grep -q ' - cgroup2 ' /proc/self/mountinfo; do
                umount -l \"$(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .* - cgroup2 .*/\\1/p' \
                    /proc/self/mountinfo | tail -n 1)\"
            done",
        )
    }

    /// Starts the agent in a mount namespace of its own, which a shell's script has changed before.
    fn run_among_mounts(change: &str) -> Self {
        let script = format!(
            "{change}
            exec \"$1\" --config \"$2\" run --alerts \"$3\" --state \"$4\""
        );
        Self::start("", |command, folder| {
            let binary = command.get_program().to_owned();
            *command = Command::new("unshare");
            command
                .args(["--mount", "--propagation", "private", "bash", "-ec"])
                .args([&script, "script"])
                .arg(binary)
                .arg(folder.join("wallwatch.toml"))
                .arg(folder.join("alerts.jsonl"))
                .arg(folder.join("state"));
        })
    }

    fn start(config: &str, arguments: impl FnOnce(&mut Command, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let config_path = folder.path().join("wallwatch.toml");
        fs::write(&config_path, config).expect("write the configuration");
        let mut command = wallwatch();
        command.arg("--config").arg(config_path);
        arguments(&mut command, folder.path());
        let (child, log) = spawn(command);
        let mut agent = Self {
            child,
            folder,
            log,
            said: Vec::new(),
        };
        agent.wait_until_said(&["armed", "recording"]);
        agent
    }

    /// Takes the agent's priority down.
    pub(crate) fn renice(&self, nice: u8) {
        let status = Command::new("renice")
            .args(["-n", &nice.to_string(), "-p", &self.child.id().to_string()])
            .stdout(Stdio::null())
            .status()
            .expect("start renice (util-linux)");
        assert!(status.success(), "{status}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The alert lines so far.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        of_kind(&self.events(), "alert")
    }

    /// All lines of the alert log so far, of whatever kind.
    pub(crate) fn events(&self) -> Vec<Value> {
        json_lines(&self.folder.path().join("alerts.jsonl"))
    }

    /// Waits for an alert line that `fits`.
    pub(crate) fn wait_for_alert(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_event(|event| event["kind"] == "alert" && fits(event))
    }

    /// Waits for a line of the alert log that `fits`.
    pub(crate) fn wait_for_event(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let pause = Duration::from_millis(5);
        for _ in 0..patience().as_millis() / pause.as_millis() {
            if let Some(event) = self.events().into_iter().rfind(|event| fits(event)) {
                return event;
            }
            thread::sleep(pause);
        }
        panic!("no such event; the agent said:\n{}", self.log_text());
    }

    /// Sends the agent a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("signal the agent");
    }

    /// Stops the agent as an operator does, and gives the fields of its last words.
    pub(crate) fn stop(mut self) -> Stopped {
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("wait for the agent");
        self.said.extend(self.log.iter());
        assert!(
            status.success(),
            "{status}; the agent said:\n{}",
            self.said.join("\n")
        );
        let fields = self
            .said
            .iter()
            .filter(|line| line.contains("totals") || line.contains("stopped"))
            .flat_map(|line| fields(line))
            .collect();
        Stopped {
            alerts: self.alerts(),
            findings: of_kind(&self.events(), "finding"),
            gaps: of_kind(&self.events(), "gap"),
            heartbeats: of_kind(&self.events(), "heartbeat"),
            recording: json_lines(&self.folder.path().join("recording.jsonl")),
            fields,
            log: self.said.join("\n"),
        }
    }

    /// Stops an agent whose log nobody reads.
    pub(crate) fn stop_unread(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("wait for the agent");
        assert!(status.success(), "{status}");
    }

    /// Ends the agent with `signal` and starts the next one, as [`run`](Self::run) does, with the same files.
    pub(crate) fn run_again(&mut self, signal: Signal) {
        self.run_again_after(signal, |_| ());
    }

    /// The same; when the agent has ended, something happens before the next one starts. `meanwhile` gets the
    /// folder of the agent.
    pub(crate) fn run_again_after(&mut self, signal: Signal, meanwhile: impl FnOnce(&Path)) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("signal the agent");
        self.child.wait().expect("wait for the agent");
        meanwhile(self.folder.path());
        let mut command = wallwatch();
        command
            .arg("--config")
            .arg(self.folder.path().join("wallwatch.toml"));
        run_arguments(&mut command, self.folder.path());
        (self.child, self.log) = spawn(command);
        self.said.clear();
        self.wait_until_said(&["armed"]);
    }

    /// What the agent wrote to its log so far.
    pub(crate) fn log_text(&mut self) -> String {
        self.said.extend(self.log.try_iter());
        self.said.join("\n")
    }

    /// Waits until the agent says that in its log.
    pub(crate) fn wait_for_log(&mut self, words: &str) {
        if !self.log_text().contains(words) {
            self.wait_until_said(&[words]);
        }
    }

    fn wait_until_said(&mut self, words: &[&str]) {
        while let Ok(line) = self.log.recv_timeout(patience()) {
            let found = words.iter().any(|word| line.contains(word));
            self.said.push(line);
            if found {
                return;
            }
        }
        let text = self.log_text();
        // The test fails in the next line; the process must not outlive it.
        drop(self.child.kill());
        panic!("the agent did not say {words:?}, but:\n{text}");
    }
}

/// What this process executes next does not have it, root or not (`capabilities(7)`).
fn drop_capability(capability: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers alone.
    match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn run_arguments(command: &mut Command, folder: &Path) {
    command
        .arg("run")
        .arg("--alerts")
        .arg(folder.join("alerts.jsonl"))
        .arg("--state")
        .arg(folder.join("state"));
}

/// Starts the agent; its log comes line by line.
fn spawn(mut command: Command) -> (Child, Receiver<String>) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start wallwatch");
    let stderr = BufReader::new(child.stderr.take().expect("a pipe was asked for"));
    let (sender, log) = mpsc::channel();
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                // The pipe stays open, and nobody reads it.
                loop {
                    thread::park();
                }
            }
        }
    });
    (child, log)
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already when it was stopped in order.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What an agent left behind.
pub(crate) struct Stopped {
    pub(crate) alerts: Vec<Value>,
    pub(crate) findings: Vec<Value>,
    pub(crate) gaps: Vec<Value>,
    pub(crate) heartbeats: Vec<Value>,
    pub(crate) recording: Vec<Value>,
    fields: BTreeMap<String, String>,
    pub(crate) log: String,
}

impl Stopped {
    /// A number from the agent's last words.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let value = self.fields.get(name);
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no number `{name}` in:\n{}", self.log))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        &self.fields[name]
    }

    /// The last state of each alert whose parent's path is `parent`.
    pub(crate) fn alerts_of(&self, parent: &Path) -> Vec<&Value> {
        let mut last = BTreeMap::new();
        for alert in self.alerts.iter().filter(|alert| is_of(alert, parent)) {
            last.insert(alert["id"].to_string(), alert);
        }
        last.into_values().collect()
    }
}

/// Whether an alert's parent is the executable at `path`.
pub(crate) fn is_of(alert: &Value, path: &Path) -> bool {
    alert["parent_process_path"].as_str() == path.to_str()
}

/// `key=value` pairs of a log line; a value may be in quotes.
fn fields(line: &str) -> Vec<(String, String)> {
    line.split_ascii_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

fn of_kind(events: &[Value], kind: &str) -> Vec<Value> {
    let fits = |event: &&Value| event["kind"] == kind;
    events.iter().filter(fits).cloned().collect()
}

/// Every whole line of a file as JSON; none when there is no such file.
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
