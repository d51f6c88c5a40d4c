//! Which host this is, and which boot of it.

use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;
use uuid::Uuid;

/// The host, as alerts name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node name; CIM's `dest` unless the configuration sets another.
    pub name: String,
    /// `machine-id(5)`, where there is one.
    pub machine_id: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`; nil when it cannot be read.
    pub boot_id: Uuid,
    /// Release of the kernel, as `uname -r` has it.
    pub kernel: String,
    /// `PRETTY_NAME` of `os-release(5)`, where there is one.
    pub os: Option<String>,
}

impl Identity {
    /// Reads what the files under `root` (`/` on a real host) and the kernel tell.
    pub fn read(root: &Path) -> Self {
        let (name, kernel) = uname().map_or_else(
            |_| ("unknown".to_owned(), "unknown".to_owned()),
            |names| {
                (
                    names.nodename().to_string_lossy().into_owned(),
                    names.release().to_string_lossy().into_owned(),
                )
            },
        );
        let line = |path: &str| {
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(text.lines().next()?.trim().to_owned()).filter(|line| !line.is_empty())
        };
        Self {
            name,
            machine_id: line("etc/machine-id"),
            boot_id: line("proc/sys/kernel/random/boot_id")
                .and_then(|id| Uuid::parse_str(&id).ok())
                .unwrap_or(Uuid::nil()),
            kernel,
            os: fs::read_to_string(root.join("etc/os-release"))
                .ok()
                .and_then(|text| pretty_name(&text)),
        }
    }
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pretty_name_is_read_with_or_without_quotes() {
        let quoted = "NAME=\"X\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(
            pretty_name(quoted).unwrap(),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(pretty_name("PRETTY_NAME=Arch").unwrap(), "Arch");
        assert_eq!(pretty_name("NAME=Arch"), None);
    }

    #[test]
    fn a_host_without_the_files_still_has_an_identity() {
        let root = tempfile::tempdir().unwrap();
        let identity = Identity::read(root.path());
        assert_eq!(identity.machine_id, None);
        assert_eq!(identity.boot_id, Uuid::nil());
        assert!(!identity.kernel.is_empty());
    }
}
