use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::config::{Endpoint, Format, Secret, TlsSettings};
use crate::delivery::event::Event;
use crate::delivery::sink::Record;

pub(super) fn settings() -> HecSettings {
    HecSettings {
        endpoint: Endpoint {
            url: "http://localhost:8088".to_owned(),
            proxy: None,
            tls: TlsSettings::default(),
            timeout: Duration::from_secs(5),
            gzip: false,
            headers: Vec::new(),
        },
        token: Secret::Inline("hush".to_owned()),
        index: None,
        index_fallback: false,
        source: "wallwatch".to_owned(),
        sourcetype: "wallwatch:alert".to_owned(),
        acknowledge: Acknowledge::Auto,
        ack_window: Duration::from_secs(20),
    }
}

/// What the script of a server says next.
enum Says {
    Answer(u16, &'static str),
    Cut,
}
use Says::{Answer as Is, Cut};

const OK: Says = Is(200, r#"{"text":"Success","code":0}"#);

/// What was asked: `event N…` with the numbers of the events, or `ack IDS`.
type Asked = Arc<Mutex<Vec<String>>>;
type Waited = Arc<Mutex<Vec<u64>>>;

struct Script {
    answers: VecDeque<Says>,
    asked: Asked,
}

impl Exchange for Script {
    fn post(&mut self, post: &Post<'_>) -> Result<Answer, Trouble> {
        let question = match post.path {
            EVENT_PATH => {
                let envelopes = serde_json::Deserializer::from_slice(post.body).into_iter();
                let number = |envelope: Result<Value, _>| {
                    let envelope = envelope.unwrap();
                    let index = envelope["index"].as_str().unwrap_or("");
                    format!(" {}{index}", envelope["event"]["number"])
                };
                format!("event{}", envelopes.map(number).collect::<String>())
            }
            path => {
                assert_eq!(path, ACK_PATH);
                let body: Value = serde_json::from_slice(post.body).unwrap();
                format!("ack {}", body["acks"])
            }
        };
        self.asked.lock().unwrap().push(question);
        match self.answers.pop_front().expect("the script goes on") {
            Is(status, body) => Ok(Answer {
                status,
                body: body.as_bytes().to_vec(),
                retry_after: None,
                location: None,
            }),
            Cut => Err(Trouble::Retry {
                after: None,
                why: "cut".to_owned(),
            }),
        }
    }

    fn reload(&mut self) {}
}

struct Waits(Waited);

impl Pause for Waits {
    fn pause(&mut self, pause: Duration) {
        self.0.lock().unwrap().push(pause.as_secs());
    }
}

struct Fixture {
    hec: Hec,
    asked: Asked,
    waited: Waited,
}

impl Fixture {
    fn new(settings: &HecSettings, answers: Vec<Says>) -> Self {
        let (asked, waited) = (Asked::default(), Waited::default());
        let script = Script {
            answers: answers.into(),
            asked: Arc::clone(&asked),
        };
        let waits = Waits(Arc::clone(&waited));
        Self {
            hec: Hec::over(settings, Box::new(script), Box::new(waits)),
            asked,
            waited,
        }
    }

    /// Sends so many events, each filled up to that many bytes.
    fn send(&mut self, count: u64, bytes: usize) -> (usize, Option<Trouble>) {
        let fill = "x".repeat(bytes);
        let records = (0..count).map(|number| Record {
            seq: number + 1,
            json: format!(r#"{{"kind":"heartbeat","number":{number},"fill":"{fill}"}}"#).into(),
        });
        let records: Vec<_> = records.collect();
        let message = |record| Message {
            event: Event::parse(record).unwrap(),
            format: Format::Native,
        };
        let messages: Vec<_> = records.iter().map(message).collect();
        let Delivery { delivered, trouble } = self.hec.send(&messages);
        (delivered, trouble)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn waited(&self) -> Vec<u64> {
        self.waited.lock().unwrap().clone()
    }
}

fn retry(why: &str) -> Option<Trouble> {
    Some(Trouble::Retry {
        after: None,
        why: why.to_owned(),
    })
}

fn hold(why: &str) -> Option<Trouble> {
    Some(Trouble::Hold {
        why: why.to_owned(),
    })
}

fn poison(why: &str) -> Option<Trouble> {
    Some(Trouble::Poison {
        why: why.to_owned(),
    })
}

#[test]
fn without_acks_accepted_is_delivered() {
    let mut fixture = Fixture::new(&settings(), vec![OK]);
    assert_eq!(fixture.send(3, 0), (3, None));
    assert_eq!(fixture.asked(), ["event 0 1 2"]);
    assert_eq!(fixture.waited(), [0; 0]);
    assert_eq!(fixture.hec.answer().unwrap(), "200: Success (code 0)");
}

#[test]
fn with_acks_delivered_is_what_was_acknowledged() {
    let answers = vec![
        Is(200, r#"{"text":"Success","code":0,"ackId":5}"#),
        Is(200, r#"{"text":"Success","code":0,"ackId":6}"#),
        Is(200, r#"{"acks":{"5":false,"6":true}}"#),
        Cut,
        Is(503, r#"{"text":"Server is busy","code":9}"#),
        Is(200, r#"{"acks":{"5":true}}"#),
    ];
    let mut fixture = Fixture::new(&settings(), answers);
    assert_eq!(fixture.send(2, 300_000), (2, None));
    assert_eq!(
        fixture.asked(),
        [
            "event 0",
            "event 1",
            "ack [5,6]",
            "ack [5]",
            "ack [5]",
            "ack [5]"
        ]
    );
    assert_eq!(fixture.waited(), [1, 2, 5, 10]);
}

#[test]
fn what_is_not_acknowledged_within_the_window_goes_again() {
    let never = r#"{"acks":{"0":false}}"#;
    let answers = vec![
        Is(200, r#"{"text":"Success","code":0,"ackId":0}"#),
        Is(200, never),
        Is(200, never),
        Is(200, never),
        Is(200, never),
        Is(200, never),
        Is(200, r#"{"text":"Success","code":0,"ackId":1}"#),
        Is(200, r#"{"acks":{"1":true}}"#),
    ];
    let mut fixture = Fixture::new(&settings(), answers);
    let trouble = retry("not acknowledged within 20 s, so sent again");
    assert_eq!(fixture.send(1, 0), (0, trouble));
    assert_eq!(fixture.waited(), [1, 2, 5, 10, 2]);
    assert_eq!(fixture.send(1, 0), (1, None));
}

#[test]
fn an_operator_who_wants_no_acks_waits_for_none() {
    let settings = HecSettings {
        acknowledge: Acknowledge::Never,
        ..settings()
    };
    let accepted = Is(200, r#"{"text":"Success","code":0,"ackId":5}"#);
    let mut fixture = Fixture::new(&settings, vec![accepted]);
    assert_eq!(fixture.send(1, 0), (1, None));
}

#[test]
fn where_acks_turn_out_to_be_off_events_go_on_without() {
    let off = || Is(400, r#"{"text":"Ack is disabled","code":14}"#);
    let accepted = |_| Is(200, r#"{"text":"Success","code":0,"ackId":5}"#);
    let notice = hold("its acknowledgements are off: what it accepts is delivered");
    let answers = vec![off(), accepted(0), accepted(1)];
    let mut fixture = Fixture::new(&settings(), answers);
    assert_eq!(fixture.send(1, 0), (1, notice.clone()));
    assert_eq!(fixture.send(1, 0), (1, None));
    let answers = vec![accepted(0), off(), accepted(1)];
    let mut fixture = Fixture::new(&settings(), answers);
    let trouble = retry("400: Ack is disabled (code 14)");
    assert_eq!(fixture.send(1, 0), (0, trouble));
    assert_eq!(fixture.send(1, 0), (1, notice));
}

#[test]
fn the_bad_event_is_found_by_its_number_and_tried_alone() {
    let complaint = r#"{"text":"Event field is required","code":12,"invalid-event-number":2}"#;
    let alone = r#"{"text":"Event field is required","code":12,"invalid-event-number":0}"#;
    let mut fixture = Fixture::new(&settings(), vec![Is(400, complaint), OK, Is(400, alone)]);
    let trouble = poison("400: Event field is required (code 12)");
    assert_eq!(fixture.send(5, 0), (2, trouble));
    assert_eq!(fixture.asked(), ["event 0 1 2 3 4", "event 0 1", "event 2"]);
}

#[test]
fn a_receiver_that_accuses_the_wrong_event_loses_none() {
    let complaint = r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#;
    let answers = vec![Is(400, complaint), OK, OK];
    let mut fixture = Fixture::new(&settings(), answers);
    assert_eq!(fixture.send(3, 0), (3, None));
    assert_eq!(fixture.asked(), ["event 0 1 2", "event 0", "event 1 2"]);
}

#[test]
fn without_a_number_or_with_a_wrong_one_the_batch_is_halved() {
    for complaint in [
        r#"{"text":"Invalid data format","code":6}"#,
        r#"{"text":"Invalid data format","code":6,"invalid-event-number":77}"#,
    ] {
        let answers = vec![
            Is(400, complaint),
            Is(400, complaint),
            OK,
            Is(400, complaint),
        ];
        let mut fixture = Fixture::new(&settings(), answers);
        let trouble = poison("400: Invalid data format (code 6)");
        assert_eq!(fixture.send(4, 0), (1, trouble));
        let asked = ["event 0 1 2 3", "event 0 1", "event 0", "event 1"];
        assert_eq!(fixture.asked(), asked);
    }
}

#[test]
fn what_is_poison_is_said_only_when_what_came_before_is_acknowledged() {
    let complaint = r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#;
    let answers = vec![
        Is(200, r#"{"text":"Success","code":0,"ackId":0}"#),
        Is(400, complaint),
        Is(200, r#"{"acks":{"0":false}}"#),
        Is(200, r#"{"acks":{"0":true}}"#),
    ];
    let mut fixture = Fixture::new(&settings(), answers);
    let trouble = poison("400: Invalid data format (code 6)");
    assert_eq!(fixture.send(2, 300_000), (1, trouble));
}

#[test]
fn too_much_is_halved_and_a_single_event_that_is_too_large_is_poison() {
    let too_large = || Is(413, "");
    let answers = vec![too_large(), OK, too_large()];
    let mut fixture = Fixture::new(&settings(), answers);
    assert_eq!(fixture.send(2, 0), (1, poison("413")));
    assert_eq!(fixture.asked(), ["event 0 1", "event 0", "event 1"]);
}

#[test]
fn a_refused_index_is_named_or_left_out_as_the_operator_wants() {
    let refused = || {
        Is(
            400,
            r#"{"text":"Incorrect index","code":7,"invalid-event-number":0}"#,
        )
    };
    let with_index = |index_fallback| HecSettings {
        index: Some("sec".to_owned()),
        index_fallback,
        ..settings()
    };
    let mut fixture = Fixture::new(&with_index(false), vec![refused()]);
    let trouble = hold(r#"the index "sec" is refused: 400: Incorrect index (code 7)"#);
    assert_eq!(fixture.send(1, 0), (0, trouble));

    let mut fixture = Fixture::new(&with_index(true), vec![refused(), OK, OK]);
    let trouble = hold(r#"the index "sec" is refused: events go to the token's own"#);
    assert_eq!(fixture.send(1, 0), (1, trouble.clone()));
    assert_eq!(fixture.send(1, 0), (1, trouble));
    assert_eq!(fixture.asked(), ["event 0sec", "event 0", "event 0"]);

    let mut fixture = Fixture::new(&settings(), vec![refused()]);
    let trouble = hold("the token's own index is refused: 400: Incorrect index (code 7)");
    assert_eq!(fixture.send(1, 0), (0, trouble));
}

#[test]
fn another_channel_is_tried_once() {
    let missing = || Is(400, r#"{"text":"Data channel is missing","code":10}"#);
    let mut fixture = Fixture::new(&settings(), vec![missing(), OK]);
    let first = fixture.hec.channel;
    assert_eq!(fixture.send(1, 0), (1, None));
    assert_ne!(fixture.hec.channel, first);
    let mut fixture = Fixture::new(&settings(), vec![missing(), missing()]);
    let trouble = retry("400: Data channel is missing (code 10)");
    assert_eq!(fixture.send(1, 0), (0, trouble));
}

#[test]
fn a_busy_receiver_and_a_foreign_one_get_it_again_and_a_wrong_token_holds() {
    for (answer, trouble) in [
        (
            Is(503, r#"{"text":"Server is busy","code":9}"#),
            retry("503: Server is busy (code 9)"),
        ),
        (Is(200, "<html>welcome"), retry("200: <html>welcome")),
        (
            Is(401, r#"{"text":"Invalid token","code":3}"#),
            hold("401: Invalid token (code 3)"),
        ),
        (Is(404, "not here"), hold("404: not here")),
        (Cut, retry("cut")),
    ] {
        let mut fixture = Fixture::new(&settings(), vec![answer]);
        assert_eq!(fixture.send(2, 0), (0, trouble));
    }
}

#[test]
fn a_token_that_is_withdrawn_while_acks_are_awaited_holds() {
    let answers = vec![
        Is(200, r#"{"text":"Success","code":0,"ackId":0}"#),
        Is(403, r#"{"text":"Invalid token","code":4}"#),
    ];
    let mut fixture = Fixture::new(&settings(), answers);
    assert_eq!(fixture.send(1, 0), (0, hold("403: Invalid token (code 4)")));
}

#[test]
fn near_its_capacity_a_receiver_gets_batches_half_as_fast() {
    let near = || Is(200, r#"{"text":"Queue near capacity","code":24}"#);
    let mut fixture = Fixture::new(&settings(), vec![near(), near(), OK, OK, OK]);
    assert_eq!(fixture.send(5, 300_000), (5, None));
    assert_eq!(fixture.waited(), [1, 2, 1]);
}

#[test]
fn the_whole_url_may_be_pasted() {
    for (url, server) in [
        ("https://a:8088", "https://a:8088"),
        ("https://a:8088/services/collector", "https://a:8088"),
        ("https://a:8088/services/collector/event", "https://a:8088"),
        ("https://a/proxied/event", "https://a/proxied/event"),
    ] {
        assert_eq!(server_url(url), server);
    }
}

#[test]
fn an_ack_that_could_be_of_two_batches_is_of_none() {
    let accepted = || Is(200, r#"{"text":"Success","code":0,"ackId":0}"#);
    let mut fixture = Fixture::new(&settings(), vec![accepted(), accepted()]);
    let channel = fixture.hec.channel;
    let trouble = retry("the ackId 0 was given twice: is a balancer between, without stickiness?");
    assert_eq!(fixture.send(2, 300_000), (0, trouble));
    assert_ne!(fixture.hec.channel, channel);
    assert_eq!(fixture.asked(), ["event 0", "event 1"]);
}

#[test]
fn never_more_than_ten_batches_wait_for_their_acks() {
    let accepted = [
        r#"{"code":0,"ackId":0}"#,
        r#"{"code":0,"ackId":1}"#,
        r#"{"code":0,"ackId":2}"#,
        r#"{"code":0,"ackId":3}"#,
        r#"{"code":0,"ackId":4}"#,
        r#"{"code":0,"ackId":5}"#,
        r#"{"code":0,"ackId":6}"#,
        r#"{"code":0,"ackId":7}"#,
        r#"{"code":0,"ackId":8}"#,
        r#"{"code":0,"ackId":9}"#,
    ];
    let mut answers: Vec<_> = accepted.into_iter().map(|reply| Is(200, reply)).collect();
    answers.push(Is(
        200,
        r#"{"acks":{"0":true,"1":true,"2":true,"3":true,"4":true,"5":true,"6":true,"7":true,"8":true,"9":true}}"#,
    ));
    answers.push(OK);
    let mut fixture = Fixture::new(&settings(), answers);
    assert_eq!(fixture.send(11, 300_000), (11, None));
    assert_eq!(fixture.asked()[10], "ack [0,1,2,3,4,5,6,7,8,9]");

    let mut answers: Vec<_> = accepted.into_iter().map(|reply| Is(200, reply)).collect();
    answers.extend((0..5).map(|_| Is(200, r#"{"acks":{}}"#)));
    let mut fixture = Fixture::new(&settings(), answers);
    let trouble = retry("not acknowledged within 20 s, so sent again");
    // One window, and not another for the same.
    assert_eq!(fixture.send(11, 300_000), (0, trouble));
}
