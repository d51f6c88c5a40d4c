//! `cargo xtask ebpf`: builds the kernel object from source, and keeps the manifest that says from what.
//!
//! The object is committed, so that `cargo build` needs stable Rust alone. It is byte-identical for one
//! compiler, whatever folder it is built in; another compiler gives another object of the same meaning.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cmd;
use crate::setup::{self, BPF_LINKER, LLVM_PREFIX, Need};

const TARGET: &str = "bpfel-unknown-none";
const OBJECT: &str = "agent-ebpf/object/wallwatch.bpf.o";
const MANIFEST: &str = "agent-ebpf/object/manifest.json";

/// What the object is made of, besides the crates named in `Cargo.lock`.
const SOURCES: &[&str] = &[
    "agent-ebpf/src",
    "agent-ebpf/Cargo.toml",
    "agent-common/src",
    "agent-common/Cargo.toml",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Build, and compare with the committed object instead of replacing it
    #[arg(long)]
    pub(crate) verify: bool,

    /// Which compiler
    #[arg(long, value_enum, default_value_t)]
    pub(crate) compiler: Choice,

    /// Only say what is missing on this machine
    #[arg(long)]
    pub(crate) no_install: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// Debian's, and rustup's nightly where that is missing
    #[default]
    Auto,
    /// Debian's, with its prebuilt `core`
    Debian,
    /// rustup's nightly, which builds `core` from the component `rust-src`
    Nightly,
}

/// What the committed object was made with and of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) rustc: String,
    pub(crate) linker: String,
    /// Versions of the crates in the object.
    pub(crate) crates: BTreeMap<String, String>,
    /// SHA-256 over names and contents of the sources.
    pub(crate) sources_sha256: String,
    pub(crate) object_sha256: String,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    setup::ensure(&[Need::BpfCompiler, BPF_LINKER], !options.no_install)?;
    let built = Built::make(options.compiler)?;
    if options.verify {
        return built.compare().map(drop);
    }
    fs::write(cmd::root().join(OBJECT), &built.object).context("write the object")?;
    let text = serde_json::to_string_pretty(&built.manifest).context("write the manifest")?;
    fs::write(cmd::root().join(MANIFEST), text + "\n").context("write the manifest")?;
    println!(
        "{OBJECT}: {} bytes, by {}",
        built.object.len(),
        built.manifest.rustc
    );
    Ok(())
}

/// Builds the object and compares it with the committed one. Gives the path of one that another compiler
/// made: whether that is as good only a kernel can tell.
pub(crate) fn verify(install: bool) -> anyhow::Result<Option<PathBuf>> {
    setup::ensure(&[Need::BpfCompiler, BPF_LINKER], install)?;
    Built::make(Choice::Auto)?.compare()
}

/// An object just built.
struct Built {
    path: PathBuf,
    object: Vec<u8>,
    manifest: Manifest,
}

impl Built {
    fn make(compiler: Choice) -> anyhow::Result<Self> {
        let compiler = match compiler {
            Choice::Auto => Compiler::find()?,
            Choice::Debian => Compiler::debian()?,
            Choice::Nightly => Compiler::nightly()?,
        };
        let path = build(&compiler)?;
        let object = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let manifest = Manifest {
            rustc: compiler.version,
            linker: linker_version()?,
            crates: crates()?,
            sources_sha256: sources_sha256()?,
            object_sha256: sha256(&object),
        };
        Ok(Self {
            path,
            object,
            manifest,
        })
    }

    fn compare(self) -> anyhow::Result<Option<PathBuf>> {
        let built = &self.manifest;
        let committed = committed_manifest()?;
        if (&committed.rustc, &committed.linker) != (&built.rustc, &built.linker) {
            println!(
                "not compared byte for byte: the object was made by {} and {}, this one by {} and {}",
                committed.rustc, committed.linker, built.rustc, built.linker
            );
            return Ok(Some(self.path));
        }
        ensure!(
            committed.object_sha256 == built.object_sha256,
            "{OBJECT} is not what its sources give: run `cargo xtask ebpf` and commit the result"
        );
        println!("{OBJECT}: byte for byte what its sources give");
        Ok(None)
    }
}

/// A compiler that can make eBPF.
#[derive(Debug)]
pub(crate) struct Compiler {
    rustc: PathBuf,
    version: String,
    /// It has no prebuilt `core` for eBPF and builds it from source.
    builds_core: bool,
}

impl Compiler {
    /// Whichever is there, Debian's first: it is the one that the committed object is made with.
    pub(crate) fn find() -> anyhow::Result<Self> {
        Self::debian().or_else(|debian| {
            Self::nightly().map_err(|nightly| anyhow::anyhow!("{debian:#}; and {nightly:#}"))
        })
    }

    fn debian() -> anyhow::Result<Self> {
        let rustc = PathBuf::from("/usr/bin/rustc");
        ensure!(
            rustc.is_file(),
            "Debian's compiler is not installed (package rustc-web or rustc)"
        );
        let core = sysroot(&rustc)?.join("lib/rustlib").join(TARGET);
        ensure!(
            core.is_dir(),
            "{} is missing (package libstd-rust-web-dev-bpf or libstd-rust-dev-bpf)",
            core.display()
        );
        llvm_objcopy()?;
        Self::new(rustc, false)
    }

    fn nightly() -> anyhow::Result<Self> {
        let which =
            cmd::output(Command::new("rustup").args(["which", "rustc", "--toolchain", "nightly"]))
                .context("rustup's nightly is not installed (rustup toolchain install nightly)")?;
        let rustc = PathBuf::from(which.trim());
        let core = sysroot(&rustc)?.join("lib/rustlib/src/rust/library/core");
        ensure!(
            core.is_dir(),
            "rustup's nightly lacks rust-src (rustup component add rust-src --toolchain nightly)"
        );
        Self::new(rustc, true)
    }

    fn new(rustc: PathBuf, builds_core: bool) -> anyhow::Result<Self> {
        let version = cmd::output(Command::new(&rustc).arg("--version"))?
            .trim()
            .to_owned();
        Ok(Self {
            rustc,
            version,
            builds_core,
        })
    }
}

fn sysroot(rustc: &Path) -> anyhow::Result<PathBuf> {
    let text = cmd::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(text.trim()))
}

/// Builds and strips; returns where the object is.
fn build(compiler: &Compiler) -> anyhow::Result<PathBuf> {
    let linker = cmd::find("bpf-linker").context("find bpf-linker")?;
    let target_dir = cmd::target().join("ebpf");
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    // Paths would stand in the object: the checkout's, that of cargo's home, and in it the folder of the
    // registry, whose name depends on where the crates come from.
    let mut flags = vec![
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        "-Dwarnings".to_owned(),
        format!("--remap-path-prefix={}=/wallwatch", cmd::root().display()),
        format!("--remap-path-prefix={}=/cargo", home.display()),
    ];
    for registry in fs::read_dir(home.join("registry/src"))
        .into_iter()
        .flatten()
    {
        let registry = registry.context("list cargo's registries")?.path();
        flags.push(format!(
            "--remap-path-prefix={}=/crates",
            registry.display()
        ));
    }
    let mut cargo = cmd::cargo();
    cargo
        .current_dir(cmd::root())
        .args([
            "build",
            "--locked",
            "--package",
            "wallwatch-ebpf",
            "--profile",
            "bpf",
        ])
        .args(["--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTC", &compiler.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER");
    if compiler.builds_core {
        cargo.arg("-Zbuild-std=core");
    }
    cmd::run(&mut cargo)?;

    let built = target_dir.join(TARGET).join("bpf/wallwatch-ebpf");
    let stripped = target_dir.join("wallwatch.bpf.o");
    let objcopy = llvm_objcopy()?;
    // Debug information made the BTF; nobody reads it after that.
    cmd::run(
        Command::new(objcopy)
            .arg("--strip-debug")
            .arg(&built)
            .arg(&stripped),
    )?;
    Ok(stripped)
}

/// Debian's, which is of the same LLVM as its compiler; the one in `PATH` may be any.
fn llvm_objcopy() -> anyhow::Result<PathBuf> {
    let debian = Path::new(LLVM_PREFIX).join("bin/llvm-objcopy");
    if debian.is_file() {
        return Ok(debian);
    }
    cmd::find("llvm-objcopy").context("find llvm-objcopy (package llvm-22)")
}

/// Fails when the committed object, its manifest and the sources do not belong together.
pub(crate) fn check_manifest() -> anyhow::Result<()> {
    let manifest = committed_manifest()?;
    let object = fs::read(cmd::root().join(OBJECT)).with_context(|| format!("read {OBJECT}"))?;
    ensure!(
        manifest.object_sha256 == sha256(&object),
        "{OBJECT} is not the object that {MANIFEST} names: run `cargo xtask ebpf`"
    );
    ensure!(
        manifest.sources_sha256 == sources_sha256()?,
        "the sources of the kernel programs have changed since {OBJECT} was built: run `cargo xtask ebpf`"
    );
    ensure!(
        manifest.crates == crates()?,
        "crates of the kernel programs have changed since {OBJECT} was built: run `cargo xtask ebpf`"
    );
    Ok(())
}

fn committed_manifest() -> anyhow::Result<Manifest> {
    let text = fs::read_to_string(cmd::root().join(MANIFEST))
        .with_context(|| format!("read {MANIFEST}"))?;
    serde_json::from_str(&text).with_context(|| format!("understand {MANIFEST}"))
}

fn sources_sha256() -> anyhow::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&cmd::root().join(source), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(cmd::root()).unwrap_or(&file);
        let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        hash.update(name.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    Ok(hex(&hash.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
        collect(&entry.context("list a folder")?.path(), files)?;
    }
    Ok(())
}

/// The crates that end up in the object, from `Cargo.lock`: aya's for eBPF, and what they are made with.
fn crates() -> anyhow::Result<BTreeMap<String, String>> {
    let lock = fs::read_to_string(cmd::root().join("Cargo.lock")).context("read Cargo.lock")?;
    let mut crates = BTreeMap::new();
    let mut name = None;
    for line in lock.lines() {
        if let Some(value) = quoted(line, "name = ") {
            name = Some(value.to_owned());
        } else if let Some(version) = quoted(line, "version = ")
            && let Some(name) = name.take()
            && (name.starts_with("aya-ebpf") || name.starts_with("aya-log-"))
        {
            crates.insert(name, version.to_owned());
        }
    }
    if crates.is_empty() {
        bail!("Cargo.lock names none of aya's crates");
    }
    Ok(crates)
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

fn linker_version() -> anyhow::Result<String> {
    let linker = cmd::find("bpf-linker").context("find bpf-linker")?;
    Ok(cmd::output(Command::new(linker).arg("--version"))?
        .trim()
        .to_owned())
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_object_its_manifest_and_its_sources_belong_together() {
        super::check_manifest().unwrap();
    }
}
