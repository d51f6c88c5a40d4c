//! What this machine must have. Nothing is installed here: a test that changes
//! the machine it runs on is a surprise.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::architecture::Architecture;
use super::subject::Subject;
use super::toolchain;
use super::userland::Userland;
use crate::cmd;
use crate::setup::Need;

/// A program or a file, and the Debian package that brings it.
type Needed = (&'static str, &'static str);

const NEEDED: [Needed; 17] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("xz", "xz-utils"),
    ("readelf", "binutils"),
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
    ("script", "bsdutils"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("dpkg", "dpkg"),
];

/// What a guest for 64-bit ARM takes besides. In suites after Debian 12 the compiler is `rustc`.
const NEEDED_FOR_ARM64: [Needed; 4] = [
    ("qemu-system-aarch64", "qemu-system-arm"),
    (toolchain::ARM64_LINKER, "gcc-aarch64-linux-gnu"),
    ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"),
    (toolchain::DEBIANS_RUSTC, "rustc-web"),
];

/// The same for whoever installs.
pub(crate) fn needs_for_arm64() -> Vec<Need> {
    NEEDED_FOR_ARM64
        .iter()
        .map(|&(program, package)| Need::Program { program, package })
        .collect()
}

pub(crate) fn check(subjects: &[Subject]) -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "this wants a machine of x86-64: the tests are built for it, and guests get its programs"
    );
    ensure!(
        cmd::is_root() || !subjects.contains(&Subject::Native),
        "on this machine's own kernel the tests want root: without it they check nothing"
    );
    let architectures: BTreeSet<_> = subjects
        .iter()
        .filter_map(|subject| match subject {
            Subject::Guest(series) => Some(series.architecture()),
            Subject::Native => None,
        })
        .collect();
    if architectures.is_empty() {
        return Ok(());
    }
    ensure!(
        Path::new(super::apt::HELPER).exists(),
        "{} is missing: the kernels come through Debian's apt",
        super::apt::HELPER
    );
    let for_arm64 = NEEDED_FOR_ARM64
        .iter()
        .filter(|_| architectures.contains(&Architecture::Arm64));
    let missing: Vec<_> = NEEDED
        .iter()
        .chain(for_arm64)
        .filter(|(needed, _)| !is_there(needed))
        .copied()
        .collect();
    match complaint(&missing) {
        Some(complaint) => bail!("{complaint}"),
        None => Ok(()),
    }
}

/// Programs are where Debian puts them; a search path of a plain user lacks half of it.
fn is_there(needed: &str) -> bool {
    if needed.starts_with('/') {
        return Path::new(needed).is_file();
    }
    Userland::native().find(needed).is_some()
}

fn complaint(missing: &[Needed]) -> Option<String> {
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
