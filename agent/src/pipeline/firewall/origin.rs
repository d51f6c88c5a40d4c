//! Where a lineage begins: who is behind a process, once shells, wrappers and interpreters are looked
//! through.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::managers::{Doubt, Verdict, is_intact, judge, judged_file};
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
    /// Of processes up to it that bear a manager's name and are not taken for one: why not.
    pub doubts: BTreeSet<Doubt>,
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
            doubts: BTreeSet::new(),
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
/// The innermost process that is known counts. In a container names prove nothing: there the container is the
/// origin. `cgroup` is the actor's, where its exec told it; `managers` are paths that the operator calls so.
pub fn origin(
    lineage: &[Ancestor],
    cgroup: Option<&Cgroup>,
    managers: &[Box<[u8]>],
) -> Option<Origin> {
    let cgroup = cgroup.or(lineage.first()?.program.cgroup.as_deref());
    let outermost = outermost(lineage)?;
    let mut doubts = BTreeSet::new();
    let (kind, begins, named) = if cgroup.is_some_and(|cgroup| cgroup.container.is_some()) {
        (OriginKind::Container, outermost, outermost)
    } else if let Some((kind, at)) = innermost_known(lineage, managers, &mut doubts) {
        // What a spawner started is one matter, the spawner's other work is another.
        let is_spawner = matches!(kind, OriginKind::Login | OriginKind::Scheduled);
        let begins = if is_spawner { at.saturating_sub(1) } else { at };
        (kind, begins, at)
    } else if cgroup.is_some_and(is_of_service) {
        (OriginKind::Unit, outermost, outermost)
    } else {
        (OriginKind::Unknown, outermost, outermost)
    };
    let named = lineage.get(named)?;
    Some(Origin {
        kind,
        process: lineage.get(begins)?.process,
        exe: named_file(kind, named),
        script: named.script.clone(),
        claimed_script: named.claimed_script.clone(),
        unit: cgroup.and_then(|cgroup| cgroup.unit.clone()),
        doubts,
    })
}

/// The innermost process that is known by what it is, and its place in the lineage. Why those before it are not
/// taken for managers goes to `doubts`.
fn innermost_known(
    lineage: &[Ancestor],
    managers: &[Box<[u8]>],
    doubts: &mut BTreeSet<Doubt>,
) -> Option<(OriginKind, usize)> {
    let judged = |at| judge(lineage, at, managers);
    (0..lineage.len()).find_map(|at| match judged(at) {
        Verdict::Manager => {
            // A script that loads a ruleset is one beginning, however many tools it starts.
            let mut outwards = (at..lineage.len()).rev();
            let outermost = outwards.find(|&at| judged(at) == Verdict::Manager);
            Some((OriginKind::Manager, outermost.unwrap_or(at)))
        }
        Verdict::Doubtful(doubt) => {
            doubts.insert(doubt);
            None
        }
        Verdict::Other => Some((kind_of(lineage.get(at)?)?, at)),
    })
}

fn is_of_service(cgroup: &Cgroup) -> bool {
    let unit = cgroup.unit.as_deref();
    unit.is_some_and(|unit| unit.ends_with(".service"))
}

/// What gave the origin its kind: of a manager that is a script, the script.
fn named_file(kind: OriginKind, named: &Ancestor) -> Option<Arc<[u8]>> {
    match kind {
        OriginKind::Manager => judged_file(named).map(Arc::from),
        OriginKind::Login
        | OriginKind::Scheduled
        | OriginKind::NetworkService
        | OriginKind::PackageManager
        | OriginKind::Container
        | OriginKind::Unit
        | OriginKind::Unknown => known(&named.exe),
    }
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

/// By the executable, or by the script that it interprets; what a command line claims is no reason to be lenient. What
/// lowers a finding's weight does so only where nothing says that others could have changed the file.
pub(super) fn kind_of(ancestor: &Ancestor) -> Option<OriginKind> {
    let script = ancestor.script.as_deref();
    let kind = [ancestor.exe.known(), script]
        .into_iter()
        .flatten()
        .find_map(|path| is_package_path(path).then(|| kind_of_name(basename(path)))?)?;
    let calms = matches!(kind, OriginKind::Login | OriginKind::PackageManager);
    let is_changed = matches!(is_intact(ancestor), Some(Err(_)));
    (!(calms && is_changed)).then_some(kind)
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
