//! apt as a downloader: it knows the proxy and the keys of this machine and
//! checks signatures and hashes. A private folder keeps the lists of foreign
//! suites away from the machine's own, so that nothing can be installed from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::architecture::Architecture;
use super::packages::{self, Package};
use super::sources::{Mirror, Source};

pub(crate) struct Apt {
    dir: PathBuf,
}

/// Ends the name of a folder that is not whole yet.
pub(crate) const UNFINISHED: &str = "unfinished";
pub(crate) const HELPER: &str = "/usr/lib/apt/apt-helper";

impl Apt {
    pub(crate) fn new(
        dir: PathBuf,
        mirror: &Mirror,
        suites: &[&str],
        architecture: Architecture,
    ) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        let apt = Self { dir };
        apt.write("debian.sources", &paragraphs(mirror, suites, architecture))?;
        apt.write("apt.conf", &apt.configuration())?;
        Ok(apt)
    }

    /// Fetches the lists, all or none, and spares apt the index over them that
    /// only an installation would need.
    pub(crate) fn update(&self) -> Result<()> {
        run(self.command("apt-get").args([
            "--quiet",
            "--option=APT::Update::Error-Mode=any",
            "--option=pkgCacheFile::Generate=false",
            "update",
        ]))
        .context("fetch package index")
    }

    /// The packages in the fetched lists whose name is wanted.
    pub(crate) fn packages(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Package>> {
        let targets = run_for_output(self.command("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(FILENAME)",
            "Created-By: Packages",
        ]))
        .context("list package indexes")?;

        let mut found = Vec::new();
        for target in targets.lines() {
            let (repository, file) = target
                .split_once(' ')
                .with_context(|| format!("read index target `{target}`"))?;
            let index = run_for_output(self.command(HELPER).arg("cat-file").arg(file))
                .with_context(|| format!("read {file}"))?;
            found.extend(
                packages::parse(&index, repository, &wanted)
                    .with_context(|| format!("parse {file}"))?,
            );
        }
        Ok(found)
    }

    /// Unpacks the packages into one folder, as they would lie on a disk. Only what is whole, by
    /// `check` too, gets the folder's name, for which the next run looks.
    pub(crate) fn unpack(
        &self,
        packages: &[&Package],
        dir: &Path,
        check: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let unfinished = dir.with_added_extension(UNFINISHED);
        remove(&unfinished)?;
        fs::create_dir_all(&unfinished)
            .with_context(|| format!("create {}", unfinished.display()))?;
        for package in packages {
            eprintln!("unpacking {} {}", package.name, package.version);
            let file = self.download(package)?;
            run(Command::new("dpkg").arg("-x").arg(&file).arg(&unfinished))
                .with_context(|| format!("unpack {}", package.name))?;
            fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        }
        check(&unfinished)?;
        remove(dir)?;
        fs::rename(&unfinished, dir).with_context(|| format!("rename to {}", dir.display()))
    }

    /// The package's file, of which apt has checked the hash.
    fn download(&self, package: &Package) -> Result<PathBuf> {
        let file = self.dir.join(format!("{}.deb", package.name));
        let hash = format!("SHA256:{}", package.sha256);
        run(self
            .command(HELPER)
            .args(["--quiet", "download-file", &package.address()])
            .arg(&file)
            .arg(&hash))
        .with_context(|| format!("download {} {} with {hash}", package.name, package.version))?;
        Ok(file)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.join("apt.conf"));
        command
    }

    /// The hooks are cleared because they would act on the machine's own lists.
    /// An index may be older than it says it stays valid: an old kernel is no
    /// danger to a test, and a mirror may be a snapshot.
    fn configuration(&self) -> String {
        let dir = self.dir.display();
        format!(
            "#clear APT::Update::Pre-Invoke;\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n\
             Dir::Etc::sourcelist \"{dir}/debian.sources\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\n\
             Dir::State::lists \"{dir}/lists\";\n\
             Dir::Cache \"{dir}/cache\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Check-Valid-Until \"false\";\n"
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}

fn remove(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(())
}

/// The suites as apt's own paragraphs, authenticated as the machine's sources are.
fn paragraphs(mirror: &Mirror, suites: &[&str], architecture: Architecture) -> String {
    let (security, main): (Vec<&str>, Vec<&str>) = suites
        .iter()
        .partition(|suite| suite.ends_with("-security"));
    let mut text = paragraph(&mirror.main, &main, architecture);
    if let Some(source) = &mirror.security
        && !security.is_empty()
    {
        text.push('\n');
        text.push_str(&paragraph(source, &security, architecture));
    }
    text
}

fn paragraph(source: &Source, suites: &[&str], architecture: Architecture) -> String {
    let mut text = format!(
        "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nArchitectures: {}\n\
         Targets: Packages\n",
        source.uri,
        suites.join(" "),
        architecture.debian()
    );
    if let Some(key) = &source.signed_by {
        text.push_str(&format!("Signed-By: {key}\n"));
    }
    if let Some(trusted) = &source.trusted {
        text.push_str(&format!("Trusted: {trusted}\n"));
    }
    text
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    run_for_output(command).map(drop)
}

/// What the command printed; what it complained of becomes the error.
pub(crate) fn run_for_output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}: {}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::architecture::Architecture;
    use super::super::sources::Mirror;
    use super::paragraphs;

    #[test]
    fn a_security_suite_is_asked_of_the_security_archive() {
        let mut mirror = Mirror::from_lines(
            "deb [signed-by=/k/key.gpg] http://mirror.example/debian sid main\n\
             deb [trusted=yes] http://mirror.example/debian-security sid-security main\n",
        );
        let suites = ["bullseye", "bullseye-security"];
        let written = |mirror: &Mirror| paragraphs(mirror, &suites, Architecture::Amd64);
        let main = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bullseye\n\
                    Components: main\nArchitectures: amd64\nTargets: Packages\n\
                    Signed-By: /k/key.gpg\n";
        let security = "\nTypes: deb\nURIs: http://mirror.example/debian-security\n\
                        Suites: bullseye-security\n\
                        Components: main\nArchitectures: amd64\nTargets: Packages\n\
                        Trusted: yes\n";
        assert_eq!(written(&mirror), format!("{main}{security}"));
        mirror.security = None;
        assert_eq!(written(&mirror), main);
    }
}
