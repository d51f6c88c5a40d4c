//! Unpacked Debian kernels, kept for the next run: the files of one kernel's
//! packages in `kernels/<series>/<release>/`, as they would lie on a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Options;
use super::apt::{self, Apt};
use super::packages::{self, Package};
use super::series::Series;
use super::sources::Mirror;

/// A kernel that is ready to boot.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) series: Series,
    /// What `uname -r` says in the guest.
    pub(crate) release: String,
    pub(crate) image: PathBuf,
    pub(crate) modules_dir: PathBuf,
}

pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    pub(crate) fn new(vm_dir: PathBuf) -> Self {
        Self { dir: vm_dir }
    }

    /// A kernel of the series: the one that is here, or else a fresh one.
    pub(crate) fn provide(&self, series: Series, options: &Options) -> Result<Kernel> {
        let unpacked = self.newest_unpacked(series)?;
        match unpacked {
            Some(kernel) if !options.refresh => Ok(kernel),
            None if options.offline => bail!(
                "no kernel {} in {}, and --offline forbids to download one",
                series.name(),
                self.series_dir(series).display()
            ),
            Some(_) | None => self.fetch(series).with_context(|| {
                format!(
                    "fetch kernel {} from {}",
                    series.name(),
                    series.suites().join(" or ")
                )
            }),
        }
    }

    pub(crate) fn newest_unpacked(&self, series: Series) -> Result<Option<Kernel>> {
        let dir = self.series_dir(series);
        if !dir.is_dir() {
            return Ok(None);
        }
        let mut releases = Vec::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let name = entry.context("list kernels")?.file_name();
            releases.extend(name.into_string().ok());
        }
        releases
            .iter()
            .filter(|release| !release.ends_with(UNFINISHED))
            .max_by(|a, b| packages::compare_versions(a, b))
            .map(|release| Kernel::open(series, release, &dir.join(release)))
            .transpose()
    }

    fn fetch(&self, series: Series) -> Result<Kernel> {
        eprintln!("kernel {}: asking apt's mirror", series.name());
        let mirror = Mirror::read(Path::new("/etc/apt"))?;
        let apt = Apt::new(
            self.dir.join("apt").join(series.name()),
            &mirror,
            series.suites(),
        )?;
        apt.update()?;
        let packages = apt.kernel_packages()?;
        let chosen = packages::choose(&packages, series)?;
        self.unpack(series, &apt, &chosen)
    }

    fn unpack(&self, series: Series, apt: &Apt, chosen: &[&Package]) -> Result<Kernel> {
        let release = chosen
            .iter()
            .find_map(|package| package.release())
            .map(|release| format!("{release}-cloud-amd64"))
            .context("read release from package name")?;
        let dir = self.series_dir(series).join(&release);
        if dir.is_dir() {
            return Kernel::open(series, &release, &dir);
        }

        // Only a finished folder gets the name that the next run looks for.
        let unfinished = dir.with_file_name(format!("{release}{UNFINISHED}"));
        if unfinished.is_dir() {
            fs::remove_dir_all(&unfinished)
                .with_context(|| format!("remove {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished)
            .with_context(|| format!("create {}", unfinished.display()))?;
        for package in chosen {
            eprintln!(
                "kernel {}: {} {}",
                series.name(),
                package.name,
                package.version
            );
            let file = apt.download(package)?;
            apt::run(Command::new("dpkg").arg("-x").arg(&file).arg(&unfinished))
                .with_context(|| format!("unpack {}", package.name))?;
            fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        }
        Kernel::open(series, &release, &unfinished)?;
        fs::rename(&unfinished, &dir).with_context(|| format!("rename to {}", dir.display()))?;
        Kernel::open(series, &release, &dir)
    }

    fn series_dir(&self, series: Series) -> PathBuf {
        self.dir.join("kernels").join(series.name())
    }
}

impl Kernel {
    /// Newer packages hold the modules below /usr, and the image among them.
    fn open(series: Series, release: &str, dir: &Path) -> Result<Self> {
        let modules_dir = ["lib", "usr/lib"]
            .map(|lib| dir.join(lib).join("modules").join(release))
            .into_iter()
            .find(|modules_dir| modules_dir.is_dir())
            .with_context(|| format!("find modules of {release} in {}", dir.display()))?;
        let image = [
            dir.join("boot").join(format!("vmlinuz-{release}")),
            modules_dir.join("vmlinuz"),
        ]
        .into_iter()
        .find(|image| image.is_file())
        .with_context(|| format!("find vmlinuz of {release} in {}", dir.display()))?;
        Ok(Self {
            series,
            release: release.to_owned(),
            image,
            modules_dir,
        })
    }
}

const UNFINISHED: &str = ".unfinished";
