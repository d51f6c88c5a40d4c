//! Which files a firewall is loaded from, and which folders must be watched to hear of them.

use std::path::{Component, Path, PathBuf};

/// A file, or a folder with all that stands in it.
struct Place {
    /// Under the root, without a slash in front.
    path: &'static str,
    /// Levels of folders that are watched, counted from `path` itself; 0 for a file.
    levels: usize,
}

const fn file(path: &'static str) -> Place {
    Place { path, levels: 0 }
}

const fn folder(path: &'static str, levels: usize) -> Place {
    Place { path, levels }
}

/// Where Debian, Fedora, SUSE, Arch and Alpine keep them: `nft(8)`, `netfilter-persistent(8)`, the unit files of
/// `iptables-services`, `ufw(8)`, `firewalld.dirs(5)`, `sysctl.d(5)`.
const PLACES: &[Place] = &[
    file("etc/nftables.conf"),
    folder("etc/nftables", 2),
    folder("etc/nftables.d", 2),
    folder("etc/iptables", 2),
    file("etc/sysconfig/iptables"),
    file("etc/sysconfig/ip6tables"),
    file("etc/sysconfig/nftables.conf"),
    folder("etc/ufw", 3),
    file("etc/default/ufw"),
    // Zones and policies may stand in folders of their own within `zones/` and `policies/`.
    folder("etc/firewalld", 4),
    file("etc/sysctl.conf"),
    folder("etc/sysctl.d", 1),
];

/// Whether an edit of that path, relative to the root, is one of a firewall's configuration.
pub(super) fn is_config(path: &Path) -> bool {
    PLACES
        .iter()
        .any(|place| match path.strip_prefix(place.path) {
            Ok(inner) => depth(inner) <= place.levels,
            Err(_) => false,
        })
}

/// How many levels of folders are to be watched from that folder on, itself included; 0: it is none of them.
pub(super) fn levels(folder: &Path) -> usize {
    let levels = PLACES.iter().map(|place| {
        if Path::new(place.path).starts_with(folder) && Path::new(place.path) != folder {
            return 1;
        }
        let Ok(inner) = folder.strip_prefix(place.path) else {
            return 0;
        };
        place.levels.saturating_sub(depth(inner))
    });
    levels.max().unwrap_or(0)
}

/// The folders from which the search for others begins: those above each place, the root first, and the places
/// that are folders.
pub(super) fn roots() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for place in PLACES {
        let mut above: Vec<&Path> = Path::new(place.path).ancestors().skip(1).collect();
        above.reverse();
        if place.levels > 0 {
            above.push(Path::new(place.path));
        }
        for folder in above {
            if !folders.iter().any(|known| known == folder) {
                folders.push(folder.to_owned());
            }
        }
    }
    folders
}

/// Whether the search begins there.
pub(super) fn is_root(path: &Path) -> bool {
    PLACES.iter().any(|place| {
        let place_path = Path::new(place.path);
        place_path.starts_with(path) && (place.levels > 0 || place_path != path)
    })
}

fn depth(path: &Path) -> usize {
    let names = path.components();
    names
        .filter(|part| matches!(part, Component::Normal(_)))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_every_firewall_are_config_and_their_neighbours_are_not() {
        for path in [
            "etc/nftables.conf",
            "etc/nftables/main.nft",
            "etc/iptables/rules.v4",
            "etc/iptables/rules.v6",
            "etc/sysconfig/ip6tables",
            "etc/ufw",
            "etc/ufw/user.rules",
            "etc/ufw/applications.d/new",
            "etc/default/ufw",
            "etc/firewalld/zones/public.xml",
            "etc/firewalld/policies/mine/in.xml",
            "etc/sysctl.conf",
            "etc/sysctl.d/99-x.conf",
        ] {
            assert!(is_config(Path::new(path)), "{path}");
        }
        for path in [
            "etc",
            "etc/passwd",
            "etc/nftables.conf.dpkg-new",
            "etc/nftables.conf/x",
            "etc/sysconfig",
            "etc/sysconfig/network",
            "etc/default/grub",
            "etc/sysctl.d/a/b",
            "usr/etc/ufw/x",
            "",
        ] {
            assert!(!is_config(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn folders_above_a_place_are_watched_alone_and_those_within_as_deep_as_stated() {
        for (folder, expected) in [
            ("", 1),
            ("etc", 1),
            ("etc/sysconfig", 1),
            ("etc/sysctl.d", 1),
            ("etc/sysctl.d/a", 0),
            ("etc/ufw", 3),
            ("etc/ufw/applications.d", 2),
            ("etc/nftables.conf", 0),
            ("etc/systemd", 0),
            ("var", 0),
        ] {
            assert_eq!(levels(Path::new(folder)), expected, "{folder}");
        }
    }

    #[test]
    fn the_search_begins_with_the_root_and_names_nothing_twice() {
        let roots = roots();
        assert_eq!(roots[..2], [PathBuf::from(""), PathBuf::from("etc")]);
        let mut sorted = roots.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), roots.len());
        assert!(roots.iter().all(|root| is_root(root)));
        assert!(!is_root(Path::new("etc/nftables.conf")));
        assert!(!is_root(Path::new("etc/ufw/applications.d")));
        assert!(roots.contains(&PathBuf::from("etc/sysconfig")));
        assert!(roots.contains(&PathBuf::from("etc/firewalld")));
    }
}
