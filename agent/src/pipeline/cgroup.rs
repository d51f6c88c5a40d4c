//! What operators call the place where a process runs: the container and the systemd unit that a cgroup v2
//! path stands for.
//!
//! The path alone is judged. Whoever may make cgroups below one, as the user of `user@UID.service` or the
//! root of a container may, gives them any name; what is told of the part of the path in front of that
//! point ([`unit`](Cgroup::unit), [`outer`](Cgroup::outer)) cannot be made up there.

use std::sync::Arc;

/// Longest path that is judged: the kernel shows none that is longer (`PATH_MAX`,
/// `include/uapi/linux/limits.h`).
pub const PATH_BYTES_MAX: usize = 4096;

/// A unit's name is shorter than this (`UNIT_NAME_MAX`, systemd `src/basic/unit-name.h`).
const UNIT_NAME_BYTES: usize = 256;

/// A machine's name is a host name (`HOST_NAME_MAX`, `include/uapi/linux/utsname.h`).
const MACHINE_NAME_BYTES_MAX: usize = 64;

/// Hexadecimal digits of an identifier, for all runtimes that do not take names.
const ID_DIGITS: usize = 64;

/// A cgroup v2 path and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    pub path: Arc<[u8]>,
    /// The innermost container.
    pub container: Option<Container>,
    /// The outermost container, when it is another one than the innermost.
    pub outer: Option<Container>,
    /// The unit of the host's systemd, or of the user's where it is below `user@UID.service`. The scope of a
    /// container is none: the container is its name. Found as systemd does it (`cg_path_get_unit` and
    /// `cg_path_get_user_unit`, `src/basic/cgroup-util.c`): the first name behind the slices.
    pub unit: Option<Arc<str>>,
    /// The unit of a systemd that runs in the container.
    pub inner_unit: Option<Arc<str>>,
    /// The user whose slice it is (`user-UID.slice`).
    pub owner_uid: Option<u32>,
}

/// A container as its runtime lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub runtime: ContainerRuntime,
    /// 64 lower-case hexadecimal digits, or the name where the runtime takes names (systemd-nspawn, LXC).
    pub id: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerRuntime {
    Docker,
    Containerd,
    CriO,
    Podman,
    SystemdNspawn,
    Lxc,
    /// The cgroup has the identifier and nothing else: containerd and Docker write the same below
    /// `kubepods` and below a parent that the operator names.
    Unknown,
}

impl ContainerRuntime {
    pub const ALL: [Self; 7] = [
        Self::Docker,
        Self::Containerd,
        Self::CriO,
        Self::Podman,
        Self::SystemdNspawn,
        Self::Lxc,
        Self::Unknown,
    ];

    /// The word for it in an alert.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::SystemdNspawn => "systemd-nspawn",
            Self::Lxc => "lxc",
            Self::Unknown => "unknown",
        }
    }

    /// By what stands in front of the identifier, in a scope (`docker-ID.scope`) and between colons
    /// (`SLICE:docker:ID`, which is how a runtime that makes cgroups itself writes what was meant for
    /// systemd).
    fn of_prefix(prefix: &[u8]) -> Option<Self> {
        match prefix {
            b"docker" => Some(Self::Docker),
            b"cri-containerd" | b"nerdctl" => Some(Self::Containerd),
            b"crio" => Some(Self::CriO),
            b"libpod" => Some(Self::Podman),
            _ => None,
        }
    }
}

impl Cgroup {
    /// Judges a path, as the kernel program or `/proc/PID/cgroup` has it; `None` when it is longer than
    /// [`PATH_BYTES_MAX`], for a cut path could mean another container.
    pub fn parse(path: &[u8]) -> Option<Self> {
        if path.len() > PATH_BYTES_MAX {
            return None;
        }
        // A cgroup that is not below the reader's own is shown with `/..` for each step up.
        let names: Vec<&[u8]> = path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
            .skip_while(|name| *name == b"..")
            .collect();
        let containers: Vec<(usize, Container)> = (0..names.len())
            .filter_map(|at| Some((at, container(&names, at)?)))
            .collect();
        let innermost = containers.last();
        let outer = containers.first().filter(|_| containers.len() > 1);
        Some(Self {
            path: path.into(),
            container: innermost.map(|(_, container)| container.clone()),
            outer: outer.map(|(_, container)| container.clone()),
            unit: unit(&names),
            inner_unit: innermost.and_then(|(at, _)| unit(payload(&names[at + 1..]))),
            owner_uid: owner_uid(&names),
        })
    }

    /// Judges the v2 line of a `/proc/PID/cgroup` (`cgroups(7)`); `None` when it has none.
    pub fn parse_proc(text: &[u8]) -> Option<Self> {
        // The kernel takes no line feed in a cgroup's name.
        let mut lines = text.split(|&byte| byte == b'\n');
        let path = lines.find_map(|line| line.strip_prefix(b"0::"))?;
        // So the kernel marks a cgroup that was removed around a zombie.
        Self::parse(path.strip_suffix(b" (deleted)").unwrap_or(path))
    }
}

/// The container of which `names[at]` is the cgroup.
fn container(names: &[&[u8]], at: usize) -> Option<Container> {
    let name = names[at];
    let parent = at.checked_sub(1).map_or(&b""[..], |before| names[before]);
    let child = names.get(at + 1).copied().unwrap_or_default();
    let found = scope(name)
        .or_else(|| without_systemd(name))
        .or_else(|| identifier_alone(name, parent))
        .or_else(|| machine(name, parent, child))
        .or_else(|| lxc(name, parent, at));
    let (runtime, id) = found?;
    let id = id.into();
    Some(Container { runtime, id })
}

type Found = (ContainerRuntime, String);

/// `PREFIX-ID.scope`, as runtimes ask systemd for it (runc `systemd/common.go`, `UnitName`). A monitor has a
/// scope of its own, whose name is not of that form: `crio-conmon-ID.scope`, `libpod-conmon-ID.scope`.
fn scope(name: &[u8]) -> Option<Found> {
    let bare = name.strip_suffix(b".scope")?;
    let (prefix, id) = bare.split_at_checked(bare.len().checked_sub(ID_DIGITS)?)?;
    let runtime = ContainerRuntime::of_prefix(prefix.strip_suffix(b"-")?)?;
    Some((runtime, identifier(id)?))
}

/// `SLICE:PREFIX:ID`, `crio-ID`, `libpod-ID` and `libpod-payload-ID`: made without systemd.
fn without_systemd(name: &[u8]) -> Option<Found> {
    let mut parts = name.splitn(4, |&byte| byte == b':');
    if let (Some(slice), Some(prefix), Some(id), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    {
        let runtime = ContainerRuntime::of_prefix(prefix)?;
        return Some((runtime, identifier(id).filter(|_| is_slice(slice))?));
    }
    let (prefix, id) = name.split_at_checked(name.len().checked_sub(ID_DIGITS)?)?;
    let runtime = match prefix {
        b"crio-" => ContainerRuntime::CriO,
        b"libpod-" | b"libpod-payload-" => ContainerRuntime::Podman,
        _ => return None,
    };
    Some((runtime, identifier(id)?))
}

/// `/docker/ID`, `/k8s.io/ID`, `/kubepods/…/ID`, `/anything/ID`.
fn identifier_alone(name: &[u8], parent: &[u8]) -> Option<Found> {
    let runtime = match parent {
        b"docker" => ContainerRuntime::Docker,
        b"k8s.io" => ContainerRuntime::Containerd,
        _ => ContainerRuntime::Unknown,
    };
    Some((runtime, identifier(name)?))
}

/// `machine-NAME.scope` and `systemd-nspawn@NAME.service` in `machine.slice` or below it. Virtual machines of
/// libvirt stand there too (`qemu-1-NAME`), and its own containers (`lxc-1-NAME`); so does what watches over
/// a container (`supervisor`).
fn machine(name: &[u8], parent: &[u8], child: &[u8]) -> Option<Found> {
    let in_machine_slice =
        parent == b"machine.slice" || parent.starts_with(b"machine-") && is_slice(parent);
    if !in_machine_slice || child == b"supervisor" {
        return None;
    }
    let scope = name.strip_prefix(b"machine-");
    let service = name.strip_prefix(b"systemd-nspawn@");
    let machine = match scope.and_then(|rest| rest.strip_suffix(b".scope")) {
        Some(escaped) => unescaped(escaped)?,
        None => {
            let instance = service?.strip_suffix(b".service")?;
            // `machinectl` of old escaped the name, that of today does not.
            if instance.contains(&b'\\') {
                unescaped(instance)?
            } else {
                instance.to_vec()
            }
        }
    };
    let machine = machine_name(machine)?;
    if machine.starts_with("qemu-") {
        return None;
    }
    let runtime = if machine.starts_with("lxc-") {
        ContainerRuntime::Lxc
    } else {
        ContainerRuntime::SystemdNspawn
    };
    Some((runtime, machine))
}

/// `lxc.payload.NAME`, `lxc.payload/NAME`, and `/lxc/NAME` at the root. The monitor stands beside it
/// (`lxc.monitor.NAME`).
fn lxc(name: &[u8], parent: &[u8], at: usize) -> Option<Found> {
    let name = if parent == b"lxc.payload" || parent == b"lxc" && at == 1 {
        name
    } else {
        name.strip_prefix(b"lxc.payload.")?
    };
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let name = Some(name).filter(|name| !name.is_empty() && name.iter().all(fits))?;
    Some((ContainerRuntime::Lxc, text(name)?))
}

/// Exactly 64 lower-case hexadecimal digits.
fn identifier(digits: &[u8]) -> Option<String> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = digits.len() == ID_DIGITS && digits.iter().all(is_digit);
    text(digits).filter(|_| fits)
}

/// A name that systemd takes for a machine (`hostname_is_valid`, `src/basic/hostname-util.c`).
fn machine_name(name: Vec<u8>) -> Option<String> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|byte| b".-".contains(byte));
    let fits = name.len() <= MACHINE_NAME_BYTES_MAX
        && name.iter().all(fits)
        && !is_edge(name.first())
        && !is_edge(name.last());
    String::from_utf8(name).ok().filter(|_| fits)
}

/// Undoes systemd's escaping of a text in a unit's name (`unit_name_unescape`, `src/basic/unit-name.c`):
/// `-` was a slash, `\xNN` a byte.
fn unescaped(escaped: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                let digits = behind.strip_prefix(b"x")?.get(..2)?;
                // `from_str_radix` alone would take a sign.
                let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                bytes.push(u8::from_str_radix(str::from_utf8(digits?).ok()?, 16).ok()?);
                rest = &behind[3..];
            }
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}

/// What a runtime puts between the container and what the container makes itself: systemd-nspawn, crun, LXC.
fn payload<'a>(names: &'a [&'a [u8]]) -> &'a [&'a [u8]] {
    match names {
        [b"payload" | b"container" | b"ns", inside @ ..] => inside,
        _ => names,
    }
}

/// The unit to which the path belongs: the first name behind the slices, and behind a user's manager the
/// first behind the slices there.
fn unit(names: &[&[u8]]) -> Option<Arc<str>> {
    let at = first_behind_slices(names, 0)?;
    let outer = unit_name(names, at)?;
    if is_user_manager(names[at])
        && let Some(at) = first_behind_slices(names, at + 1)
        && let Some(inner) = unit_name(names, at)
    {
        return Some(inner);
    }
    Some(outer)
}

fn first_behind_slices(names: &[&[u8]], from: usize) -> Option<usize> {
    (from..names.len()).find(|&at| !is_slice(names[at]))
}

/// The name of a unit that has a cgroup and is no slice and no container's scope.
fn unit_name(names: &[&[u8]], at: usize) -> Option<Arc<str>> {
    let name = without_underscore(names[at]);
    let is_scope = name.ends_with(b".scope");
    let has_cgroup = is_scope
        || [&b".service"[..], b".socket", b".mount", b".swap"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
    if !has_cgroup || !is_unit_name(name) || is_scope && container(names, at).is_some() {
        return None;
    }
    text(name).map(Arc::from)
}

fn is_slice(name: &[u8]) -> bool {
    let name = without_underscore(name);
    name.ends_with(b".slice") && is_unit_name(name)
}

/// A valid name that is no template (`unit_name_is_valid`, systemd `src/basic/unit-name.c`). The kind is the
/// caller's to check.
fn is_unit_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(byte);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return false;
    };
    let is_template = name[..dot].ends_with(b"@");
    name.len() < UNIT_NAME_BYTES
        && name.iter().all(fits)
        && !matches!(name.first(), None | Some(b'@' | b'.'))
        && !is_template
}

/// systemd puts an underscore in front of a name that the kernel might take for a file of its own
/// (`cg_escape`, `src/basic/cgroup-util.c`).
fn without_underscore(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"_").unwrap_or(name)
}

/// `user@UID.service`.
fn is_user_manager(name: &[u8]) -> bool {
    let uid = name
        .strip_prefix(b"user@")
        .and_then(|rest| rest.strip_suffix(b".service"));
    uid.and_then(number).is_some()
}

/// `/user.slice/user-UID.slice/…`.
fn owner_uid(names: &[&[u8]]) -> Option<u32> {
    let [b"user.slice", slice, ..] = names else {
        return None;
    };
    number(slice.strip_prefix(b"user-")?.strip_suffix(b".slice")?)
}

fn number(digits: &[u8]) -> Option<u32> {
    // `parse` alone would take a sign.
    let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    str::from_utf8(digits).ok()?.parse().ok()
}

fn text(bytes: &[u8]) -> Option<String> {
    str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
