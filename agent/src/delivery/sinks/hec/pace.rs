//! How fast batches follow each other: a receiver near its capacity gets them half as fast.

use std::time::Duration;

/// Lets time pass. Tests do not wait.
pub(super) trait Pause: Send {
    fn pause(&mut self, pause: Duration);
}

pub(super) struct Sleep;

impl Pause for Sleep {
    fn pause(&mut self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(64);

/// Between two batches. It doubles while the receiver is near its capacity, and halves when it is not any more.
#[derive(Debug, Default)]
pub(super) struct Pace(Duration);

impl Pace {
    pub(super) fn wait(&self, pause: &mut dyn Pause) {
        if !self.0.is_zero() {
            pause.pause(self.0);
        }
    }

    pub(super) fn heard(&mut self, near_capacity: bool) {
        self.0 = match (near_capacity, self.0 / 2) {
            (true, _) => (self.0 * 2).clamp(FIRST, MAX),
            (false, half) if half < FIRST => Duration::ZERO,
            (false, half) => half,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_near_its_capacity_is_spared_until_it_is_not() {
        let mut pace = Pace::default();
        let mut pauses = |answers: &[bool]| {
            let pause = |near_capacity: &bool| {
                pace.heard(*near_capacity);
                pace.0.as_secs()
            };
            answers.iter().map(pause).collect::<Vec<_>>()
        };
        assert_eq!(pauses(&[true; 8]), [1, 2, 4, 8, 16, 32, 64, 64]);
        assert_eq!(pauses(&[false; 8]), [32, 16, 8, 4, 2, 1, 0, 0]);
    }
}
