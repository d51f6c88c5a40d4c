//! What a check comes to, and what all of them come to.

use serde_json::{Map, Value};

use crate::exit_code::ExitCode;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    /// Watching works, less well or not for long.
    Warn,
    /// Watching does not work, or not as it is configured.
    Fail,
    /// It could not be found out, or means nothing here.
    Skip,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// Why watching does not work, as far as the exit status tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel lacks what the sensor needs.
    Kernel,
    /// The caller may not do it.
    Permission,
    Other,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// A name that stays: scripts look for it.
    pub name: &'static str,
    pub status: Status,
    /// What keeps watching from working; also of the canary that could not be let go.
    pub cause: Option<Cause>,
    /// One sentence. May hold any text of the host.
    pub found: String,
    /// What to do about it, unless there is nothing to do.
    pub remedy: Option<String>,
    /// What a program may want to know.
    pub values: Map<String, Value>,
}

impl Check {
    fn new(name: &'static str, status: Status, found: impl Into<String>) -> Self {
        Self {
            name,
            status,
            cause: None,
            found: found.into(),
            remedy: None,
            values: Map::new(),
        }
    }

    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, found)
    }

    pub fn warn(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, found)
    }

    pub fn fail(name: &'static str, cause: Cause, found: impl Into<String>) -> Self {
        Self {
            cause: Some(cause),
            ..Self::new(name, Status::Fail, found)
        }
    }

    pub fn skip(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Status::Skip, found)
    }

    #[must_use]
    pub fn because(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    #[must_use]
    pub fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }
}

/// All checks, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub checks: Vec<Check>,
}

impl Report {
    pub fn count(&self, status: Status) -> usize {
        let checks = self.checks.iter();
        checks.filter(|check| check.status == status).count()
    }

    /// A kernel that lacks something comes first: no permission helps there.
    pub fn exit_code(&self) -> ExitCode {
        let is_caused_by = |cause| self.checks.iter().any(|check| check.cause == Some(cause));
        if is_caused_by(Cause::Kernel) {
            ExitCode::Unavailable
        } else if is_caused_by(Cause::Permission) {
            ExitCode::NoPermission
        } else if is_caused_by(Cause::Other) {
            ExitCode::Found
        } else {
            ExitCode::Success
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_names_the_cause_that_weighs_most() {
        let code = |checks: &[Check]| {
            let checks = checks.to_vec();
            Report { checks }.exit_code()
        };
        let (ok, warn) = (Check::ok("a", ""), Check::warn("b", ""));
        let other = Check::fail("c", Cause::Other, "");
        let permission = Check::skip("d", "").because(Cause::Permission);
        let kernel = Check::fail("e", Cause::Kernel, "");
        assert_eq!(code(&[]), ExitCode::Success);
        assert_eq!(
            code(&[ok.clone(), warn, Check::skip("f", "")]),
            ExitCode::Success
        );
        assert_eq!(code(&[other.clone(), ok]), ExitCode::Found);
        assert_eq!(
            code(&[other.clone(), permission.clone()]),
            ExitCode::NoPermission
        );
        assert_eq!(code(&[other, permission, kernel]), ExitCode::Unavailable);
    }
}
