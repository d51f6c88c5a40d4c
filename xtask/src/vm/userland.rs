//! Where a guest's programs come from: this machine's own files, or Debian's packages of another
//! architecture, unpacked into a folder that is laid out the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Options;
use super::apt::{self, Apt};
use super::architecture::Architecture;
use super::guest;
use super::packages::{self, Package};
use super::series::Series;
use super::sources::Mirror;

pub(crate) struct Userland {
    root: PathBuf,
    architecture: Architecture,
}

/// What the guest's programs are packed in.
const PACKAGES: [&str; 9] = [
    "bash",
    "bsdutils",
    "busybox-static",
    "dash",
    "iproute2",
    "iptables",
    "mount",
    "nftables",
    "util-linux",
];

/// Of what packages depend on libraries are needed, and nothing that runs when one is configured.
fn is_library(name: &str) -> bool {
    name.starts_with("lib") || name == "zlib1g"
}

impl Userland {
    /// This machine's.
    pub(crate) fn native() -> Self {
        Self {
            root: PathBuf::from("/"),
            architecture: Architecture::Amd64,
        }
    }

    /// That of the series' own suites: what is unpacked here, or else a fresh one.
    pub(crate) fn provide(series: Series, vm_dir: &Path, options: &Options) -> Result<Self> {
        let architecture = series.architecture();
        if architecture == Architecture::Amd64 {
            return Ok(Self::native());
        }
        let root = vm_dir.join("userland").join(series.name());
        if options.refresh || !root.is_dir() {
            if options.offline {
                bail!("{} is not there, and --offline forbids", root.display());
            }
            fetch(series, vm_dir, &root)
                .with_context(|| format!("fetch programs of {}", architecture.debian()))?;
        }
        Self::open(&root, architecture)
    }

    fn open(root: &Path, architecture: Architecture) -> Result<Self> {
        // As the paths are that `find` gives.
        let root = root
            .canonicalize()
            .with_context(|| format!("find {}", root.display()))?;
        Ok(Self { root, architecture })
    }

    pub(crate) fn find(&self, program: &str) -> Option<PathBuf> {
        ["usr/sbin", "usr/bin", "sbin", "bin"]
            .iter()
            .map(|dir| self.root.join(dir).join(program))
            .filter_map(|path| path.canonicalize().ok())
            .find(|path| path.is_file())
    }

    /// iptables' matches and targets.
    pub(crate) fn plugins_dir(&self) -> PathBuf {
        let folder = self.architecture.library_folder();
        self.root.join("usr/lib").join(folder).join("xtables")
    }

    /// Where a file lies on the machine that it belongs to.
    pub(crate) fn place<'a>(&self, file: &'a Path) -> &'a Path {
        file.strip_prefix(&self.root).unwrap_or(file)
    }

    /// The files and every library that they need, the loader among them.
    pub(crate) fn with_libraries(&self, files: BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>> {
        let mut unread: Vec<_> = files.into_iter().collect();
        let mut read = BTreeSet::new();
        while let Some(file) = unread.pop() {
            for library in needed(&file)? {
                let found = self
                    .find_library(&library)
                    .with_context(|| format!("find {library}, which {} needs", file.display()))?;
                if !read.contains(&found) {
                    unread.push(found);
                }
            }
            read.insert(file);
        }
        Ok(read)
    }

    fn find_library(&self, library: &str) -> Option<PathBuf> {
        if library.starts_with('/') {
            return ["usr", ""]
                .iter()
                .map(|dir| self.root.join(dir).join(library.trim_start_matches('/')))
                .find(|file| file.is_file());
        }
        let folder = self.architecture.library_folder();
        ["usr/lib", "lib"]
            .iter()
            .map(|dir| self.root.join(dir).join(folder).join(library))
            .find(|file| file.is_file())
    }
}

fn fetch(series: Series, vm_dir: &Path, root: &Path) -> Result<()> {
    let apt = Apt::new(
        vm_dir.join("apt").join(series.name()),
        &Mirror::read(Path::new("/etc/apt"))?,
        series.suites(),
        series.architecture(),
    )?;
    apt.update()?;
    let known = apt.packages(|name| is_library(name) || PACKAGES.contains(&name))?;
    let chosen = with_libraries(&known)?;
    apt.unpack(&chosen, root, |root| {
        guest::programs(&Userland::open(root, series.architecture())?).map(drop)
    })
}

/// Names of the libraries in an ELF file's dynamic section, and the path of its loader; readelf reads
/// files of any architecture, and runs none of them as ldd would.
fn needed(file: &Path) -> Result<Vec<String>> {
    let listing = apt::run_for_output(
        Command::new("readelf")
            .args(["--wide", "--dynamic", "--program-headers"])
            .arg(file)
            .env("LC_ALL", "C"),
    )?;
    let needed = parse_readelf(&listing);
    ensure!(
        !listing.contains("(NEEDED)") || !needed.is_empty(),
        "readelf says of {} what is not understood",
        file.display()
    );
    Ok(needed)
}

/// `0x1 (NEEDED)  Shared library: [libc.so.6]` and `[Requesting program interpreter: /lib64/ld.so.2]`.
fn parse_readelf(listing: &str) -> Vec<String> {
    let value = |line: &str, key: &str| {
        let (_, rest) = line.split_once(key)?;
        rest.split(']').next().map(str::to_owned)
    };
    listing
        .lines()
        .filter_map(|line| {
            value(line, "Shared library: [")
                .or_else(|| value(line, "[Requesting program interpreter: "))
        })
        .collect()
}

/// The newest of each of [`PACKAGES`], and of the libraries that they depend on.
fn with_libraries(known: &[Package]) -> Result<Vec<&Package>> {
    let newest = |name: &str| {
        known
            .iter()
            .filter(|package| package.name == name)
            .max_by(|a, b| packages::compare_versions(&a.version, &b.version))
            .with_context(|| format!("find package {name}"))
    };
    let mut unread: Vec<_> = PACKAGES
        .iter()
        .map(|name| newest(name))
        .collect::<Result<_>>()?;
    let mut chosen: Vec<&Package> = Vec::new();
    while let Some(package) = unread.pop() {
        if chosen.iter().any(|other| other.name == package.name) {
            continue;
        }
        chosen.push(package);
        for name in package.depends.iter().filter(|name| is_library(name)) {
            // A name without a package is provided by one that another dependency names.
            unread.extend(newest(name).ok());
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::{Package, packages, parse_readelf, with_libraries};

    #[test]
    fn readelf_names_libraries_and_the_loader() {
        let listing = "      [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]\n\
             \x20 0x0000000000000001 (NEEDED)  Shared library: [libtinfo.so.6]\n\
             \x20 0x0000000000000001 (NEEDED)  Shared library: [libc.so.6]\n\
             \x20 0x000000000000000e (SONAME)  Library soname: [libx.so.1]\n";
        assert_eq!(
            parse_readelf(listing),
            ["/lib/ld-linux-aarch64.so.1", "libtinfo.so.6", "libc.so.6"]
        );
    }

    fn index(packages: &[(&str, &str, &str)]) -> Vec<Package> {
        let paragraphs: String = packages
            .iter()
            .map(|(name, version, depends)| {
                format!(
                    "Package: {name}\nVersion: {version}\nPre-Depends: {depends}\n\
                     Filename: {name}_{version}.deb\nSHA256: 0\n\n"
                )
            })
            .collect();
        packages::parse(&paragraphs, "http://mirror.example", |_| true).unwrap()
    }

    #[test]
    fn libraries_come_along_once_and_nothing_else_does() {
        let mut known: Vec<_> = super::PACKAGES.map(|name| (name, "1", "")).to_vec();
        known[0] = ("bash", "1", "libtinfo6 (>= 6), debianutils, libvirtual");
        known.push(("bash", "2", "libtinfo6:any, debianutils, libvirtual"));
        known.push(("libtinfo6", "6", "libc6"));
        known.push(("libc6", "2.41", "libtinfo6"));
        known.push(("debianutils", "5", ""));
        let known = index(&known);
        let chosen = with_libraries(&known).unwrap();
        assert_eq!(chosen.len(), super::PACKAGES.len() + 2);
        let bash = chosen.iter().find(|package| package.name == "bash");
        assert_eq!(bash.unwrap().version, "2");
        assert!(with_libraries(&known[1..8]).is_err());
    }
}
