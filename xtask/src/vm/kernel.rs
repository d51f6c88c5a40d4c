//! Unpacked Debian kernels, kept for the next run: the files of one kernel's
//! packages in `kernels/<series>/<release>/`, as they would lie on a disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Options;
use super::apt::{self, Apt};
use super::packages;
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
            .filter(|release| !release.ends_with(apt::UNFINISHED))
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
            series.architecture(),
        )?;
        apt.update()?;
        let packages = apt.packages(|name| name.starts_with("linux-"))?;
        let chosen = packages::choose(&packages, series)?;
        let release = chosen
            .iter()
            .find_map(|package| package.release())
            .context("read release from package name")?;
        let dir = self.series_dir(series).join(release);
        if !dir.is_dir() {
            apt.unpack(&chosen, &dir, |dir| {
                Kernel::open(series, release, dir).map(drop)
            })?;
        }
        Kernel::open(series, release, &dir)
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
