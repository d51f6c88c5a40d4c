//! Which modules a guest needs, and in which order they load.
//!
//! A package holds no `modules.dep`, which is made where a kernel is installed,
//! so a module's own word counts: its `.modinfo` section is a list of
//! `key=value` strings, each ended by a NUL, with `depends=nfnetlink,libcrc32c`
//! among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The modules of one kernel in load order, and the wanted ones that it lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) modules: Vec<Module>,
    pub(crate) missing: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// The ELF object, not compressed.
    pub(crate) object: Vec<u8>,
}

/// What real iptables, both kinds, asks the kernel for; overlay mounts; veth pairs.
const WANTED: [&str; 19] = [
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "nft_ct",
    "nft_reject_inet",
    "x_tables",
    "ip_tables",
    "iptable_filter",
    "iptable_nat",
    "ip6_tables",
    "ip6table_filter",
    "xt_tcpudp",
    "xt_multiport",
    "xt_conntrack",
    "xt_comment",
    "ipt_REJECT",
    "nf_conntrack",
    "overlay",
    "veth",
];

/// What only some tests ask for, or only older kernels have as modules: since 5.17 nf_tables has its own counters.
const WANTED_IF_PRESENT: [&str; 32] = [
    "ip6t_REJECT",
    "ip6table_mangle",
    "ip6table_nat",
    "iptable_mangle",
    "iptable_raw",
    "nf_log_ipv4",
    "nf_log_ipv6",
    "nf_log_syslog",
    "nft_counter",
    "nft_limit",
    "nft_log",
    "nft_masq",
    "nft_meta_bridge",
    "nft_nat",
    "nft_queue",
    "nft_redir",
    "nft_reject_ipv4",
    "nft_tproxy",
    "xt_CT",
    "xt_LOG",
    "xt_MASQUERADE",
    "xt_NFQUEUE",
    "xt_REDIRECT",
    "xt_TPROXY",
    "xt_addrtype",
    "xt_iprange",
    "xt_limit",
    "xt_mac",
    "xt_mark",
    "xt_nat",
    "xt_owner",
    "xt_state",
];

impl Selection {
    pub(crate) fn read(modules_dir: &Path) -> Result<Self> {
        let path = modules_dir.join("modules.builtin");
        let builtin =
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut files = BTreeMap::new();
        find_modules(modules_dir, &mut files)?;
        let present = WANTED_IF_PRESENT
            .into_iter()
            .filter(|name| files.contains_key(*name));
        let wanted: Vec<_> = WANTED.into_iter().chain(present).collect();
        Self::new(
            &wanted,
            &builtin.lines().map(module_name).collect(),
            &mut |name| files.get(name).map(|file| read_object(file)).transpose(),
        )
    }

    /// `read` gives the object of a module, if the kernel has it as a file.
    fn new(
        wanted: &[&str],
        builtin: &BTreeSet<String>,
        read: &mut impl FnMut(&str) -> Result<Option<Vec<u8>>>,
    ) -> Result<Self> {
        let mut selection = Self::default();
        for name in wanted {
            selection.add(name, builtin, read)?;
        }
        Ok(selection)
    }

    /// Appends the module after everything that it needs. The build forbids
    /// cycles between modules, so the recursion ends.
    fn add(
        &mut self,
        name: &str,
        builtin: &BTreeSet<String>,
        read: &mut impl FnMut(&str) -> Result<Option<Vec<u8>>>,
    ) -> Result<()> {
        if builtin.contains(name) || self.modules.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let Some(object) = read(name)? else {
            self.missing.push(name.to_owned());
            return Ok(());
        };
        for needed in depends(&object).with_context(|| format!("read needs of module {name}"))? {
            self.add(&needed, builtin, read)?;
        }
        self.modules.push(Module {
            name: name.to_owned(),
            object,
        });
        Ok(())
    }
}

/// Every module has the key, if with an empty value.
fn depends(object: &[u8]) -> Result<Vec<String>> {
    const KEY: &[u8] = b"\0depends=";
    let start = object
        .windows(KEY.len())
        .position(|window| window == KEY)
        .context("find depends= in .modinfo")?
        + KEY.len();
    let value = object[start..].split(|byte| *byte == 0).next();
    Ok(String::from_utf8_lossy(value.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(module_name)
        .collect())
}

/// `kernel/net/netfilter/nf_tables.ko.xz` is `nf_tables`; file names may have a
/// hyphen where the module's name has an underscore.
fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.split(".ko").next().unwrap_or(name);
    name.replace('-', "_")
}

fn find_modules(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry.context("list modules")?;
        let path = entry.path();
        if entry.file_type().context("list modules")?.is_dir() {
            find_modules(&path, files)?;
            continue;
        }
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if file_name.contains(".ko") {
            files.insert(module_name(&file_name), path);
        }
    }
    Ok(())
}

fn read_object(path: &Path) -> Result<Vec<u8>> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("ko") => fs::read(path).with_context(|| format!("read {}", path.display())),
        Some("xz") => decompress(path),
        Some(_) | None => bail!("unknown compression of module {}", path.display()),
    }
}

fn decompress(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("xz")
        .arg("-dc")
        .arg(path)
        .output()
        .context("start xz")?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("xz -dc {}: {}", path.display(), complaint.trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Selection, module_name};

    /// Names and needs of a kernel's modules against the load order and what is missing.
    fn check(
        modules: &[(&str, &str)],
        builtin: &[&str],
        wanted: &[&str],
        load_order: &[&str],
        missing: &[&str],
    ) {
        let builtin: BTreeSet<_> = builtin.iter().map(|file| module_name(file)).collect();
        let mut read = |name: &str| {
            let module = modules.iter().find(|(module, _)| *module == name);
            Ok(module.map(|(name, needs)| {
                format!("ELF\0alias=x\0depends={needs}\0name={name}\0").into_bytes()
            }))
        };
        let selection = Selection::new(wanted, &builtin, &mut read).unwrap();
        let names: Vec<_> = selection
            .modules
            .iter()
            .map(|module| module.name.as_str())
            .collect();
        assert_eq!(names, load_order);
        assert_eq!(selection.missing, missing);
    }

    const MODULES: [(&str, &str); 6] = [
        ("nft_compat", "nf_tables,x_tables"),
        ("nf_tables", "libcrc32c,nfnetlink"),
        ("nfnetlink", ""),
        ("x_tables", ""),
        ("libcrc32c", ""),
        ("nf_conntrack", "libcrc32c,nf-defrag-ipv4"),
    ];

    #[test]
    fn needs_come_before_the_needy_and_only_once() {
        check(
            &MODULES,
            &[],
            &["nft_compat", "nf_tables"],
            &[
                "libcrc32c",
                "nfnetlink",
                "nf_tables",
                "x_tables",
                "nft_compat",
            ],
            &[],
        );
    }

    #[test]
    fn a_built_in_module_is_neither_loaded_nor_missing() {
        check(
            &MODULES,
            &[
                "kernel/fs/overlayfs/overlay.ko",
                "kernel/net/nf-defrag-ipv4.ko",
            ],
            &["overlay", "nf_conntrack", "veth"],
            &["libcrc32c", "nf_conntrack"],
            &["veth"],
        );
    }

    #[test]
    fn an_object_without_needs_is_not_a_module() {
        let mut read = |_: &str| Ok(Some(b"ELF\0name=x\0".to_vec()));
        assert!(Selection::new(&["x"], &BTreeSet::new(), &mut read).is_err());
    }
}
