//! The HEC sink against the double.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use wallwatch::config::{Acknowledge, Destination, HecSettings, Secret};
use wallwatch::delivery::sink::{Delivery, Sink, Trouble};
use wallwatch::delivery::sinks::Receiver;

use super::{check_arrived, deliver_all, endpoint, hold, is_retry, receiver, records, why};
use crate::http_double::hec::{AckManner, Flavour, Hec, TOKEN};
use crate::http_double::{Double, Fault, Reply};

fn settings(double: &Double<Hec>) -> HecSettings {
    HecSettings {
        endpoint: endpoint(double.url()),
        token: Secret::Inline(TOKEN.to_owned()),
        index: None,
        index_fallback: false,
        source: "wallwatch".to_owned(),
        sourcetype: "wallwatch:alert".to_owned(),
        acknowledge: Acknowledge::Auto,
        ack_window: Duration::from_secs(2),
    }
}

fn sink(double: &Double<Hec>) -> Receiver {
    receiver(Destination::Hec(settings(double)))
}

/// The events that the receiver has, out of their envelopes.
fn arrived(double: &Double<Hec>) -> Vec<Value> {
    let event = |envelope: &Value| envelope["event"].clone();
    double.with(|hec| hec.stored.iter().map(event).collect())
}

/// Without acks, so that nothing waits.
fn quick() -> Hec {
    Hec {
        acks_on: false,
        ..Hec::default()
    }
}

#[test]
fn acknowledged_events_are_delivered_in_order_over_one_connection() {
    let double = Double::start(Hec::default());
    let mut sink = sink(&double);
    let records = records(60);
    assert_eq!(sink.deliver(&records), Delivery::all(&records));
    check_arrived(&arrived(&double), 1..=60);
    let envelope = double.with(|hec| hec.stored[0].clone());
    assert_eq!(envelope["time"], 1_795_514_410.25);
    assert_eq!(envelope["host"], "gateway");
    assert_eq!(envelope["sourcetype"], "wallwatch:alert");
    assert_eq!(envelope.get("index"), None);
    let requests = double.requests();
    let paths: Vec<_> = requests.iter().map(|request| &*request.path).collect();
    assert_eq!(
        paths,
        ["/services/collector/event", "/services/collector/ack"]
    );
    assert!(requests[0].is_gzipped() && !requests[1].is_gzipped());
    assert_eq!(requests[0].connection, requests[1].connection);
    let channel = requests[0].header("x-splunk-request-channel").unwrap();
    assert!(uuid::Uuid::parse_str(channel).is_ok(), "{channel}");
    assert_eq!(
        requests[1].header("x-splunk-request-channel"),
        Some(channel)
    );
}

#[test]
fn fluent_bit_acknowledges_nothing_and_its_word_is_enough() {
    let double = Double::start(Hec {
        flavour: Flavour::FluentBit,
        ..Hec::default()
    });
    let mut sink = sink(&double);
    let records = records(3);
    assert_eq!(sink.deliver(&records), Delivery::all(&records));
    check_arrived(&arrived(&double), 1..=3);
    assert_eq!(sink.answer().as_deref(), Some("200: Success (code 0)"));
}

#[test]
fn what_is_never_acknowledged_goes_again_and_is_the_same() {
    let double = Double::start(Hec {
        ack_manner: AckManner::Never,
        ..Hec::default()
    });
    let mut sink = sink(&double);
    let records = records(2);
    let delivery = sink.deliver(&records);
    assert_eq!(delivery.delivered, 0);
    assert!(is_retry(delivery.trouble.as_ref()), "{delivery:?}");
    double.with(|hec| hec.ack_manner = AckManner::Honest);
    assert_eq!(sink.deliver(&records), Delivery::all(&records));
    assert_eq!(arrived(&double).len(), 4);
    check_arrived(&arrived(&double), 1..=2);
}

#[test]
fn an_acknowledgement_that_is_lost_on_its_way_costs_a_duplicate() {
    let double = Double::start(Hec::default());
    let mut sink = sink(&double);
    // The event is answered slowly, which makes room for the second fault: it is the ack's.
    double.fail([Fault::Slow(Duration::ZERO), Fault::Cut]);
    let records = records(2);
    let told = deliver_all(&mut sink, &records);
    assert_eq!(told.delivered, [1, 2]);
    assert_eq!(told.troubles.len(), 1);
    assert_eq!(arrived(&double).len(), 4);
    check_arrived(&arrived(&double), 1..=2);
}

#[test]
fn whatever_happens_to_a_connection_every_event_arrives_in_order() {
    let double = Double::start(quick());
    let mut settings = settings(&double);
    settings.endpoint.timeout = Duration::from_secs(1);
    let mut sink = receiver(Destination::Hec(settings));
    double.fail([
        Fault::Cut,
        Fault::HalfClose,
        Fault::Slow(Duration::from_secs(3)),
        Fault::Endless,
        Fault::Say(Reply::new(503, r#"{"text":"Server is busy","code":9}"#)),
        Fault::Say(Reply::new(200, "<html>sign in</html>")),
        Fault::Say(Reply::new(500, "")),
    ]);
    let told = deliver_all(&mut sink, &records(5));
    assert_eq!(told.delivered, [1, 2, 3, 4, 5]);
    assert_eq!(told.troubles.len(), 7);
    let all_retry = told.troubles.iter().all(|trouble| is_retry(Some(trouble)));
    assert!(all_retry, "{told:?}");
    check_arrived(&arrived(&double), 1..=5);
}

#[test]
fn one_bad_event_is_dead_and_the_others_arrive() {
    for keeps_the_beginning in [false, true] {
        let double = Double::start(Hec {
            dislikes: Some("event 4.".to_owned()),
            keeps_the_beginning,
            ..quick()
        });
        let told = deliver_all(&mut sink(&double), &records(7));
        assert_eq!(told.delivered, [1, 2, 3, 5, 6, 7]);
        assert_eq!(told.dead, [4]);
        let why = why(told.troubles.first());
        assert_eq!(why, "400: Error in handling indexed fields (code 15)");
        check_arrived(&arrived(&double), [1, 2, 3, 5, 6, 7]);
    }
}

#[test]
fn a_wrong_token_holds_and_is_read_anew() {
    let double = Double::start(quick());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut sink = receiver(Destination::Hec(HecSettings {
        token: Secret::File(file.clone()),
        ..settings(&double)
    }));
    let records = records(1);
    let missing = sink.deliver(&records);
    assert!(
        hold(&missing).contains(file.to_str().unwrap()),
        "{missing:?}"
    );
    assert!(double.requests().is_empty());
    fs::write(&file, "not-the-token").unwrap();
    let wrong = sink.deliver(&records);
    assert_eq!(hold(&wrong), "401: Invalid authorization (code 3)");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    assert_eq!(sink.deliver(&records), Delivery::all(&records));
    // One that is in use is kept until the reload.
    fs::write(&file, "another").unwrap();
    assert_eq!(sink.deliver(&records), Delivery::all(&records));
    sink.reload();
    assert_eq!(
        hold(&sink.deliver(&records)),
        "401: Invalid authorization (code 3)"
    );
}

#[test]
fn a_token_that_the_receiver_repeats_is_not_told() {
    let double = Double::start(quick());
    let mut sink = sink(&double);
    let long = format!("{}{TOKEN}", "x".repeat(290));
    for status in [401, 503] {
        double.fail([Fault::Say(Reply::new(status, &format!("no {TOKEN}")))]);
        let delivery = sink.deliver(&records(1));
        assert_eq!(
            why(delivery.trouble.as_ref()),
            format!("{status}: no [secret]")
        );
        double.fail([Fault::Say(Reply::new(status, &long))]);
        let delivery = sink.deliver(&records(1));
        let told = [why(delivery.trouble.as_ref()), &sink.answer().unwrap()].concat();
        assert!(!told.contains(&TOKEN[..4]), "{told}");
    }
}

#[test]
fn an_index_that_is_refused_is_named_or_left_out() {
    let double = Double::start(Hec {
        index: Some("main".to_owned()),
        ..quick()
    });
    let settings = |index_fallback| HecSettings {
        index: Some("sec".to_owned()),
        index_fallback,
        ..settings(&double)
    };
    let records = records(2);
    let delivery = receiver(Destination::Hec(settings(false))).deliver(&records);
    assert_eq!(
        hold(&delivery),
        r#"the index "sec" is refused: 400: Incorrect index (code 7)"#
    );
    let delivery = receiver(Destination::Hec(settings(true))).deliver(&records);
    assert_eq!(delivery.delivered, 2);
    assert_eq!(
        hold(&delivery),
        r#"the index "sec" is refused: events go to the token's own"#
    );
    check_arrived(&arrived(&double), 1..=2);
}

#[test]
fn a_receiver_that_says_when_to_come_back_is_heard() {
    let double = Double::start(quick());
    let mut sink = sink(&double);
    let busy = || Reply::new(429, r#"{"text":"Queue full","code":26}"#);
    let date = busy()
        .with("Date", "Tue, 24 Nov 2026 10:00:00 GMT")
        .with("Retry-After", "Tue, 24 Nov 2026 10:00:40 GMT");
    for (reply, seconds) in [(busy().with("Retry-After", "30"), 30), (date, 40)] {
        double.fail([Fault::Say(reply)]);
        let trouble = sink.deliver(&records(1)).trouble;
        let Some(Trouble::Retry { after, .. }) = trouble else {
            panic!("{trouble:?}");
        };
        assert_eq!(after, Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn too_much_is_halved_and_where_gzip_is_not_taken_nothing_is_compressed() {
    let double = Double::start(quick());
    let mut sink = sink(&double);
    double.fail([
        Fault::Say(Reply::new(415, "")),
        Fault::Say(Reply::new(413, "")),
    ]);
    let records = records(20);
    assert_eq!(sink.deliver(&records), Delivery::all(&records));
    check_arrived(&arrived(&double), 1..=20);
    let gzipped: Vec<_> = double
        .requests()
        .iter()
        .map(|request| request.is_gzipped())
        .collect();
    assert_eq!(gzipped, [true, false, false, false]);
}

#[test]
fn more_channels_than_it_takes_are_a_busy_server() {
    let double = Double::start(Hec {
        channels_max: 0,
        ..Hec::default()
    });
    let delivery = sink(&double).deliver(&records(1));
    assert!(is_retry(delivery.trouble.as_ref()), "{delivery:?}");
    assert_eq!(
        why(delivery.trouble.as_ref()),
        "503: Server is busy (code 9)"
    );
}
