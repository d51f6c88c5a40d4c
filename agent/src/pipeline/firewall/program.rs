//! Which firewall tool an exec is, whatever its name says.

use crate::pipeline::exec::basename;
use crate::pipeline::interpreter::{Interpreted, interpreted, is_interpreter};

use super::change::{Command, Family};
use super::iptables::{self, XtablesProgram};
use super::nft;
use super::tools::{firewall_cmd, ipset, kernel, netfilter_persistent, systemctl, sysv, ufw};

#[cfg(test)]
mod tests;

/// A program that changes a firewall, or could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    Nft,
    /// A program of the iptables family.
    Xtables,
    Ipset,
    Ufw,
    FirewallCmd,
    NetfilterPersistent,
    /// systemctl, service and the like: whoever starts and stops services.
    ServiceManager,
    Sysctl,
    /// modprobe, rmmod.
    Modules,
}

/// How often one program may stand in front of another: `ld.so busybox iptables` has two.
const FRONTS_MAX: usize = 4;

/// Programs that run the one that their first name, or their first argument, says.
const MULTI_CALL: &[&[u8]] = &[b"busybox", b"toybox", b"kmod"];

/// Which tool was executed and what its command line means. `exe` is the resolved path of the executable, as far
/// as it is known; `argv` begins with the program's name for itself.
///
/// The path decides. A path that is no tool's leaves it to `argv[0]`, for a tool can be copied; a tool that has
/// neither name is found by what the kernel says it changed. `None` when it is no tool, or a tool on something
/// that is no firewall.
pub fn command_of(exe: Option<&[u8]>, argv: &[&[u8]]) -> Option<(Tool, Command)> {
    let (name, arguments) = argv.split_first()?;
    if let Some(exe) = exe
        && let Some(found) = of_program(exe, name, arguments, FRONTS_MAX)
    {
        return Some(found);
    }
    if exe.is_some_and(|exe| is_known(basename(exe))) {
        return None;
    }
    of_program(name, name, arguments, FRONTS_MAX)
}

/// Whether a process may be a tool, by the names alone: for nearly every exec this is all that is looked at.
pub fn may_be_tool(exe: Option<&[u8]>, argv0: &[u8]) -> bool {
    exe.is_some_and(|exe| is_known(basename(exe)) || is_init_script(exe, basename(exe)))
        || is_known(basename(argv0))
        || is_init_script(argv0, basename(argv0))
}

fn is_known(name: &[u8]) -> bool {
    XtablesProgram::is_multi_call(name)
        || name.starts_with(b"xtables-")
        || is_loader(name)
        || is_interpreter(name)
        || is_multi_call(name)
        || tool(name).is_some()
}

/// What `program`, called `name`, does with `arguments`.
fn of_program(
    program: &[u8],
    name: &[u8],
    arguments: &[&[u8]],
    fronts: usize,
) -> Option<(Tool, Command)> {
    let fronts = fronts.checked_sub(1)?;
    let file = basename(program);
    if is_loader(file) {
        let (program, arguments) = loaded(arguments)?.split_first()?;
        return of_program(program, program, arguments, fronts);
    }
    if is_interpreter(file) {
        // An option that is not known must not hide the tool behind it.
        let Interpreted {
            script,
            arguments,
            sure: _,
        } = interpreted(file, arguments)?;
        return of_program(script, script, arguments, fronts);
    }
    if XtablesProgram::is_multi_call(file) {
        let argv: Vec<&[u8]> = [name]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let (program, arguments) = XtablesProgram::resolve(file, &argv)?;
        return Some((Tool::Xtables, iptables::parse(program, arguments)));
    }
    if is_multi_call(file) {
        let called = basename(name);
        if !is_multi_call(called) {
            return of_program(called, called, arguments, fronts);
        }
        let at = arguments.iter().position(|word| !word.starts_with(b"-"))?;
        let (applet, arguments) = arguments.get(at..)?.split_first()?;
        return of_program(applet, applet, arguments, fronts);
    }
    // `/etc/init.d/iptables` is not iptables.
    if is_init_script(program, file) {
        return Some((Tool::ServiceManager, sysv::script(file, arguments)?));
    }
    let tool = tool(file)?;
    Some((tool, meaning(tool, file, arguments)?))
}

/// Whether a program of that name is a firewall tool, or changes what a firewall depends on.
pub(super) fn is_tool(name: &[u8]) -> bool {
    XtablesProgram::is_multi_call(name) || tool(name).is_some()
}

/// The script that an interpreter is told to run, by its own arguments; `None` where `exe` is no interpreter, or has
/// options that are not known.
pub fn script_of<'a>(exe: &[u8], argv: &[&'a [u8]]) -> Option<&'a [u8]> {
    let (_, arguments) = argv.split_first()?;
    let found = interpreted(basename(exe), arguments)?;
    found.sure.then_some(found.script)
}

fn is_init_script(program: &[u8], file: &[u8]) -> bool {
    let folder = program.strip_suffix(file).unwrap_or_default();
    folder.ends_with(b"/init.d/") || folder.ends_with(b"/rc.d/")
}

fn tool(name: &[u8]) -> Option<Tool> {
    Some(match name {
        b"nft" => Tool::Nft,
        b"ipset" => Tool::Ipset,
        b"ufw" => Tool::Ufw,
        b"firewall-cmd" | b"firewall-offline-cmd" => Tool::FirewallCmd,
        b"netfilter-persistent" | b"iptables-persistent" => Tool::NetfilterPersistent,
        b"systemctl" | b"service" | b"invoke-rc.d" | b"rc-service" | b"update-rc.d"
        | b"chkconfig" | b"rc-update" | b"initctl" => Tool::ServiceManager,
        b"sysctl" => Tool::Sysctl,
        b"modprobe" | b"rmmod" => Tool::Modules,
        _ if XtablesProgram::from_name(name).is_some() => Tool::Xtables,
        _ => return None,
    })
}

fn meaning(tool: Tool, name: &[u8], arguments: &[&[u8]]) -> Option<Command> {
    match tool {
        Tool::Nft => Some(nft::parse(arguments)),
        Tool::Xtables => xtables(name, arguments),
        Tool::Ipset => Some(ipset::parse(arguments)),
        Tool::Ufw => Some(ufw::parse(arguments)),
        Tool::FirewallCmd => Some(firewall_cmd::parse(arguments, &direct)),
        Tool::NetfilterPersistent => Some(netfilter_persistent::parse(arguments)),
        Tool::ServiceManager => match name {
            b"systemctl" => systemctl::parse(arguments),
            b"update-rc.d" | b"chkconfig" | b"rc-update" => sysv::at_boot(arguments),
            // The verb stands first.
            b"initctl" => match arguments {
                [verb, unit, ..] => sysv::script(unit, &[verb]),
                _ => None,
            },
            _ => sysv::service(arguments),
        },
        Tool::Sysctl => kernel::sysctl(arguments),
        Tool::Modules => match name {
            b"rmmod" => kernel::rmmod(arguments),
            _ => kernel::modprobe(arguments),
        },
    }
}

/// What a program of the iptables family, by its name, does with `arguments`.
fn xtables(name: &[u8], arguments: &[&[u8]]) -> Option<Command> {
    let program = XtablesProgram::from_name(name)?;
    Some(iptables::parse(program, arguments))
}

/// What firewalld hands on to the iptables family.
fn direct(family: Family, arguments: &[&[u8]]) -> Option<Command> {
    let name: &[u8] = match family {
        Family::Ipv6 => b"ip6tables",
        Family::Bridge => b"ebtables",
        Family::Ipv4 | Family::Inet | Family::Arp | Family::Netdev => b"iptables",
    };
    xtables(name, arguments)
}

fn is_multi_call(name: &[u8]) -> bool {
    MULTI_CALL.iter().any(|known| {
        // As in `busybox.static` and `busybox-x86_64`.
        let rest = name.strip_prefix(*known);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'.' | b'-' | b'_')))
    })
}

/// `ld-linux-x86-64.so.2`, `ld-musl-aarch64.so.1`, `ld.so`.
fn is_loader(name: &[u8]) -> bool {
    name.starts_with(b"ld") && name.windows(3).any(|part| part == b".so")
}

/// The program among a loader's arguments, and what follows (`ld.so(8)`).
fn loaded<'s, 'a>(arguments: &'s [&'a [u8]]) -> Option<&'s [&'a [u8]]> {
    const WITH_VALUE: &[&[u8]] = &[
        b"--library-path",
        b"--inhibit-rpath",
        b"--audit",
        b"--argv0",
        b"--preload",
        b"--glibc-hwcaps-prepend",
        b"--glibc-hwcaps-mask",
    ];
    let mut rest = arguments;
    while let Some((argument, behind)) = rest.split_first() {
        if !argument.starts_with(b"-") {
            return Some(rest);
        }
        rest = match WITH_VALUE.contains(argument) {
            true => behind.get(1..)?,
            false => behind,
        };
        if matches!(
            *argument,
            b"--list" | b"--verify" | b"--help" | b"--version"
        ) {
            return None;
        }
    }
    None
}
