//! The namespaces that the host itself is in: what an exec's are compared with.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::procfs::Procfs;

/// Inode numbers that the kernel gives the initial namespaces of these kinds, whatever the boot
/// (`PROC_USER_INIT_INO` and `PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
pub const USER_INITIAL: u32 = 0xEFFF_FFFD;
pub const PID_INITIAL: u32 = 0xEFFF_FFFC;

/// The same of kinds that have such a number only lately (`NET_NS_INIT_INO` and `MNT_NS_INIT_INO`,
/// `include/uapi/linux/nsfs.h`). Before, theirs was one of those given in turn, which begin higher up.
const NET_INITIAL: u32 = 0xEFFF_FFF9;
const MOUNT_INITIAL: u32 = 0xEFFF_FFF8;

/// The process that is in the host's namespaces.
const INIT_TGID: u32 = 1;

/// Inode numbers of the namespaces of the host's first process, which to read takes `CAP_SYS_PTRACE`; `None`
/// when one cannot be read, has no number of its own, and is not seen to be the agent's. An agent in a pid namespace of its own finds the first
/// process of that, and its [`pid`](Self::pid) is not [`PID_INITIAL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostNamespaces {
    pub mount: Option<u32>,
    pub pid: Option<u32>,
    pub net: Option<u32>,
    pub user: Option<u32>,
}

impl HostNamespaces {
    pub fn read(procfs: &Procfs) -> Self {
        let read = |tgid: u32, kind: &str| {
            let link = fs::read_link(procfs.file(tgid, &format!("ns/{kind}"))).ok()?;
            inode(link.as_os_str().as_bytes(), kind)
        };
        // The agent may always look at its own.
        let own = |kind: &str, initial| {
            let inum = read(std::process::id(), kind)?;
            (inum == initial).then_some(inum)
        };
        Self {
            mount: read(INIT_TGID, "mnt").or_else(|| own("mnt", MOUNT_INITIAL)),
            pid: read(INIT_TGID, "pid").or(Some(PID_INITIAL)),
            net: read(INIT_TGID, "net").or_else(|| own("net", NET_INITIAL)),
            user: read(INIT_TGID, "user").or(Some(USER_INITIAL)),
        }
    }
}

/// The network namespace of a thread, by its inode number; `None` when the thread is over, or may not be looked at.
pub fn net_of(procfs: &Procfs, tgid: u32, tid: u32) -> Option<u32> {
    let link = fs::read_link(procfs.file(tgid, &format!("task/{tid}/ns/net"))).ok()?;
    inode(link.as_os_str().as_bytes(), "net")
}

/// That of the agent.
pub fn own_net(procfs: &Procfs) -> Option<u32> {
    let link = fs::read_link(procfs.file(std::process::id(), "ns/net")).ok()?;
    inode(link.as_os_str().as_bytes(), "net")
}

/// The number in `KIND:[NUMBER]`, as `namespaces(7)` has it.
fn inode(link: &[u8], kind: &str) -> Option<u32> {
    let number = link
        .strip_prefix(kind.as_bytes())?
        .strip_prefix(b":[")?
        .strip_suffix(b"]")?;
    // `parse` alone would take a sign.
    let digits = Some(number).filter(|number| number.iter().all(u8::is_ascii_digit))?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_namespaces_of_the_first_process_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let ns = folder.path().join("1/ns");
        fs::create_dir_all(&ns).unwrap();
        for (name, target) in [
            ("mnt", "mnt:[4026531841]"),
            ("pid", "pid:[4026532208]"),
            ("net", "net:[4026531840]"),
            ("user", "user:[4026531837]"),
        ] {
            symlink(target, ns.join(name)).unwrap();
        }
        let read = HostNamespaces::read(&Procfs::new(folder.path()));
        let expected = HostNamespaces {
            mount: Some(4_026_531_841),
            pid: Some(4_026_532_208),
            net: Some(4_026_531_840),
            user: Some(USER_INITIAL),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_cannot_be_read_is_none_unless_its_number_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let expected = HostNamespaces {
            mount: None,
            pid: Some(0xEFFF_FFFC),
            net: None,
            user: Some(0xEFFF_FFFD),
        };
        let procfs = Procfs::new(folder.path());
        assert_eq!(HostNamespaces::read(&procfs), expected);
        let ns = folder.path().join("1/ns");
        fs::create_dir_all(&ns).unwrap();
        symlink("net:[x]", ns.join("net")).unwrap();
        symlink("net:[1]", ns.join("mnt")).unwrap();
        assert_eq!(HostNamespaces::read(&procfs), expected);
    }

    #[test]
    fn the_agents_own_serve_where_their_number_says_that_they_are_the_initial_ones() {
        let folder = tempfile::tempdir().unwrap();
        let ns = folder.path().join(format!("{}/ns", std::process::id()));
        fs::create_dir_all(&ns).unwrap();
        symlink("mnt:[4026531832]", ns.join("mnt")).unwrap();
        symlink("net:[4026532000]", ns.join("net")).unwrap();
        let read = HostNamespaces::read(&Procfs::new(folder.path()));
        assert_eq!((read.mount, read.net), (Some(0xEFFF_FFF8), None));
    }

    #[test]
    fn only_a_whole_number_of_the_right_kind_counts() {
        for link in [
            "net:[]",
            "net:[+1]",
            "net:[1",
            "net:1]",
            "net:[4294967296]",
            "mnt:[1]",
            "",
        ] {
            assert_eq!(inode(link.as_bytes(), "net"), None, "{link}");
        }
        assert_eq!(inode(b"net:[4294967295]", "net"), Some(u32::MAX));
    }
}
