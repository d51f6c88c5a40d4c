//! The guest's files: a small Debian with the tools of this machine or of its
//! own architecture, the same layout (everything below /usr), and the payload
//! in /wallwatch.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use super::initramfs::Tree;
use super::kernel::Kernel;
use super::modules::Selection;
use super::payload::{PROBE, PROBE_NAME, Payload};
use super::userland::Userland;

/// Everything but the kernel's modules, which differ from guest to guest.
pub(crate) struct Guest {
    tree: Tree,
}

const PROGRAMS: [&str; 13] = [
    "bash",
    "busybox",
    "dash",
    "ip",
    "mount",
    "nft",
    "nsenter",
    "script",
    "setpriv",
    "umount",
    "unshare",
    "xtables-legacy-multi",
    "xtables-nft-multi",
];

const FIRST: &str = include_str!("guest/first.sh");
const SECOND: &str = include_str!("guest/second.sh");

impl Guest {
    pub(crate) fn new(payload: &Payload, userland: &Userland) -> Result<Self> {
        let mut tree = Tree::default();
        add_layout(&mut tree);
        add_accounts(&mut tree);
        add_programs(&mut tree, userland).context("copy programs into the guest")?;
        add_iptables_links(&mut tree);
        add_applets(&mut tree).context("link busybox applets")?;
        add_payload(&mut tree, payload).context("copy payload into the guest")?;
        tree.file("init", 0o755, FIRST);
        tree.file("usr/sbin/init", 0o755, SECOND);
        Ok(Self { tree })
    }

    pub(crate) fn write_initramfs(&self, kernel: &Kernel, path: &Path) -> Result<()> {
        let mut tree = self.tree.clone();
        add_modules(&mut tree, kernel)?;
        tree.write_to_file(path)
    }
}

fn add_layout(tree: &mut Tree) {
    for (path, mode) in [
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("mnt", 0o755),
        ("opt", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("run", 0o755),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("usr/local/bin", 0o755),
        ("var/lib", 0o755),
        ("var/log", 0o755),
        ("var/tmp", 0o1777),
    ] {
        tree.directory(path, mode);
    }
    for name in MERGED {
        tree.directory(&format!("usr/{name}"), 0o755);
        tree.link(name, &format!("usr/{name}"));
    }
    tree.link("var/run", "/run");
    // The kernel opens it for /init, before anything is mounted.
    tree.char_device("dev/console", 5, 1);
}

/// Folders that are links into /usr, on Debian since its release 12.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

fn add_accounts(tree: &mut Tree) {
    for (name, text) in [
        (
            "passwd",
            "root:x:0:0:root:/root:/bin/bash\n\
             nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        ),
        ("group", "root:x:0:\nadm:x:4:\ntty:x:5:\nnogroup:x:65534:\n"),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
        ),
        ("hostname", "wallwatch-vm\n"),
        ("hosts", "127.0.0.1 localhost\n127.0.1.1 wallwatch-vm\n"),
        ("machine-id", "77616c6c776174636877616c6c776174\n"),
        (
            "os-release",
            "ID=debian\nPRETTY_NAME=\"wallwatch test guest\"\n",
        ),
        (
            "protocols",
            "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n",
        ),
        (
            "services",
            "ssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\nldaps 636/tcp\n",
        ),
    ] {
        tree.file(&format!("etc/{name}"), 0o644, text);
    }
}

fn add_programs(tree: &mut Tree, userland: &Userland) -> Result<()> {
    for file in &programs(userland)? {
        let data = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        tree.file(&guest_path(userland.place(file)), 0o755, data);
    }
    tree.link("usr/bin/sh", "dash");
    Ok(())
}

/// The guest's programs, iptables' plugins, and every library that one of them needs.
pub(crate) fn programs(userland: &Userland) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for name in PROGRAMS {
        files.insert(
            userland
                .find(name)
                .with_context(|| format!("find {name}"))?,
        );
    }
    let plugins = userland.plugins_dir();
    for entry in fs::read_dir(&plugins).with_context(|| format!("list {}", plugins.display()))? {
        files.insert(entry.context("list iptables plugins")?.path());
    }
    userland.with_libraries(files)
}

/// Where a file goes: the same place, below /usr.
fn guest_path(file: &Path) -> String {
    let path = file.to_string_lossy();
    let path = path.trim_start_matches('/');
    let top = path.split('/').next().unwrap_or(path);
    if MERGED.contains(&top) {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

/// As Debian's package and its alternatives link them, nft being the default.
fn add_iptables_links(tree: &mut Tree) {
    for family in ["iptables", "ip6tables"] {
        for action in ["", "-save", "-restore"] {
            for kind in ["nft", "legacy"] {
                tree.link(
                    &format!("usr/sbin/{family}-{kind}{action}"),
                    &format!("xtables-{kind}-multi"),
                );
            }
            let name = format!("{family}{action}");
            tree.link(
                &format!("usr/sbin/{name}"),
                &format!("/etc/alternatives/{name}"),
            );
            tree.link(
                &format!("etc/alternatives/{name}"),
                &format!("/usr/sbin/{family}-nft{action}"),
            );
        }
    }
}

/// An applet never hides a real program, whichever of the two folders holds it.
/// The list is that of this machine's busybox: a guest's may be one that does not run here.
fn add_applets(tree: &mut Tree) -> Result<()> {
    let listing = apt::run_for_output(Command::new("busybox").arg("--list-full"))?;
    for path in listing.lines().filter(|line| line.contains('/')) {
        let path = guest_path(Path::new(path));
        let name = path.rsplit('/').next().unwrap_or(&path);
        let is_taken = ["usr/bin", "usr/sbin"]
            .iter()
            .any(|dir| tree.contains(&format!("{dir}/{name}")));
        if !is_taken {
            tree.link(&path, "/usr/bin/busybox");
        }
    }
    Ok(())
}

fn add_payload(tree: &mut Tree, payload: &Payload) -> Result<()> {
    for program in &payload.programs {
        let data =
            fs::read(&program.file).with_context(|| format!("read {}", program.file.display()))?;
        tree.file(&format!("wallwatch/{}", program.name), 0o755, data);
    }
    tree.file("wallwatch/run", 0o755, payload.script("/wallwatch", true));
    tree.file(&format!("wallwatch/{PROBE_NAME}"), 0o755, PROBE);
    Ok(())
}

fn add_modules(tree: &mut Tree, kernel: &Kernel) -> Result<()> {
    let selection = Selection::read(&kernel.modules_dir)?;
    let mut list = String::new();
    for module in selection.modules {
        let path = format!("usr/lib/modules/{}/{}.ko", kernel.release, module.name);
        list.push_str(&format!("/{path}\n"));
        tree.file(&path, 0o644, module.object);
    }
    tree.file("wallwatch/modules", 0o644, list);

    let missing: String = selection
        .missing
        .iter()
        .map(|name| format!("{name}\n"))
        .collect();
    tree.file("wallwatch/modules.missing", 0o644, missing);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::guest_path;

    #[test]
    fn files_go_below_usr() {
        assert_eq!(guest_path(Path::new("/bin/dash")), "usr/bin/dash");
        assert_eq!(guest_path(Path::new("sbin/acpid")), "usr/sbin/acpid");
        assert_eq!(guest_path(Path::new("/usr/sbin/nft")), "usr/sbin/nft");
        assert_eq!(guest_path(Path::new("/lib64/ld.so.2")), "usr/lib64/ld.so.2");
    }
}
