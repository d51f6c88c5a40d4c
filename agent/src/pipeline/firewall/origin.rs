//! Where a lineage begins: who is behind a process, once shells, wrappers and interpreters are looked
//! through.

use std::sync::Arc;

use crate::pipeline::alert::Ancestor;
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{ExePath, ProcessKey, basename};

/// What kind of beginning it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginKind {
    /// Somebody who logged in.
    Login,
    /// A job of cron or at.
    Scheduled,
    /// A program that answers the network.
    NetworkService,
    /// A program whose work it is to change the firewall.
    Manager,
    PackageManager,
    Container,
    /// A unit of systemd that is none of the above.
    Unit,
    Unknown,
}

impl OriginKind {
    pub const ALL: [Self; 8] = [
        Self::Login,
        Self::Scheduled,
        Self::NetworkService,
        Self::Manager,
        Self::PackageManager,
        Self::Container,
        Self::Unit,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Scheduled => "scheduled",
            Self::NetworkService => "network-service",
            Self::Manager => "manager",
            Self::PackageManager => "package-manager",
            Self::Container => "container",
            Self::Unit => "unit",
            Self::Unknown => "unknown",
        }
    }
}

/// The process at which a lineage begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub kind: OriginKind,
    pub process: ProcessKey,
    /// What gave it its kind, or the process's own executable.
    pub exe: Option<Arc<[u8]>>,
    /// The script that this executable interprets, as its exec named it.
    pub script: Option<Arc<[u8]>>,
    /// The script that its command line names, where the kernel told none. It gives nothing its kind.
    pub claimed_script: Option<Arc<[u8]>>,
    /// The systemd unit, where the cgroup tells one.
    pub unit: Option<Arc<str>>,
}

impl Origin {
    /// Nothing is known, not even the process.
    pub fn unknown() -> Self {
        Self {
            kind: OriginKind::Unknown,
            process: ProcessKey {
                tgid: 0,
                start_ns: 0,
            },
            exe: None,
            script: None,
            claimed_script: None,
            unit: None,
        }
    }
}

/// Programs by the name of their file. They count only below one of [`PACKAGE_DIRECTORIES`].
const LOGIN: &[&str] = &[
    "sshd",
    "sshd-session",
    "login",
    "agetty",
    "getty",
    "dropbear",
    "gdm-session-worker",
    "sddm-helper",
    "lightdm",
];
const SCHEDULED: &[&str] = &["cron", "crond", "anacron", "atd", "fcron"];
const NETWORK_SERVICES: &[&str] = &[
    "nginx",
    "apache2",
    "httpd",
    "lighttpd",
    "caddy",
    "haproxy",
    "php-fpm",
    "php-cgi",
    "java",
    "node",
    "uwsgi",
    "gunicorn",
    "tomcat",
    "redis-server",
    "mysqld",
    "mariadbd",
    "postgres",
    "mongod",
    "named",
    "dnsmasq",
    "exim4",
    "postfix",
    "master",
    "smbd",
    "vsftpd",
    "proftpd",
    "squid",
    "telnetd",
    "inetd",
    "xinetd",
];
const MANAGERS: &[&str] = &[
    "dockerd",
    "containerd",
    "docker-proxy",
    "kube-proxy",
    "kubelet",
    "cilium-agent",
    "calico-node",
    "firewalld",
    "fail2ban-server",
    "NetworkManager",
    "systemd-networkd",
    "libvirtd",
    "virtnetworkd",
    "tailscaled",
    "netavark",
    "crowdsec-firewall-bouncer",
];
const PACKAGE_MANAGERS: &[&str] = &[
    "dpkg",
    "apt",
    "apt-get",
    "aptitude",
    "rpm",
    "dnf",
    "dnf5",
    "yum",
    "zypper",
    "pacman",
    "apk",
    "unattended-upgrade",
];

/// Where only the administrator puts programs.
const SYSTEM_DIRECTORIES: &[&str] = &["/usr/", "/bin/", "/sbin/", "/lib/", "/opt/", "/snap/"];

/// Where packages put programs. What the administrator puts elsewhere can be named in the configuration.
const PACKAGE_DIRECTORIES: &[&str] = &[
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/usr/libexec/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/snap/",
];

/// Whether a path stands where only the administrator puts programs (`hier(7)`). A path that goes back on itself,
/// as a script's may, which the kernel does not resolve, stands nowhere.
pub fn is_system_path(path: &[u8]) -> bool {
    is_below(path, SYSTEM_DIRECTORIES)
}

/// Whether a path stands where packages put programs.
pub fn is_package_path(path: &[u8]) -> bool {
    is_below(path, PACKAGE_DIRECTORIES)
}

fn is_below(path: &[u8], directories: &[&str]) -> bool {
    let goes_back = path.split(|&byte| byte == b'/').any(|part| part == b"..");
    !goes_back
        && directories
            .iter()
            .any(|directory| path.starts_with(directory.as_bytes()))
}

/// The origin of a lineage that begins with the actor. `None` for an empty one.
///
/// The innermost process that is known by name counts. In a container names prove nothing: there the
/// container is the origin. `managers` are paths that the operator calls so.
pub fn origin(
    lineage: &[Ancestor],
    cgroup: Option<&Cgroup>,
    managers: &[Box<[u8]>],
) -> Option<Origin> {
    let unit = cgroup.and_then(|cgroup| cgroup.unit.clone());
    let outermost = outermost(lineage)?;
    let of = |kind, at: usize, named: usize| {
        let named = lineage.get(named)?;
        Some(Origin {
            kind,
            process: lineage.get(at)?.process,
            exe: known(&named.exe),
            script: named.script.clone(),
            claimed_script: named.claimed_script.clone(),
            unit: unit.clone(),
        })
    };
    if cgroup.is_some_and(|cgroup| cgroup.container.is_some()) {
        return of(OriginKind::Container, outermost, outermost);
    }
    for (at, ancestor) in lineage.iter().enumerate() {
        let Some(kind) = kind_of(ancestor, managers) else {
            continue;
        };
        // What a spawner started is one matter, the spawner's other work is another.
        let is_spawner = matches!(kind, OriginKind::Login | OriginKind::Scheduled);
        return of(kind, if is_spawner { at.saturating_sub(1) } else { at }, at);
    }
    let is_service = unit.as_ref().is_some_and(|unit| unit.ends_with(".service"));
    let kind = if is_service {
        OriginKind::Unit
    } else {
        OriginKind::Unknown
    };
    of(kind, outermost, outermost)
}

/// The oldest ancestor below the host's first process and the first kernel thread; the actor, if there is
/// none.
fn outermost(lineage: &[Ancestor]) -> Option<usize> {
    let last = lineage.len().checked_sub(1)?;
    let below_first = lineage
        .iter()
        .rposition(|ancestor| ancestor.process.tgid > 2);
    Some(below_first.unwrap_or(last))
}

fn known(exe: &ExePath) -> Option<Arc<[u8]>> {
    match exe {
        ExePath::Known(path) => Some(Arc::clone(path)),
        ExePath::Unknown(_) => None,
    }
}

/// By the executable, or by the script that it interprets. What a command line claims is no reason to be lenient.
fn kind_of(ancestor: &Ancestor, managers: &[Box<[u8]>]) -> Option<OriginKind> {
    let script = ancestor.script.as_deref();
    [ancestor.exe.known(), script]
        .into_iter()
        .flatten()
        .find_map(|path| {
            if managers.iter().any(|manager| **manager == *path) {
                return Some(OriginKind::Manager);
            }
            is_package_path(path).then(|| kind_of_name(basename(path)))?
        })
}

fn kind_of_name(name: &[u8]) -> Option<OriginKind> {
    let is_in = |list: &[&str]| list.iter().any(|known| known.as_bytes() == name);
    // `php-fpm8.2` is php-fpm.
    let end = name
        .iter()
        .rposition(|byte| !byte.is_ascii_digit() && *byte != b'.')
        .map_or(0, |last| last + 1);
    let unversioned = name.get(..end).unwrap_or(name);
    let is_service =
        |list: &[&str]| is_in(list) || list.iter().any(|known| known.as_bytes() == unversioned);
    if is_in(LOGIN) {
        Some(OriginKind::Login)
    } else if is_in(SCHEDULED) {
        Some(OriginKind::Scheduled)
    } else if is_in(MANAGERS) {
        Some(OriginKind::Manager)
    } else if is_in(PACKAGE_MANAGERS) {
        Some(OriginKind::PackageManager)
    } else if is_service(NETWORK_SERVICES) {
        Some(OriginKind::NetworkService)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
