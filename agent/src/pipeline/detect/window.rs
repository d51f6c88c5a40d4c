//! Which execs count together: `span`.

use std::time::Duration;

use super::rule::WindowSpec;
use crate::pipeline::alert::WindowMode;
use crate::pipeline::exec::Time;

/// How long after the end of a window an exec of it may still arrive. Records of one host come by
/// two rings, tens of milliseconds apart; a second leaves room for a busy machine.
pub const LATENESS_NS: u64 = 1_000_000_000;

/// The window of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    mode: WindowMode,
    span_ns: u64,
    offset_ns: u64,
}

impl Window {
    pub fn new(spec: WindowSpec) -> Self {
        Self {
            mode: spec.mode,
            span_ns: nanoseconds(spec.span_s),
            offset_ns: nanoseconds(spec.offset_s),
        }
    }

    pub fn mode(self) -> WindowMode {
        self.mode
    }

    pub fn span_ns(self) -> u64 {
        self.span_ns
    }

    /// Grain of the bookkeeping that need not be exact.
    pub fn slice_ns(self) -> u64 {
        (self.span_ns / 64).max(1)
    }

    /// `time` on the clock by which this window goes. All moments of the detection stage that are
    /// plain numbers are on this clock.
    pub fn clock(self, time: Time) -> u64 {
        match self.mode {
            WindowMode::Sliding => time.boot_ns,
            WindowMode::Tumbling => time.wall_ns,
        }
    }

    /// How far apart two execs of one group may lie and still count together. A tumbling window
    /// sets no such limit, for there another bucket is another group.
    pub fn reach_ns(self) -> u64 {
        match self.mode {
            WindowMode::Sliding => self.span_ns,
            WindowMode::Tumbling => u64::MAX,
        }
    }

    /// The end of the bucket that holds `time`, which names the bucket; `None` when windows slide.
    pub fn bucket_end(self, time: Time) -> Option<u64> {
        match self.mode {
            WindowMode::Sliding => None,
            WindowMode::Tumbling => Some(self.end_of_bucket(time.wall_ns)),
        }
    }

    /// When the last window that holds `time` ends, on the window's clock.
    pub fn last_end(self, time: Time) -> u64 {
        let end_of_span = || time.boot_ns.saturating_add(self.span_ns);
        self.bucket_end(time).unwrap_or_else(end_of_span)
    }

    fn end_of_bucket(self, wall_ns: u64) -> u64 {
        let span = i128::from(self.span_ns);
        let offset = i128::from(self.offset_ns);
        let bucket = (i128::from(wall_ns) - offset).div_euclid(span);
        u64::try_from((bucket + 1) * span + offset).unwrap_or(u64::MAX)
    }
}

fn nanoseconds(seconds: u64) -> u64 {
    u64::try_from(Duration::from_secs(seconds).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;

    fn window(mode: WindowMode, span_s: u64, offset_s: u64) -> Window {
        Window::new(WindowSpec {
            mode,
            span_s,
            offset_s,
        })
    }

    fn check(wall_ns: u64, expected: u64) {
        let time = Time {
            boot_ns: 7,
            wall_ns,
        };
        let scheduled = window(WindowMode::Tumbling, 3600, 3000);
        assert_eq!(scheduled.bucket_end(time), Some(expected), "{wall_ns}");
    }

    #[test]
    fn a_bucket_of_the_scheduled_search_begins_at_minute_50_and_excludes_its_end() {
        check(HOUR + 50 * MINUTE, 2 * HOUR + 50 * MINUTE);
        check(2 * HOUR, 2 * HOUR + 50 * MINUTE);
        check(2 * HOUR + 50 * MINUTE - 1, 2 * HOUR + 50 * MINUTE);
        check(2 * HOUR + 50 * MINUTE, 3 * HOUR + 50 * MINUTE);
    }

    #[test]
    fn the_ends_of_time_have_buckets_too() {
        check(0, 50 * MINUTE);
        check(u64::MAX, u64::MAX);
    }

    #[test]
    fn a_sliding_window_goes_by_boot_time_and_a_tumbling_one_by_wall_time() {
        let time = Time {
            boot_ns: 1,
            wall_ns: 2,
        };
        assert_eq!(window(WindowMode::Sliding, 60, 0).clock(time), 1);
        assert_eq!(window(WindowMode::Sliding, 60, 0).bucket_end(time), None);
        assert_eq!(window(WindowMode::Tumbling, 60, 0).clock(time), 2);
    }

    #[test]
    fn the_last_window_of_a_moment_begins_there_or_is_its_bucket() {
        let time = Time {
            boot_ns: 1,
            wall_ns: 2,
        };
        let last_end = |mode| window(mode, 60, 0).last_end(time);
        assert_eq!(last_end(WindowMode::Sliding), 60 * SECOND + 1);
        assert_eq!(last_end(WindowMode::Tumbling), 60 * SECOND);
    }
}
