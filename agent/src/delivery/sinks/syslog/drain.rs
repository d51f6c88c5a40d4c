//! Waiting until the other side has what was sent.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection::Ending;
use crate::socket_queue::bytes_queued;

/// Between two looks at the queue, in milliseconds; the first ones follow sooner.
const PAUSE_MS_MAX: u16 = 20;

/// Waits until `socket` has nothing queued, and no less than `settle`. After each look at the queue `listen` says
/// whether the other side is still there. Gives the time it took, counted in pauses; fails after `timeout`.
pub(super) fn drain(
    socket: &impl AsFd,
    settle: Duration,
    timeout: Duration,
    mut listen: impl FnMut() -> Result<(), Ending>,
) -> Result<Duration, Ending> {
    let mut waited = Duration::ZERO;
    let mut pause_ms = 1;
    loop {
        let is_empty = bytes_queued(socket).map_err(Ending::Broken)? == 0;
        // An end that came before the queue was empty shows here.
        listen()?;
        if is_empty && waited >= settle {
            return Ok(waited);
        }
        if waited >= timeout.max(settle) {
            return Err(Ending::Stalled(timeout));
        }
        pause(socket, pause_ms)?;
        waited += Duration::from_millis(pause_ms.into());
        pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
    }
}

/// Waits so long, or less when the other side says something.
fn pause(socket: &impl AsFd, pause_ms: u16) -> Result<(), Ending> {
    let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match poll(&mut descriptors, PollTimeout::from(pause_ms)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(Ending::Broken(io::Error::from(error))),
    }
}
