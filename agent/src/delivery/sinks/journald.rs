//! The journal of this host, in its native protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

mod entry;

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::{Message, Transport};
use crate::config::JournaldSettings;
use crate::delivery::sink::{Delivery, Trouble};

/// How long the journal may leave its socket full.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries: a daemon of this host that is started anew is back soon.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// One datagram for each event. The socket is systemd's own, so what it took outlives a restart of the daemon.
pub(super) struct Journald {
    path: PathBuf,
    answer: Option<String>,
}

impl Journald {
    pub(super) fn new(settings: &JournaldSettings) -> Self {
        Self {
            path: settings.socket.clone(),
            answer: None,
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(socket)
    }

    fn stopped(&self, delivered: usize, error: &io::Error) -> Delivery {
        let path = self.path.display();
        let why = if error.kind() == io::ErrorKind::WouldBlock {
            format!("{path}: the journal read nothing for {TIMEOUT:?}")
        } else {
            format!("{path}: {error}")
        };
        Delivery {
            delivered,
            trouble: Some(Trouble::Retry { after: None, why }),
        }
    }
}

impl Transport for Journald {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        self.answer = None;
        let socket = match self.connect() {
            Ok(socket) => socket,
            Err(error) => return self.stopped(0, &error),
        };
        for (index, message) in messages.iter().enumerate() {
            if let Err(error) = send_entry(&socket, &entry::encode(message)) {
                return self.stopped(index, &error);
            }
        }
        self.answer = Some(format!("{} took everything", self.path.display()));
        Delivery {
            delivered: messages.len(),
            trouble: None,
        }
    }

    /// Each delivery connects anew.
    fn reload(&mut self) {}

    fn answer(&self) -> Option<String> {
        self.answer.clone()
    }

    fn retry_max(&self) -> Duration {
        PAUSE_MAX
    }
}

fn send_entry(socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
    match socket.send(entry) {
        Ok(_) => Ok(()),
        Err(error) if is_too_long(&error) => send_sealed(socket, entry),
        Err(error) => Err(error),
    }
}

/// Longer than the socket's buffer, or than what the kernel has in one piece just now.
fn is_too_long(error: &io::Error) -> bool {
    let codes = [Errno::EMSGSIZE, Errno::ENOBUFS];
    codes
        .iter()
        .any(|code| error.raw_os_error() == Some(*code as i32))
}

/// As a file in memory that nobody can change any more, in an empty datagram.
fn send_sealed(socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"wallwatch-entry", flags)?);
    file.write_all(entry)?;
    let file = OwnedFd::from(file);
    let seals = SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    let descriptors = [file.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let nothing = [IoSlice::new(&[])];
    let socket = socket.as_raw_fd();
    sendmsg::<UnixAddr>(socket, &nothing, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

#[cfg(test)]
mod tests;
