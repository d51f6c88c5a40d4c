//! The service manager, which started the agent and wants to know how it is: `sd_notify(3)`.
//!
//! The words are those of the crate `sd-notify`, the socket is our own: a manager that does not read must not hold
//! up the watch, and so nothing here waits. A message that finds no room is lost; the next one comes soon.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

use super::clock;

/// Where the manager listens.
const ADDRESS: &str = "NOTIFY_SOCKET";

/// The store's thread comes round once a second; with less than two of them a look can come at the wrong moment.
const WATCHDOG_MIN: Duration = Duration::from_secs(2);

/// Looks in an interval of the watchdog. With two, as `sd_watchdog_enabled(3)` has it, one that comes just before
/// the store's turn would leave none.
const LOOKS: u32 = 4;

/// Whom to tell, and how often; nobody and never, where no manager started the agent.
#[derive(Debug, Default)]
pub struct ServiceManager {
    link: Option<Link>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Link {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// The one that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`. One that cannot be
    /// reached is said to be so, and costs nothing else.
    pub fn of_environment() -> Self {
        let Some(address) = std::env::var_os(ADDRESS) else {
            return Self::default();
        };
        Self::at(&address, sd_notify::watchdog_enabled()).unwrap_or_else(|error| {
            tracing::warn!(?address, %error, "the service manager cannot be told anything");
            Self::default()
        })
    }

    /// `address` is a path, or behind an `@` a name in the abstract namespace (`unix(7)`). A `watchdog` of zero is
    /// none.
    ///
    /// # Errors
    ///
    /// When it is neither, or longer than 107 bytes; when there is no socket to be had.
    fn at(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let watchdog = watchdog.filter(|interval| !interval.is_zero());
        if let Some(interval) = watchdog
            && interval < WATCHDOG_MIN
        {
            tracing::warn!(
                ?interval,
                "the watchdog bites sooner than it can be fed: give it 2 s at least"
            );
        }
        Ok(Self {
            link: Some(Link { socket, address }),
            watchdog,
        })
    }

    /// Whether anybody listens.
    pub fn is_there(&self) -> bool {
        self.link.is_some()
    }

    /// How long from one look at what must go on to the next, if there is a watchdog.
    pub fn look_interval(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval / LOOKS)
    }

    /// The watch is on, from the start or again after [`reloading`](Self::reloading).
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// What a person reads in `systemctl status`. Without line breaks.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// The configuration is being read anew, as of now.
    pub fn reloading(&self) {
        let now = NotifyState::MonotonicUsec(clock::monotonic_us().into());
        self.tell(&[NotifyState::Reloading, now]);
    }

    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// Not fed for the whole interval, the watchdog ends the agent.
    pub fn feed(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(Link { socket, address }) = &self.link else {
            return;
        };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, "the service manager is not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn listen(path: &Path) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let n = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    #[test]
    fn each_state_is_told_in_the_words_of_the_protocol() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = listen(&path);
        let manager = ServiceManager::at(path.as_os_str(), None).unwrap();
        manager.ready("armed, 0 alerts");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=armed, 0 alerts\n");
        manager.status("armed, 1 alert");
        assert_eq!(heard(&socket), "STATUS=armed, 1 alert\n");
        manager.feed();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
        manager.stopping();
        assert_eq!(heard(&socket), "STOPPING=1\n");
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = listen(&path);
        let manager = ServiceManager::at(path.as_os_str(), None).unwrap();
        let before = clock::monotonic_us();
        manager.reloading();
        let after = clock::monotonic_us();
        let text = heard(&socket);
        let began = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let began: u64 = began.trim_end().parse().unwrap();
        assert!((before..=after).contains(&began), "{began}");
    }

    #[test]
    fn a_name_in_the_abstract_namespace_is_reached() {
        let name = format!("wallwatch-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let manager = ServiceManager::at(OsStr::new(&format!("@{name}")), None).unwrap();
        manager.feed();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
    }

    #[test]
    fn a_manager_that_does_not_read_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = listen(&path);
        let manager = ServiceManager::at(path.as_os_str(), None).unwrap();
        // More than any queue of datagrams takes (`net.unix.max_dgram_qlen`, 10 or 512).
        for _ in 0..10_000 {
            manager.feed();
        }
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
        drop(socket);
        manager.feed();
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for address in ["", "run/notify", &format!("/{}", "x".repeat(200))] {
            assert!(ServiceManager::at(OsStr::new(address), None).is_err());
        }
    }

    #[test]
    fn four_looks_fit_an_interval_and_none_is_made_without() {
        let at = |watchdog| ServiceManager::at(OsStr::new("/run/x"), watchdog).unwrap();
        let interval = Some(Duration::from_secs(30));
        assert_eq!(
            at(interval).look_interval(),
            Some(Duration::from_millis(7500))
        );
        assert_eq!(at(Some(Duration::ZERO)).look_interval(), None);
        assert_eq!(at(None).look_interval(), None);
        assert!(!ServiceManager::default().is_there());
    }
}
