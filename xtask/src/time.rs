//! The clock, and times as alerts write them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jiff::Timestamp;

#[expect(
    clippy::disallowed_methods,
    reason = "how long something takes is read off the real clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970-01-01 UTC.
pub(crate) fn now_utc_ns() -> anyhow::Result<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a task measures; it decides nothing by the clock"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).context("read the clock")?;
    u64::try_from(since.as_nanos()).context("read the clock")
}

/// An RFC 3339 time as nanoseconds since 1970-01-01 UTC.
pub(crate) fn parse_utc_ns(text: &str) -> anyhow::Result<u64> {
    let time: Timestamp = text
        .parse()
        .with_context(|| format!("understand the time {text}"))?;
    u64::try_from(time.as_nanosecond()).context("understand a time before 1970")
}
