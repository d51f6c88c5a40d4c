//! The older x_tables: what their tables hold, asked of the kernel.
//!
//! Only tables that are there are asked for: to ask for another one would make the kernel load its module and make the
//! table (`get_info`, `net/ipv4/netfilter/ip_tables.c`).

mod reader;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::pipeline::firewall::xtables::{INFO_BYTES, Listing, NAME_BYTES};

pub use reader::{Look, Reader, Seen};

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, which are `IP6T_*`, too
/// (`include/uapi/linux/netfilter_ipv4/ip_tables.h`).
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;

/// Bytes before the entries in `struct ipt_get_entries`: name, size, and what aligns the entries to 8.
const ENTRIES_HEAD_BYTES: usize = NAME_BYTES + 8;

/// Most tables of one version of IP; the kernel has five.
const TABLES_MAX: usize = 32;

/// How often a table is read anew because it changed meanwhile.
const ATTEMPTS_MAX: u32 = 16;

/// Why the tables cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum XtablesReadError {
    #[error("read {path}: {error}")]
    Names {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("open a socket to ask for the table {table}: {error}")]
    Open {
        table: String,
        #[source]
        error: io::Error,
    },
    #[error("ask for the {what} of the table {table}: {error}")]
    Ask {
        what: &'static str,
        table: String,
        #[source]
        error: io::Error,
    },
    #[error("the table {table} changed during each of {ATTEMPTS_MAX} reads")]
    Restless { table: String },
    #[error("the kernel's answer makes no sense: {0}")]
    Senseless(#[from] crate::pipeline::firewall::xtables::XtablesError),
}

/// One version of IP.
struct Version {
    is_v6: bool,
    domain: libc::c_int,
    level: libc::c_int,
    /// Lists the tables that are there, one name a line.
    names: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        is_v6: false,
        domain: libc::AF_INET,
        level: libc::SOL_IP,
        names: "net/ip_tables_names",
    },
    Version {
        is_v6: true,
        domain: libc::AF_INET6,
        level: libc::SOL_IPV6,
        names: "net/ip6_tables_names",
    },
];

/// All tables of the calling thread's network namespace, whose `/proc` is at `proc`. Takes `CAP_NET_ADMIN`, and blocks
/// for as long as the kernel needs: 18 to 33 ms for 20,000 rules of one port each.
///
/// Of tables that take more than
/// [`LISTING_BYTES_MAX`](crate::pipeline::firewall::xtables::LISTING_BYTES_MAX) together, the last ones have a head
/// only.
///
/// # Errors
///
/// When the kernel refuses, or a table changes during each of 16 reads.
pub fn read(proc: &Path) -> Result<Listing, XtablesReadError> {
    let mut listing = Listing::default();
    for version in &VERSIONS {
        let names = names(&proc.join(version.names))?;
        for name in &names {
            let table = Table { version, name };
            table.read_into(&mut listing)?;
        }
    }
    Ok(listing)
}

/// The tables that are there; none, where the module that knows them is not loaded.
fn names(path: &Path) -> Result<BTreeSet<Vec<u8>>, XtablesReadError> {
    let mut text = Vec::new();
    let bytes_max = (TABLES_MAX * NAME_BYTES) as u64;
    let read = File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(XtablesReadError::Names {
            path: path.to_owned(),
            error,
        }),
        Ok(_) => {
            let lines = text.split(|&byte| byte == b'\n');
            let names = lines.filter(|line| !line.is_empty() && line.len() < NAME_BYTES);
            Ok(names.map(<[u8]>::to_vec).collect())
        }
    }
}

/// One table to be read.
struct Table<'a> {
    version: &'a Version,
    name: &'a [u8],
}

impl Table<'_> {
    fn read_into(&self, listing: &mut Listing) -> Result<(), XtablesReadError> {
        let socket = self.socket().map_err(|error| XtablesReadError::Open {
            table: self.shown(),
            error,
        })?;
        for _ in 0..ATTEMPTS_MAX {
            let info = self.info(&socket)?;
            let bytes = size(&info);
            if !listing.has_room(bytes) {
                listing.add(self.version.is_v6, &info, &[]);
                return Ok(());
            }
            let Some(entries) = self.entries(&socket, bytes)? else {
                continue;
            };
            // The kernel compares the size alone: chains may have moved within it.
            if self.info(&socket)? == info {
                listing.add(self.version.is_v6, &info, &entries);
                return Ok(());
            }
        }
        Err(XtablesReadError::Restless {
            table: self.shown(),
        })
    }

    /// Of any kind: what x_tables asks for is asked of every socket of its version of IP (`ip_getsockopt`,
    /// `net/ipv4/ip_sockglue.c`), and a raw one would take another capability.
    fn socket(&self) -> io::Result<OwnedFd> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        // SAFETY: the arguments are numbers.
        let descriptor = unsafe { libc::socket(self.version.domain, kind, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    fn info(&self, socket: &OwnedFd) -> Result<[u8; INFO_BYTES], XtablesReadError> {
        let mut info = [0; INFO_BYTES];
        self.name_into(&mut info);
        self.ask(socket, GET_INFO, &mut info)
            .map_err(|error| self.failed("head", error))?;
        Ok(info)
    }

    /// `None`: they take another number of bytes by now.
    fn entries(&self, socket: &OwnedFd, bytes: usize) -> Result<Option<Vec<u8>>, XtablesReadError> {
        let mut answer = vec![0; ENTRIES_HEAD_BYTES + bytes];
        self.name_into(&mut answer);
        let number = u32::try_from(bytes).unwrap_or(u32::MAX).to_ne_bytes();
        if let Some(place) = answer.get_mut(NAME_BYTES..NAME_BYTES + number.len()) {
            place.copy_from_slice(&number);
        }
        match self.ask(socket, GET_ENTRIES, &mut answer) {
            Ok(()) => Ok(Some(answer.split_off(ENTRIES_HEAD_BYTES))),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
            Err(error) => Err(self.failed("entries", error)),
        }
    }

    fn name_into(&self, question: &mut [u8]) {
        for (to, from) in question.iter_mut().zip(self.name) {
            *to = *from;
        }
    }

    fn ask(&self, socket: &OwnedFd, option: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
        let mut length = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to the buffer, which has that many, and the length that it
        // wrote.
        let status = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                self.version.level,
                option,
                buffer.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        match status {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn failed(&self, what: &'static str, error: io::Error) -> XtablesReadError {
        XtablesReadError::Ask {
            what,
            table: self.shown(),
            error,
        }
    }

    fn shown(&self) -> String {
        let version = if self.version.is_v6 { "ip6" } else { "ip" };
        format!("{version} {}", self.name.escape_ascii())
    }
}

/// The last number of `struct ipt_getinfo`.
fn size(info: &[u8; INFO_BYTES]) -> usize {
    let number = info.last_chunk().copied().map_or(0, u32::from_ne_bytes);
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_are_those_that_the_kernel_lists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        assert_eq!(names(&path).unwrap(), BTreeSet::new());
        let long = "x".repeat(NAME_BYTES);
        fs::write(&path, format!("nat\nfilter\n\n{long}\n")).unwrap();
        let found: Vec<_> = names(&path).unwrap().into_iter().collect();
        assert_eq!(found, [b"filter".to_vec(), b"nat".to_vec()]);
        let error = names(folder.path()).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }

    #[test]
    fn without_tables_nothing_is_asked_of_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), Listing::default());
    }
}
