//! The bounded queue before one destination, and the thread behind it, so that no destination can
//! hold up the detection or another one.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What may be written in one go before it is synced.
const BATCH_LINES_MAX: usize = 64;
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Of all lines that wait; holds whatever the number of lines may be, for lines differ a lot.
pub(super) const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
const TICK: Duration = Duration::from_secs(1);
/// After a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// After a failure while the agent stops and little time is left.
const RETRY_AFTER_WHILE_CLOSING: Duration = Duration::from_millis(100);

/// Something that takes lines, in order.
pub(super) trait Log: Send {
    type Error: Error + Send;

    /// Appends all of `lines`, each of which ends in LF.
    fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), AppendError<Self::Error>>;

    /// Called between batches, and once a second where none come.
    fn tick(&mut self) {}

    /// How long a line may wait for others, so that one sync serves many.
    fn company(&self) -> Duration {
        Duration::ZERO
    }

    /// Called when no more lines come.
    fn finish(&mut self) {}
}

/// What went wrong with a batch.
pub(super) struct AppendError<E> {
    pub(super) error: E,
    pub(super) outcome: Outcome,
}

/// What became of the lines of a batch with which something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The first ones were written; the others can be tried again.
    Written(usize),
    /// The first ones were written; it is no use to try the others again.
    Gone(usize),
}

/// Whether a line will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    Queued,
    /// The queue is full, or its destination is gone.
    Dropped,
}

/// What became of the lines of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    pub written: u64,
    /// Refused because the queue was full, or given up with their destination.
    pub dropped: u64,
    /// Not written yet.
    pub waiting: u64,
    /// Batches that were not written at the first try.
    pub faults: u64,
}

pub(super) struct Queue {
    shared: Arc<Shared>,
    lines_max: usize,
}

impl Queue {
    pub(super) fn spawn(
        name: &'static str,
        log: impl Log + 'static,
        lines_max: usize,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write(name, log, &theirs))?;
        Ok(Self { shared, lines_max })
    }

    /// Never waits for the destination.
    pub(super) fn accept(&self, line: Vec<u8>) -> Accepted {
        let mut state = self.shared.lock();
        let is_full = state.counts.waiting >= self.lines_max as u64
            || state.waiting_bytes + line.len() > QUEUE_BYTES_MAX;
        if is_full || state.stage != Stage::Open {
            state.counts.dropped += 1;
            return Accepted::Dropped;
        }
        state.counts.waiting += 1;
        state.waiting_bytes += line.len();
        state.lines.push_back(line);
        self.shared.changed.notify_all();
        Accepted::Queued
    }

    pub(super) fn counts(&self) -> LineCounts {
        self.shared.lock().counts
    }

    /// Lets the thread end once everything is written.
    pub(super) fn close(&self) {
        self.shared.advance(Stage::Closing);
    }

    /// Waits until it has, at most for `deadline`; what waits then is given up. Whether it has.
    pub(super) fn wait(&self, deadline: Duration) -> bool {
        let shared = &*self.shared;
        let waits = |state: &mut State| state.stage < Stage::Ended;
        let waited = shared
            .changed
            .wait_timeout_while(shared.lock(), deadline, waits);
        let has_ended = waited.unwrap_or_else(PoisonError::into_inner).0.stage == Stage::Ended;
        shared.advance(Stage::Ended);
        has_ended
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.advance(Stage::Ended);
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of these lines and of those in the thread's hands.
    waiting_bytes: usize,
    counts: LineCounts,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Open,
    /// No more lines come.
    Closing,
    /// No more lines are written.
    Ended,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds it can fail half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, stage: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(stage);
        self.changed.notify_all();
    }

    /// Waits until it `is_enough`, or the queue is closed, or it has been so long.
    fn wait<'s>(
        &'s self,
        state: MutexGuard<'s, State>,
        how_long: Duration,
        is_enough: impl Fn(&State) -> bool,
    ) -> MutexGuard<'s, State> {
        let waits = |state: &mut State| state.stage == Stage::Open && !is_enough(state);
        let waited = self.changed.wait_timeout_while(state, how_long, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for lines, a second at most, and then for others, for `company` at most; fills `batch` up with them.
    /// Whether there may be more, now or later.
    fn fill(&self, batch: &mut Vec<Vec<u8>>, company: Duration) -> bool {
        let is_any = |state: &State| !batch.is_empty() || !state.lines.is_empty();
        let mut state = self.wait(self.lock(), TICK, is_any);
        if is_any(&state) && !company.is_zero() {
            let is_many = |state: &State| state.lines.len() >= BATCH_LINES_MAX;
            state = self.wait(state, company, is_many);
        }
        if state.stage == Stage::Ended {
            batch.clear();
            return false;
        }
        let mut bytes: usize = batch.iter().map(Vec::len).sum();
        while batch.len() < BATCH_LINES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(line) = state.lines.pop_front() else {
                break;
            };
            bytes += line.len();
            batch.push(line);
        }
        state.stage == Stage::Open || !batch.is_empty()
    }

    /// Takes the lines that were written out of `batch`.
    fn settle(&self, batch: &mut Vec<Vec<u8>>, written: usize) {
        let bytes: usize = batch.drain(..written).map(|line| line.len()).sum();
        let mut state = self.lock();
        state.waiting_bytes -= bytes;
        state.counts.waiting -= written as u64;
        state.counts.written += written as u64;
    }

    fn count_fault(&self) {
        self.lock().counts.faults += 1;
    }

    /// Waits until it is time to try again.
    fn pause(&self) {
        let wait = |delay, until| {
            let (state, _) = self
                .changed
                .wait_timeout_while(self.lock(), delay, |state| state.stage < until)
                .unwrap_or_else(PoisonError::into_inner);
            state.stage
        };
        if wait(RETRY_AFTER, Stage::Closing) == Stage::Closing {
            wait(RETRY_AFTER_WHILE_CLOSING, Stage::Ended);
        }
    }

    /// Everything that waits is lost, and nothing more is taken.
    fn give_up(&self) -> u64 {
        let mut state = self.lock();
        state.stage = Stage::Ended;
        let lost = std::mem::take(&mut state.counts.waiting);
        state.counts.dropped += lost;
        state.lines.clear();
        state.waiting_bytes = 0;
        lost
    }
}

/// How the last batch went, so that only a change is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Well,
    Failing,
}

/// The thread: batch after batch, the lines of a failed one first.
fn write(name: &'static str, mut log: impl Log, shared: &Shared) {
    let mut batch = Vec::new();
    let mut health = Health::Well;
    while shared.fill(&mut batch, log.company()) {
        log.tick();
        let n_lines = batch.len();
        if n_lines == 0 {
            continue;
        }
        let before = health;
        let Err(AppendError { error, outcome }) = log.append(&batch) else {
            shared.settle(&mut batch, n_lines);
            health = Health::Well;
            if before != health {
                tracing::info!(log = name, "alerts are written again");
            }
            continue;
        };
        let error = Chain(&error);
        match outcome {
            Outcome::Written(written) => {
                shared.count_fault();
                shared.settle(&mut batch, written);
                health = Health::Failing;
                if before != health {
                    tracing::warn!(log = name, %error, "alerts cannot be written, trying again");
                }
                shared.pause();
            }
            Outcome::Gone(written) => {
                shared.count_fault();
                shared.settle(&mut batch, written);
                let lost = shared.give_up();
                tracing::error!(log = name, %error, lost, "alerts are not written any more");
                break;
            }
        }
    }
    log.finish();
    shared.advance(Stage::Ended);
}

/// An error and its causes in one line.
pub(super) struct Chain<'a, E>(pub(super) &'a E);

impl<E: Error> std::fmt::Display for Chain<'_, E> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Says which lines it was handed, then does what it is told: writes all of them, or fails so.
    struct Puppet {
        handed: Sender<Vec<String>>,
        orders: Receiver<Option<Outcome>>,
    }

    impl Log for Puppet {
        type Error = io::Error;

        fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), AppendError<io::Error>> {
            let texts = lines
                .iter()
                .map(|line| String::from_utf8_lossy(line).into());
            self.handed.send(texts.collect()).unwrap();
            // Whoever gives no more orders wants all of them written.
            match self.orders.recv().unwrap_or(ALL) {
                None => Ok(()),
                Some(outcome) => Err(AppendError {
                    error: io::ErrorKind::StorageFull.into(),
                    outcome,
                }),
            }
        }
    }

    struct Rig {
        queue: Queue,
        handed: Receiver<Vec<String>>,
        orders: Sender<Option<Outcome>>,
    }

    fn rig(lines_max: usize) -> Rig {
        let (handed_to_us, handed) = channel();
        let (orders, orders_to_them) = channel();
        let puppet = Puppet {
            handed: handed_to_us,
            orders: orders_to_them,
        };
        Rig {
            queue: Queue::spawn("test", puppet, lines_max).unwrap(),
            handed,
            orders,
        }
    }

    fn line(text: &str) -> Vec<u8> {
        text.into()
    }

    const ALL: Option<Outcome> = None;

    #[test]
    fn lines_are_written_in_order_and_all_of_them_before_the_end() {
        let Rig {
            queue,
            handed,
            orders,
        } = rig(1000);
        drop(orders);
        let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        for text in &expected {
            assert_eq!(queue.accept(line(text)), Accepted::Queued);
        }
        queue.close();
        assert!(queue.wait(LONG));
        let counts = queue.counts();
        let batches: Vec<_> = handed.try_iter().collect();
        assert!(batches.iter().all(|batch| batch.len() <= BATCH_LINES_MAX));
        assert_eq!(batches.concat(), expected);
        assert_eq!(
            (counts.written, counts.waiting, counts.dropped),
            (200, 0, 0)
        );
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_the_lines_being_written_are_in_it() {
        let Rig {
            queue,
            handed,
            orders,
        } = rig(3);
        assert_eq!(queue.accept(line("a")), Accepted::Queued);
        assert_eq!(handed.recv().unwrap(), ["a"]);
        assert_eq!(queue.accept(line("b")), Accepted::Queued);
        assert_eq!(queue.accept(line("c")), Accepted::Queued);
        assert_eq!(queue.accept(line("d")), Accepted::Dropped);
        orders.send(ALL).unwrap();
        assert_eq!(handed.recv().unwrap(), ["b", "c"]);
        assert_eq!(queue.accept(line("e")), Accepted::Queued);
        assert_eq!(queue.accept(line("f")), Accepted::Dropped);
        drop(orders);
        queue.close();
        assert!(queue.wait(LONG));
        let counts = queue.counts();
        assert_eq!((counts.written, counts.dropped), (4, 2));
    }

    #[test]
    fn the_bytes_that_wait_are_bounded_too() {
        let Rig {
            queue,
            handed,
            orders,
        } = rig(usize::MAX);
        let half = QUEUE_BYTES_MAX / 2;
        assert_eq!(queue.accept(vec![b'x'; half]), Accepted::Queued);
        handed.recv().unwrap();
        assert_eq!(queue.accept(vec![b'x'; half]), Accepted::Queued);
        assert_eq!(queue.accept(line("x")), Accepted::Dropped);
        orders.send(ALL).unwrap();
        handed.recv().unwrap();
        assert_eq!(queue.accept(line("x")), Accepted::Queued);
    }

    #[test]
    fn what_was_not_written_is_tried_again_before_anything_else() {
        let Rig {
            queue,
            handed,
            orders,
        } = rig(1000);
        queue.accept(line("a"));
        assert_eq!(handed.recv().unwrap(), ["a"]);
        for text in ["b", "c", "d"] {
            queue.accept(line(text));
        }
        orders.send(Some(Outcome::Written(0))).unwrap();
        queue.close();
        assert_eq!(handed.recv().unwrap(), ["a", "b", "c", "d"]);
        orders.send(Some(Outcome::Written(2))).unwrap();
        assert_eq!(handed.recv().unwrap(), ["c", "d"]);
        orders.send(ALL).unwrap();
        assert!(queue.wait(LONG));
        assert_eq!(
            queue.counts(),
            LineCounts {
                written: 4,
                dropped: 0,
                waiting: 0,
                faults: 2,
            }
        );
    }

    #[test]
    fn a_destination_that_is_gone_takes_nothing_any_more() {
        let Rig {
            queue,
            handed,
            orders,
        } = rig(1000);
        queue.accept(line("a"));
        handed.recv().unwrap();
        queue.accept(line("b"));
        orders.send(Some(Outcome::Gone(0))).unwrap();
        queue.close();
        assert!(queue.wait(LONG));
        let counts = queue.counts();
        assert_eq!((counts.written, counts.dropped, counts.waiting), (0, 2, 0));
        assert_eq!(queue.accept(line("c")), Accepted::Dropped);
    }

    #[test]
    fn the_end_does_not_wait_for_a_destination_that_hangs() {
        let Rig {
            queue,
            handed,
            orders,
        } = rig(1000);
        queue.accept(line("a"));
        handed.recv().unwrap();
        queue.accept(line("b"));
        queue.close();
        assert_eq!(queue.accept(line("c")), Accepted::Dropped);
        assert!(!queue.wait(Duration::from_millis(1)));
        assert_eq!(queue.counts().waiting, 2);
        drop(orders);
    }
}
