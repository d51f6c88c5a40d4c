//! Exit statuses: those of `sysexits.h` where it has one.

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Success = 0,
    /// `check`: the configuration is not valid. `doctor`: a check failed, neither for the kernel nor for
    /// want of permission. `explain`: the log has no finding of that id, or more than one.
    /// `alerts`: there is none with that id. `spool`: something was missed, is in trouble, or was
    /// not delivered in time. `sinks`: one of them did not take the test.
    Found = 1,
    /// The command line is wrong.
    Usage = 64,
    /// Part of the input could not be read; the rest was processed.
    DataError = 65,
    /// The input could not be opened.
    NoInput = 66,
    /// The kernel lacks what the sensor needs.
    Unavailable = 69,
    /// A fault of the program itself.
    Software = 70,
    /// Reading or writing failed.
    IoError = 74,
    /// A capability is missing.
    NoPermission = 77,
    /// The configuration cannot be used.
    Config = 78,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
