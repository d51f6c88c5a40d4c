//! What the agent tells a service manager.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::can_run;
use crate::harness::{Agent, complains, patience};

/// `WATCHDOG_USEC` as the unit would set it.
const WATCHDOG: Duration = Duration::from_secs(2);

struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).unwrap())
    }

    /// The next message, if one comes in time.
    fn next_within(&self, wait: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(wait)).unwrap();
        let mut bytes = [0; 4096];
        match self.0.recv(&mut bytes) {
            Ok(n) => Some(String::from_utf8(bytes[..n].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for a message with that line; others may come before it.
    fn wait_for(&self, line: &str) -> String {
        while let Some(message) = self.next_within(patience()) {
            if message.lines().any(|one| one == line) {
                return message;
            }
        }
        panic!("nobody said {line}");
    }

    /// Takes what was said already.
    fn forget(&self) {
        while self.next_within(Duration::from_millis(1)).is_some() {}
    }
}

#[test]
fn a_manager_hears_when_the_watch_begins_goes_on_is_reloaded_and_ends() {
    if !can_run("a_manager_hears_when_the_watch_begins_goes_on_is_reloaded_and_ends") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::listen(&path);
    let agent = Agent::run_as_service(&path, WATCHDOG);
    let ready = manager.wait_for("READY=1");
    assert_eq!(ready, "READY=1\nSTATUS=armed, 0 alerts\n");
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }

    agent.signal(Signal::SIGHUP);
    let reloading = manager.wait_for("RELOADING=1");
    let began = reloading.lines().nth(1).unwrap();
    let began = began.strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(began.parse::<u64>().unwrap() > 0);
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");

    agent.signal(Signal::SIGTERM);
    manager.wait_for("STOPPING=1");
    let stopped = agent.stop();
    assert!(!complains(&stopped.log), "{}", stopped.log);
}

#[test]
fn an_agent_that_stands_still_does_not_feed_the_watchdog() {
    if !can_run("an_agent_that_stands_still_does_not_feed_the_watchdog") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::listen(&path);
    let agent = Agent::run_as_service(&path, WATCHDOG);
    manager.wait_for("WATCHDOG=1");
    agent.signal(Signal::SIGSTOP);
    manager.forget();
    assert_eq!(manager.next_within(2 * WATCHDOG), None);
    agent.signal(Signal::SIGCONT);
    manager.wait_for("WATCHDOG=1");
    agent.stop();
}
