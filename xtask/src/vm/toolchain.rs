//! How the payload is compiled: with cargo's own compiler for this machine, with Debian's for another
//! architecture, because Debian has that one's standard library as a package and rustup's need not be
//! there. The package is unpacked into a folder of its own; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Options;
use super::apt::{self, Apt};
use super::architecture::Architecture;
use super::sources::Mirror;

pub(crate) struct Toolchain {
    pub(crate) architecture: Architecture,
    /// Absent for cargo's own.
    pub(crate) rustc: Option<&'static str>,
    pub(crate) flags: Vec<String>,
}

pub(crate) const DEBIANS_RUSTC: &str = "/usr/bin/rustc";
pub(crate) const ARM64_LINKER: &str = "aarch64-linux-gnu-gcc";

impl Toolchain {
    pub(crate) fn native() -> Self {
        Self {
            architecture: Architecture::Amd64,
            rustc: None,
            flags: Vec::new(),
        }
    }

    /// With the standard library that is unpacked in `vm_dir`, or else a fresh one.
    pub(crate) fn arm64(vm_dir: &Path, options: &Options) -> Result<Self> {
        let library = StandardLibrary::installed()?;
        let sysroot = library
            .provide(vm_dir, options)
            .with_context(|| format!("unpack {} of arm64", library.package))?;
        Ok(Self {
            architecture: Architecture::Arm64,
            rustc: Some(DEBIANS_RUSTC),
            flags: vec![
                format!("--sysroot={}", sysroot.display()),
                format!("-Clinker={ARM64_LINKER}"),
            ],
        })
    }
}

/// The package that Debian's compiler takes its standard library from. That of another architecture
/// has to be of the same version: a library fits one compiler.
struct StandardLibrary {
    package: String,
    version: String,
}

impl StandardLibrary {
    fn installed() -> Result<Self> {
        // `libstd-rust-web-dev` in Debian 12, `libstd-rust-dev` in later suites.
        let listing = apt::run_for_output(Command::new("dpkg-query").args([
            "--show",
            "--showformat=${db:Status-Status} ${Package} ${Version}\n",
            "libstd-rust*-dev",
        ]))
        .context("look for the standard library of Debian's rustc")?;
        parse_listing(&listing).context("Debian's rustc has no standard library here")
    }

    fn provide(&self, vm_dir: &Path, options: &Options) -> Result<PathBuf> {
        let dir = vm_dir.join("arm64-std").join(&self.version);
        if !dir.is_dir() {
            if options.offline {
                bail!("{} is not there, and --offline forbids", dir.display());
            }
            self.unpack(vm_dir, &dir)?;
        }
        Ok(dir.join("usr"))
    }

    fn unpack(&self, vm_dir: &Path, dir: &Path) -> Result<()> {
        let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
        let suite = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .context("read VERSION_CODENAME of /etc/os-release")?;
        let security = format!("{suite}-security");
        let apt = Apt::new(
            vm_dir.join("apt/arm64-std"),
            &Mirror::read(Path::new("/etc/apt"))?,
            &[suite, &security],
            Architecture::Arm64,
        )?;
        apt.update()?;
        let packages = apt.packages(|name| name == self.package)?;
        let package = packages
            .iter()
            .find(|package| package.version == self.version)
            .with_context(|| format!("find version {} in {suite}", self.version))?;
        let target = Architecture::Arm64.target();
        apt.unpack(&[package], dir, |dir| {
            let libraries = dir.join("usr/lib/rustlib").join(target).join("lib");
            ensure!(libraries.is_dir(), "no libraries of {target} in it");
            Ok(())
        })
    }
}

/// `installed libstd-rust-web-dev 1.96.0+dfsg1-1`, one package a line.
fn parse_listing(listing: &str) -> Option<StandardLibrary> {
    listing.lines().find_map(|line| {
        let mut words = line.strip_prefix("installed ")?.split_whitespace();
        Some(StandardLibrary {
            package: words.next()?.to_owned(),
            version: words.next()?.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::parse_listing;

    #[test]
    fn only_an_installed_library_counts() {
        let library = parse_listing(
            "not-installed libstd-rust-dev \ninstalled libstd-rust-web-dev 1.96.0+dfsg1-1~deb12u2\n",
        )
        .unwrap();
        assert_eq!(library.package, "libstd-rust-web-dev");
        assert_eq!(library.version, "1.96.0+dfsg1-1~deb12u2");
        assert!(parse_listing("config-files libstd-rust-dev 1.0\n").is_none());
    }
}
