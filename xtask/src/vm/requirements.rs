//! What this machine must have. Nothing is installed here: a test that changes
//! the machine it runs on is a surprise.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

/// Program, and the Debian package that brings it.
const NEEDED: [(&str, &str); 16] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("xz", "xz-utils"),
    ("ldd", "libc-bin"),
    ("busybox", "busybox-static"),
    ("bash", "bash"),
    ("dash", "dash"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("xtables-legacy-multi", "iptables"),
    ("xtables-nft-multi", "iptables"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("dpkg", "dpkg"),
];

pub(crate) fn check() -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the guests are x86-64, and so must be the machine whose programs they get"
    );
    ensure!(
        Path::new(super::apt::HELPER).exists(),
        "{} is missing: the kernels come through Debian's apt",
        super::apt::HELPER
    );
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|(program, _)| find(program).is_none())
        .collect();
    match complaint(&missing) {
        Some(complaint) => bail!("{complaint}"),
        None => Ok(()),
    }
}

/// Where Debian puts programs; a search path of a plain user lacks half of it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .filter_map(|path| path.canonicalize().ok())
        .find(|path| path.is_file())
}

fn complaint(missing: &[(&str, &str)]) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    Some(format!(
        "missing {}; install with: apt-get install --no-install-recommends {}",
        programs.join(", "),
        packages.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn missing_programs_are_named_with_the_command_that_brings_them() {
        assert_eq!(complaint(&[]), None);
        assert_eq!(
            complaint(&[
                ("xz", "xz-utils"),
                ("xtables-nft-multi", "iptables"),
                ("xtables-legacy-multi", "iptables"),
            ])
            .as_deref(),
            Some(
                "missing xz, xtables-nft-multi, xtables-legacy-multi; install with: \
                 apt-get install --no-install-recommends iptables xz-utils"
            )
        );
    }
}
