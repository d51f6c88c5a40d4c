//! Command lines of the firewall's tools, through what says which tool it is and what it is asked for.

use wallwatch::pipeline::firewall::program::{command_of, may_be_tool};
#[cfg(test)]
use wallwatch::pipeline::firewall::{change::Command, program::Tool};

use crate::{check_command, repeated};

/// `data` is the path of the executable, which is not known when it is empty, and the arguments: each ends in a
/// NUL, as in `/proc/PID/cmdline`.
pub fn check(data: &[u8]) {
    check_line(data);
    // One argument that is long, and many.
    if let Some((head, last)) = split_last(data)
        && let Some(long) = repeated(last)
    {
        check_line(&[head, &long].concat());
        let many = repeated(&[last, b"\0"].concat()).unwrap_or_default();
        check_line(&[head, &many].concat());
    }
}

fn check_line(data: &[u8]) {
    let (exe, argv) = words(data);
    let found = command_of(exe, &argv);
    assert_eq!(found, command_of(exe, &argv), "it depends on nothing else");
    if let Some((_, command)) = found {
        let name = argv.first().copied().unwrap_or_default();
        assert!(
            may_be_tool(exe, name),
            "an exec of it would not be looked at"
        );
        check_command(&command, data.len());
    }
}

/// What the command line means.
#[cfg(test)]
pub(crate) fn meaning(data: &[u8]) -> Option<(Tool, Command)> {
    let (exe, argv) = words(data);
    command_of(exe, &argv)
}

fn words(data: &[u8]) -> (Option<&[u8]>, Vec<&[u8]>) {
    let data = data.strip_suffix(b"\0").unwrap_or(data);
    let mut words = data.split(|&byte| byte == 0);
    let exe = words.next().filter(|exe| !exe.is_empty());
    (exe, words.collect())
}

/// The last argument, and all before it.
fn split_last(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let data = data.strip_suffix(b"\0").unwrap_or(data);
    let end = data.iter().rposition(|&byte| byte == 0)?;
    Some(data.split_at(end + 1))
}
