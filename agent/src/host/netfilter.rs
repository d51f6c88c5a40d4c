//! The kernel's netfilter netlink socket: what changes in nf_tables, as it changes, and what there is.

use std::io::{self, ErrorKind, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg, setsockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::pipeline::firewall::netlink::remembered::Listed;
use crate::pipeline::firewall::netlink::snapshot::Snapshot;
use crate::pipeline::firewall::netlink::{Datagram, Listing, Message, Ruleset, Set, request};

/// `NFNLGRP_NFTABLES`, `include/uapi/linux/netfilter/nfnetlink.h`
const GROUP_NFTABLES: u32 = 7;

/// What the kernel keeps for the agent until it reads; it doubles the number, for its own overhead
/// (`socket(7)`). A transaction of 20,000 rules of one port each was seen to fit.
pub const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// Longest datagram: `nf_tables_commit` puts messages together up to a page of `NLMSG_GOODSIZE`, at most 8 KiB,
/// and one message takes that at most, too. A listing fills up to 32 KiB (`netlink_recvmsg`, which looks at
/// the size of the reader's buffer).
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// How often a listing is begun anew because the ruleset changed meanwhile.
const ATTEMPTS_MAX: u32 = 16;

/// How long the kernel may take for one datagram of a listing, in seconds: it makes it while it is asked.
const ANSWER_TIMEOUT_S: i64 = 5;

/// Why nothing can be heard, or no listing had.
#[derive(Debug, thiserror::Error)]
pub enum NetfilterError {
    #[error("open a netfilter netlink socket: {0}")]
    Open(#[source] io::Error),
    #[error("set {option} on the netfilter netlink socket: {error}")]
    Option {
        option: &'static str,
        #[source]
        error: io::Error,
    },
    #[error("watch the netfilter netlink socket: {0}")]
    Watch(#[source] io::Error),
    #[error("ask nf_tables for its {what}: {error}")]
    Ask {
        what: &'static str,
        #[source]
        error: io::Error,
    },
    #[error("nf_tables' {what} could not be read: {malformed} message(s) make no sense")]
    Malformed { what: &'static str, malformed: u64 },
    #[error("the ruleset takes more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the ruleset changed during each of {ATTEMPTS_MAX} listings")]
    Restless,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A datagram of the kernel.
    Datagram {
        /// The network namespace that it is about, as this one numbers it; `None`: this one.
        nsid: Option<i32>,
        bytes: &'a [u8],
    },
    /// The kernel had no room and dropped datagrams (`ENOBUFS`, `netlink(7)`).
    Overrun,
    /// It was not the kernel's, or longer than any of its datagrams, and was thrown away.
    Refused,
    /// There is nothing more to read.
    Nothing,
}

/// What was counted at the socket since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerCounters {
    pub datagrams: u64,
    pub overruns: u64,
    pub refused: u64,
}

/// Hears of every change of nf_tables, in this network namespace and in those that have an id in it.
///
/// A namespace has one when `ip netns set` gave it one, or when an interface leads there.
pub struct Listener {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
    counters: ListenerCounters,
}

impl Listener {
    /// Opens the socket in the calling thread's network namespace and joins the group of nf_tables. The
    /// kernel may hold `receive_buffer_bytes`, whatever `net.core.rmem_max` says.
    ///
    /// Needs `CAP_NET_ADMIN` for the group and the buffer, `CAP_NET_BROADCAST` for the other namespaces, all
    /// in the initial user namespace, and to be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the kernel refuses one of these steps.
    pub fn open(receive_buffer_bytes: usize) -> Result<Self, NetfilterError> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(NetfilterError::Open)?;
        socket
            .set_non_blocking(true)
            .map_err(NetfilterError::Open)?;
        set_receive_buffer(&socket, receive_buffer_bytes)?;
        let option = |option| move |error| NetfilterError::Option { option, error };
        socket
            .set_listen_all_namespaces(true)
            .map_err(option("NETLINK_LISTEN_ALL_NSID"))?;
        socket.bind_auto().map_err(NetfilterError::Open)?;
        socket
            .add_membership(GROUP_NFTABLES)
            .map_err(option("NETLINK_ADD_MEMBERSHIP"))?;
        // SAFETY: `Socket` owns its descriptor, gives always the same one, and closes it only when dropped; the
        // `AsyncFd` owns the `Socket` and hands out only a shared reference.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self {
            socket: socket.map_err(|error| NetfilterError::Watch(error.into()))?,
            buffer: vec![0; DATAGRAM_BYTES_MAX],
            counters: ListenerCounters::default(),
        })
    }

    pub fn counters(&self) -> ListenerCounters {
        self.counters
    }

    /// Waits until there is something to read. It may be cancelled without a loss.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(|mut ready| {
            // Whoever reads goes on until `Nothing`: then the kernel tells anew.
            ready.clear_ready();
        })
    }

    /// Reads one datagram and does not wait. To be called until it gives [`Received::Nothing`].
    ///
    /// # Errors
    ///
    /// When the kernel gives an error that [`Received`] has no word for.
    pub fn receive(&mut self) -> io::Result<Received<'_>> {
        let Self {
            socket,
            buffer,
            counters,
        } = self;
        let (bytes, nsid) = match read(socket.get_ref(), buffer) {
            Ok(Some(read)) => read,
            Ok(None) => {
                counters.refused += 1;
                return Ok(Received::Refused);
            }
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(Errno::ENOBUFS) => {
                counters.overruns += 1;
                return Ok(Received::Overrun);
            }
            Err(errno) => return Err(errno.into()),
        };
        counters.datagrams += 1;
        Ok(Received::Datagram {
            nsid,
            bytes: buffer.get(..bytes).unwrap_or_default(),
        })
    }
}

fn set_receive_buffer(socket: &Socket, bytes: usize) -> Result<(), NetfilterError> {
    setsockopt(&socket.as_fd(), RcvBufForce, &bytes).map_err(|errno| NetfilterError::Option {
        option: "SO_RCVBUFFORCE",
        error: errno.into(),
    })
}

/// Bytes and namespace of one datagram; `None` when it is not the kernel's, or was cut off.
fn read(socket: &Socket, buffer: &mut [u8]) -> Result<Option<(usize, Option<i32>)>, Errno> {
    let mut control = nix::cmsg_space!(i32);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = loop {
        match recvmsg::<NetlinkAddr>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        ) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    // Any process may send to a netlink socket; only the kernel is 0 (`netlink(7)`).
    let is_kernel = received.address.is_some_and(|sender| sender.pid() == 0);
    let is_cut = received
        .flags
        .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    let nsid = received.cmsgs()?.find_map(|message| nsid(&message));
    Ok((is_kernel && !is_cut).then_some((received.bytes, nsid)))
}

/// The id that `NETLINK_LISTEN_ALL_NSID` adds (`netlink_cmsg_listen_all_nsid`,
/// `net/netlink/af_netlink.c`).
fn nsid(message: &ControlMessageOwned) -> Option<i32> {
    let ControlMessageOwned::Unknown(message) = message else {
        return None;
    };
    let header = &message.cmsg_header;
    let is_nsid =
        header.cmsg_level == libc::SOL_NETLINK && header.cmsg_type == libc::NETLINK_LISTEN_ALL_NSID;
    let number = message.data_bytes.first_chunk()?;
    is_nsid.then(|| i32::from_ne_bytes(*number))
}

/// The whole ruleset of the calling thread's network namespace. Blocks for as long as the kernel needs to list
/// it: some milliseconds for thousands of rules.
///
/// # Errors
///
/// When the kernel refuses (it takes `CAP_NET_ADMIN`), or what it answers cannot be read, or the ruleset
/// changes during each of 16 listings.
pub fn snapshot() -> Result<Snapshot, NetfilterError> {
    Lister::open(None)?.snapshot()
}

/// The same as [`snapshot`], as the kernel wrote it.
///
/// # Errors
///
/// Those of [`snapshot`], and when it takes more than `bytes_max`.
pub fn listed(bytes_max: usize) -> Result<Listed, NetfilterError> {
    let mut lister = Lister::open(Some(bytes_max))?;
    let generation = lister.snapshot()?.generation;
    let messages = lister.kept;
    Ok(Listed {
        generation,
        messages,
    })
}

/// Asks one question after the other.
struct Lister {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
    /// The messages of all lists of one attempt, when they are kept and as far as they take no more than that.
    kept: Vec<u8>,
    keep_bytes_max: Option<usize>,
}

/// One answer, and whether it is of one piece.
struct Answer {
    messages: Vec<Message>,
    interrupted: bool,
}

impl Lister {
    fn open(keep_bytes_max: Option<usize>) -> Result<Self, NetfilterError> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(NetfilterError::Open)?;
        socket.bind_auto().map_err(NetfilterError::Open)?;
        let timeout = TimeVal::seconds(ANSWER_TIMEOUT_S);
        setsockopt(&socket.as_fd(), ReceiveTimeout, &timeout).map_err(|errno| {
            NetfilterError::Option {
                option: "SO_RCVTIMEO",
                error: errno.into(),
            }
        })?;
        Ok(Self {
            socket,
            buffer: vec![0; DATAGRAM_BYTES_MAX],
            sequence: 0,
            kept: Vec::new(),
            keep_bytes_max,
        })
    }

    fn snapshot(&mut self) -> Result<Snapshot, NetfilterError> {
        for _ in 0..ATTEMPTS_MAX {
            self.kept.clear();
            if let Some(snapshot) = self.list_all()? {
                return Ok(snapshot);
            }
        }
        Err(NetfilterError::Restless)
    }

    /// `None`: the ruleset changed meanwhile.
    fn list_all(&mut self) -> Result<Option<Snapshot>, NetfilterError> {
        let generation = self.generation()?;
        let mut ruleset = Ruleset::default();
        for (what, listing) in [
            ("tables", Listing::Tables),
            ("chains", Listing::Chains),
            ("sets", Listing::Sets),
        ] {
            if !self.list(what, listing, &mut ruleset)? {
                return Ok(None);
            }
        }
        let sets: Vec<Set> = ruleset.sets().cloned().collect();
        for set in &sets {
            if !self.list("elements", Listing::Elements(set), &mut ruleset)? {
                return Ok(None);
            }
        }
        if !self.list("rules", Listing::Rules, &mut ruleset)? {
            return Ok(None);
        }
        ruleset.settle();
        let is_same = self.generation()? == generation;
        Ok(is_same.then_some(Snapshot {
            generation,
            ruleset,
        }))
    }

    fn generation(&mut self) -> Result<u32, NetfilterError> {
        let what = "generation";
        let answer = self.ask(what, Listing::Generation)?;
        let id = answer.messages.iter().find_map(|message| {
            let Message::Generation(generation) = message else {
                return None;
            };
            Some(generation.id)
        });
        id.ok_or(NetfilterError::Malformed { what, malformed: 1 })
    }

    /// Takes a listing into the ruleset; `false` when the ruleset changed meanwhile.
    fn list(
        &mut self,
        what: &'static str,
        listing: Listing<'_>,
        ruleset: &mut Ruleset,
    ) -> Result<bool, NetfilterError> {
        let answer = match self.ask(what, listing) {
            // A table or a set that was there has gone.
            Err(NetfilterError::Ask { error, .. }) if error.kind() == ErrorKind::NotFound => {
                return Ok(false);
            }
            other => other?,
        };
        for message in &answer.messages {
            ruleset.apply(message);
        }
        Ok(!answer.interrupted)
    }

    fn ask(&mut self, what: &'static str, listing: Listing<'_>) -> Result<Answer, NetfilterError> {
        let failed = |error: io::Error| NetfilterError::Ask { what, error };
        self.sequence += 1;
        let question = request(listing, self.sequence);
        let kernel = SocketAddr::new(0, 0);
        self.socket.send_to(&question, &kernel, 0).map_err(failed)?;
        let mut answer = Answer {
            messages: Vec::new(),
            interrupted: false,
        };
        let is_list = !matches!(listing, Listing::Generation);
        loop {
            let read = read(&self.socket, &mut self.buffer);
            let Some((bytes, _)) = read.map_err(|errno| failed(errno.into()))? else {
                continue;
            };
            let bytes = self.buffer.get(..bytes).unwrap_or_default();
            let datagram = Datagram::decode(bytes);
            if is_list && let Some(bytes_max) = self.keep_bytes_max {
                keep(&mut self.kept, bytes, bytes_max)?;
            }
            if datagram.malformed > 0 {
                let malformed = datagram.malformed;
                return Err(NetfilterError::Malformed { what, malformed });
            }
            answer.interrupted |= datagram.interrupted;
            let end = end_of(&datagram, is_list);
            answer.messages.extend(datagram.messages);
            match end {
                None => {}
                Some(0) => return Ok(answer),
                Some(error) => return Err(failed(io::Error::from_raw_os_error(-error))),
            }
        }
    }
}

fn keep(kept: &mut Vec<u8>, datagram: &[u8], bytes_max: usize) -> Result<(), NetfilterError> {
    let bytes = kept.len().saturating_add(datagram.len());
    // What comes next begins where the kernel would begin it (`NLMSG_ALIGN`).
    let aligned = bytes.next_multiple_of(4);
    if aligned > bytes_max {
        return Err(NetfilterError::TooLarge { bytes_max });
    }
    kept.extend_from_slice(datagram);
    kept.resize(aligned, 0);
    Ok(())
}

/// 0, or minus the error, when the answer ends with this datagram.
fn end_of(datagram: &Datagram, is_list: bool) -> Option<i32> {
    datagram.messages.iter().find_map(|message| {
        if let Message::Done(error) | Message::Answer(error) = message {
            return Some(*error);
        }
        let is_answer = !is_list && matches!(message, Message::Generation(_));
        is_answer.then_some(0)
    })
}
