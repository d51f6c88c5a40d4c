//! The canaries as processes.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Children that live until [`end`](Self::end), or until this is dropped.
pub(super) struct Flock {
    children: Vec<Child>,
}

impl Flock {
    /// Starts one canary for each port, by the name of `wallwatch`. They exec this very program, even if
    /// its file has been replaced.
    pub(super) fn start(tag: &str, ports: &[&str]) -> io::Result<Self> {
        let mut flock = Self {
            children: Vec::with_capacity(ports.len()),
        };
        for port in ports {
            let child = Command::new("/proc/self/exe")
                .arg0("wallwatch")
                .args(["canary", tag, "--port", port])
                .env_clear()
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            flock.children.push(child);
        }
        Ok(flock)
    }

    /// Ends the canaries and waits for them. What is killed cannot hold this up.
    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Neither can fail for a child that was not waited for.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
