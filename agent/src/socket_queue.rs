//! What was written to a socket and has not left this host for good.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes in the socket's send queue: for TCP those that the peer's kernel has not acknowledged (`SIOCOUTQ`, `tcp(7)`);
/// for a Unix socket the memory of what its reader has not taken (`unix(7)`).
pub(crate) fn bytes_queued(socket: &impl AsFd) -> io::Result<usize> {
    let mut queued: libc::c_int = 0;
    // SIOCOUTQ has the number of TIOCOUTQ (`include/uapi/linux/sockios.h`).
    // SAFETY: the descriptor is open as long as it is borrowed, and the kernel writes one `int`, which is there.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &mut queued) };
    match result {
        0 => Ok(usize::try_from(queued).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn a_queue_is_full_while_nobody_reads_and_empty_when_somebody_did() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.write_all(b"some bytes").unwrap();
        assert!(bytes_queued(&near).unwrap() > 0);
        far.read_exact(&mut [0; 10]).unwrap();
        assert_eq!(bytes_queued(&near).unwrap(), 0);

        let (near, far) = UnixDatagram::pair().unwrap();
        near.send(b"some bytes").unwrap();
        assert!(bytes_queued(&near).unwrap() > 0);
        far.recv(&mut [0; 10]).unwrap();
        assert_eq!(bytes_queued(&near).unwrap(), 0);
    }

    #[test]
    fn tcp_counts_what_the_peers_kernel_does_not_have() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        assert_eq!(bytes_queued(&near).unwrap(), 0);
        near.set_nonblocking(true).unwrap();
        // More than both kernels hold.
        while near.write_all(&[0; 1 << 16]).is_ok() {}
        assert!(bytes_queued(&near).unwrap() > 0);
        drop(far);
    }
}
