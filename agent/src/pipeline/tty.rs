//! The controlling terminal of a process: whether somebody could be sitting at it.

use std::fmt;
use std::str::FromStr;

/// The controlling terminal, as `tty_nr` in `proc_pid_stat(5)` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tty {
    /// The kernel, or the recording, does not tell.
    #[default]
    Unknown,
    /// There is none: a daemon, a job, whoever called `setsid(2)`.
    None,
    /// Its device as the kernel keeps it: major number, and minor number in the lower 20 bits.
    Device(u32),
}

/// `major:minor`, `none` or `unknown`.
impl fmt::Display for Tty {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => out.write_str("unknown"),
            Self::None => out.write_str("none"),
            Self::Device(device) => write!(out, "{}:{}", device >> 20, device & 0xf_ffff),
        }
    }
}

/// A word of a later version is taken for "unknown".
impl From<&str> for Tty {
    fn from(text: &str) -> Self {
        let device = || {
            let (major, minor) = text.split_once(':')?;
            let major = u32::from_str(major).ok().filter(|major| *major < 1 << 12)?;
            let minor = u32::from_str(minor).ok().filter(|minor| *minor < 1 << 20)?;
            Some(Self::Device(major << 20 | minor))
        };
        match text {
            "none" => Self::None,
            _ => device().unwrap_or(Self::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for tty in [
            Tty::Unknown,
            Tty::None,
            Tty::Device(136 << 20 | 3),
            Tty::Device(u32::MAX),
        ] {
            assert_eq!(Tty::from(&*tty.to_string()), tty);
        }
        assert_eq!(Tty::Device(136 << 20 | 3).to_string(), "136:3");
        for text in ["", "pts/3", "4096:0", "4:1048576", "4:", ":1", "-4:1"] {
            assert_eq!(Tty::from(text), Tty::Unknown, "{text}");
        }
    }
}
