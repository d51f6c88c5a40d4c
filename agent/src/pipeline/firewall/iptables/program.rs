//! Which program of the iptables family it is.

use crate::pipeline::exec::basename;
use crate::pipeline::firewall::change::{Backend, Family};

/// What a program of the family is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `iptables` itself.
    Command,
    /// `iptables-restore`: loads a ruleset.
    Restore,
    /// `iptables-apply`: loads a ruleset, and takes it back when nobody answers.
    Apply,
    /// `iptables-save`, `-translate`, `-xml`, `xtables-monitor`: reads, and changes nothing.
    Read,
}

/// A program of the iptables family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XtablesProgram {
    /// IPv4, IPv6, ARP or bridge.
    pub family: Family,
    /// Of the three that begin with `Xtables`.
    pub backend: Backend,
    pub role: Role,
}

/// iptables 1.8 has two of them; up to 1.6 there was one, and in 1.6 one for nf_tables beside it (`xtables-multi.c`,
/// `xtables-compat-multi.c`).
fn multi_call_backend(name: &[u8]) -> Option<Backend> {
    match name {
        b"xtables-nft-multi" | b"xtables-compat-multi" => Some(Backend::XtablesNft),
        b"xtables-legacy-multi" | b"xtables-multi" => Some(Backend::XtablesLegacy),
        _ => None,
    }
}

impl XtablesProgram {
    /// By the name under which it is installed, without its folder: `ip6tables-legacy-restore`. The multi-call
    /// binaries are none; see [`resolve`](Self::resolve).
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        if name == "xtables-monitor" {
            return Some(Self {
                family: Family::Ipv4,
                backend: Backend::XtablesNft,
                role: Role::Read,
            });
        }
        let (family, rest) = FAMILIES
            .iter()
            .find_map(|&(stem, family)| Some((family, name.strip_prefix(stem)?)))?;
        let (backend, rest) = BACKENDS
            .iter()
            .find_map(|&(infix, backend)| Some((backend, rest.strip_prefix(infix)?)))
            .filter(|(_, rest)| rest.is_empty() || rest.starts_with('-'))
            .unwrap_or((Backend::Xtables, rest));
        let role = match rest {
            "" => Role::Command,
            "-restore" => Role::Restore,
            "-apply" => Role::Apply,
            "-save" | "-translate" | "-restore-translate" | "-xml" => Role::Read,
            _ => return None,
        };
        Some(Self {
            family,
            backend,
            role,
        })
    }

    /// Whether an executable of that name is several programs.
    pub fn is_multi_call(name: &[u8]) -> bool {
        multi_call_backend(name).is_some()
    }

    /// By the name of the executable, whose multi-call binaries look at `argv` to know which program they are:
    /// at the last part of `argv[0]`, then at `argv[1]` (`subcmd_main`, iptables `iptables/xshared.c`). The
    /// arguments that are left for the program come with it.
    pub fn resolve<'a>(executable: &[u8], argv: &'a [&'a [u8]]) -> Option<(Self, &'a [&'a [u8]])> {
        let (first, arguments) = argv
            .split_first()
            .map_or((&b""[..], argv), |(first, rest)| (*first, rest));
        let executable = basename(executable);
        let Some(backend) = multi_call_backend(executable) else {
            return Some((Self::from_name(executable)?, arguments));
        };
        if let Some(program) = Self::of_applet(basename(first), backend) {
            return Some((program, arguments));
        }
        let (applet, arguments) = arguments.split_first()?;
        Some((Self::of_applet(applet, backend)?, arguments))
    }

    /// By the name that a multi-call binary knows it by.
    fn of_applet(applet: &[u8], backend: Backend) -> Option<Self> {
        let name: &[u8] = match applet {
            b"main4" => b"iptables",
            b"save4" => b"iptables-save",
            b"restore4" => b"iptables-restore",
            b"main6" => b"ip6tables",
            b"save6" => b"ip6tables-save",
            b"restore6" => b"ip6tables-restore",
            b"xml" => b"iptables-xml",
            other => other,
        };
        let program = Self::from_name(name)?;
        let fits = program.backend == Backend::Xtables || program.backend == backend;
        (fits && program.role != Role::Apply).then_some(Self { backend, ..program })
    }
}

const FAMILIES: [(&str, Family); 4] = [
    ("iptables", Family::Ipv4),
    ("ip6tables", Family::Ipv6),
    ("arptables", Family::Arp),
    ("ebtables", Family::Bridge),
];

const BACKENDS: [(&str, Backend); 2] = [
    ("-nft", Backend::XtablesNft),
    ("-legacy", Backend::XtablesLegacy),
];
