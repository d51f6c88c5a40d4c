//! What is said about alerts on their way, and sinks that are told to read anew what they rest on.

use super::*;
use crate::pipeline::watch::NoticeKind;

/// Of each sink that missed something: the first number and how many.
pub(super) fn dropped(notices: &[Notice]) -> Vec<(String, u64, u64)> {
    let dropped = notices.iter().filter_map(|notice| match notice.kind {
        NoticeKind::AlertsDropped {
            first_seq, records, ..
        } => Some((notice.sink.clone(), first_seq, records)),
        NoticeKind::SinkHeld { .. }
        | NoticeKind::SinkResumed
        | NoticeKind::DeadLetters { .. }
        | NoticeKind::Test => None,
    });
    dropped.collect()
}

fn told(writer: &Writer, want: usize) -> Vec<&'static str> {
    let mut told = Vec::new();
    for _ in 0..LONG.as_millis() {
        told.extend(writer.notices().iter().map(|notice| notice.kind.as_str()));
        if told.len() >= want {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    told
}

fn held(why: &str) -> Delivery {
    Delivery {
        delivered: 0,
        trouble: Some(Trouble::Hold {
            why: why.to_owned(),
        }),
    }
}

/// A minute must pass before a sink that holds is tried again, unless it is told to read everything anew.
#[test]
fn a_sink_that_holds_says_so_once_and_goes_on_when_it_is_reloaded() {
    let disk = SimulatedDisk::default();
    let (sink, strings) = puppet("hec");
    let writer = on(&disk, vec![sink]);
    accept(&writer, 1..=1);
    strings.orders.send(held("401")).unwrap();
    assert_eq!(strings.handed.recv_timeout(LONG).unwrap(), [1]);
    assert_eq!(told(&writer, 1), ["sink-held"]);
    strings.orders.send(held("403")).unwrap();
    writer.reload_sinks();
    assert_eq!(strings.handed.recv_timeout(LONG).unwrap(), [1]);
    wait_until(|| writer.store_books().sinks[0].in_trouble);
    drop(strings.orders);
    writer.reload_sinks();
    assert_eq!(strings.handed.recv_timeout(LONG).unwrap(), [1]);
    assert_eq!(told(&writer, 1), ["sink-resumed"]);
    assert_eq!(writer.shutdown(LONG).store.sinks[0].delivered, 1);
}

#[test]
fn dead_letters_are_told_and_a_notice_that_is_one_is_not() {
    let disk = SimulatedDisk::default();
    let (sink, strings) = puppet("hec");
    let writer = on(&disk, vec![sink]);
    let refuse = || {
        let why = "not an event".to_owned();
        strings
            .orders
            .send(Delivery {
                delivered: 0,
                trouble: Some(Trouble::Poison { why }),
            })
            .unwrap();
    };
    refuse();
    let notice = b"{\"schema\":\"wallwatch.self/1\",\"kind\":\"self\"}\n";
    assert_eq!(writer.accept(notice.to_vec()), Accepted::Queued);
    wait_until(|| writer.store_books().sinks[0].dead_letters == 1);
    assert_eq!(writer.notices(), []);
    refuse();
    accept(&writer, 2..=2);
    assert_eq!(told(&writer, 1), ["dead-letters"]);
    drop(strings.orders);
    writer.shutdown(LONG);
}

/// A sink over a network, whose receiver says nothing.
struct Mute(Box<dyn Sink>);

impl Sink for Mute {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn deliver(&mut self, records: &[Record]) -> Delivery {
        self.0.deliver(records)
    }

    fn can_be_left(&self) -> bool {
        true
    }
}

#[test]
fn a_receiver_that_says_nothing_is_left_when_the_agent_stops_and_asked_again_by_the_next_run() {
    let disk = SimulatedDisk::default();
    let ((mute, mute_strings), (file, file_strings)) = (puppet("mute"), puppet("file"));
    drop(file_strings.orders);
    let writer = on(&disk, vec![Box::new(Mute(mute)), file]);
    accept(&writer, 1..=3);
    let first = mute_strings.handed.recv_timeout(LONG).unwrap();
    assert_eq!(first[0], 1);
    // It would wait for ever.
    let books = writer.shutdown(LONG * 60).store;
    assert_eq!((books.sinks[0].delivered, books.sinks[1].delivered), (0, 3));
    let (next, strings) = puppet("mute");
    drop(strings.orders);
    on(&disk, vec![next]).shutdown(LONG);
    assert_eq!(all(&strings.handed), [1, 2, 3]);
    // Until here the first one waited.
    drop(mute_strings);
}
