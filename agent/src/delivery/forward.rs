//! The thread of one sink: records, delivery, cursor; with pauses where something is wrong.

use std::time::Duration;

use crate::config::EventKind;

use super::backoff::Backoff;
use super::dead_letter;
use super::event::Event;
use super::feed::{Feed, ReadAhead};
use super::sink::{Delivery, Record, Sink, Trouble};

/// Between two tries where somebody has to change something first.
const HOLD_RETRY: Duration = Duration::from_secs(60);

/// Delivers what the feed has for the sink with that index, until there will be no more.
pub(super) fn forward(sink: &mut dyn Sink, index: usize, feed: &Feed, seed: u64) {
    let mut backoff = Backoff::new(seed);
    let mut ahead = ReadAhead::default();
    let mut said = None;
    let mut generation = feed.generation();
    'batches: while let Some(batch) = feed.next(index, &mut ahead) {
        let newest = feed.generation();
        if newest != generation {
            generation = newest;
            sink.reload();
            backoff.reset();
        }
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let Delivery {
                delivered,
                mut trouble,
            } = sink.deliver(rest);
            if delivered == 0 && trouble.is_none() {
                let why = "nothing was delivered, and no reason given".to_owned();
                trouble = Some(Trouble::Retry { after: None, why });
            }
            let (done, left) = rest.split_at(delivered.min(rest.len()));
            rest = left;
            if !done.is_empty() {
                backoff.reset();
                feed.notices().resumed(sink.name());
            }
            let words = trouble.as_ref().map(|trouble| why(trouble).to_owned());
            say(sink.name(), words.as_deref(), &mut said);
            let (Some(trouble), Some(first)) = (trouble, rest.first()) else {
                feed.settle(index, done, &[], words);
                continue;
            };
            let pause = match trouble {
                Trouble::Retry { after, .. } => {
                    let pause = backoff.next(sink.retry_max());
                    Some(pause.max(after.unwrap_or_default()))
                }
                Trouble::Hold { why } => {
                    feed.notices().held(sink.name(), &why);
                    Some(HOLD_RETRY)
                }
                Trouble::Poison { why } => match bury(feed, sink.name(), first, &why) {
                    true => None,
                    false => Some(backoff.next(sink.retry_max())),
                },
            };
            let Some(pause) = pause else {
                let (dead, left) = rest.split_at(1);
                rest = left;
                feed.settle(index, done, dead, None);
                continue;
            };
            feed.settle(index, done, &[], words);
            if !feed.pause(pause, generation) {
                break 'batches;
            }
            // What was dropped meanwhile must not be delivered after all.
            continue 'batches;
        }
    }
    feed.end_of(index);
}

/// Puts a record where those are kept that a receiver will never take; whether it lasts there.
fn bury(feed: &Feed, sink: &str, record: &Record, why: &str) -> bool {
    let seq = record.seq;
    tracing::error!(sink, seq, why, "an alert is refused for good");
    let is_notice = Event::parse(record).is_ok_and(|event| event.kind() == EventKind::Own);
    if !is_notice {
        feed.notices().dead_letter(sink, seq, why);
    }
    let Some(place) = &feed.place else {
        return true;
    };
    match dead_letter::keep(&*place.disk, &place.directory, sink, record, why) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(sink, seq, %error, "and cannot be kept as a dead letter");
            false
        }
    }
}

fn why(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Retry { why, .. } | Trouble::Hold { why } | Trouble::Poison { why } => why,
    }
}

/// Says only what is new.
fn say(sink: &str, trouble: Option<&str>, said: &mut Option<String>) {
    if trouble == said.as_deref() {
        return;
    }
    match trouble {
        Some(why) => tracing::warn!(sink, why, "alerts are not delivered as they should be"),
        None => tracing::info!(sink, "alerts are delivered again"),
    }
    *said = trouble.map(str::to_owned);
}
