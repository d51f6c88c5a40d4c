//! The double is what was recorded: each question of the transcript gets the answer that Vector 0.58 and Fluent Bit
//! 5.1.1 gave.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use ureq::Agent;

use crate::http_double::Double;
use crate::http_double::hec::{Flavour, Hec, TOKEN};

const EVENT: &str = "/services/collector/event";
const ACK: &str = "/services/collector/ack";
const GOOD: &str = r#"{"event":{"a":1}}"#;
const JSON: Option<&str> = Some("application/json");

struct Question<'a> {
    path: &'a str,
    token: Option<&'a str>,
    channel: Option<&'a str>,
    content_type: Option<&'a str>,
    gzip: bool,
    body: &'a str,
}

impl<'a> Question<'a> {
    fn new(path: &'a str, body: &'a str) -> Self {
        Self {
            path,
            token: Some(TOKEN),
            channel: Some("c"),
            content_type: JSON,
            gzip: false,
            body,
        }
    }
}

struct Asker {
    double: Double<Hec>,
    agent: Agent,
}

impl Asker {
    fn new(hec: Hec) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false);
        Self {
            double: Double::start(hec),
            agent: config.build().new_agent(),
        }
    }

    fn vector() -> Self {
        Self::new(Hec::default())
    }

    fn fluent_bit() -> Self {
        Self::new(Hec {
            flavour: Flavour::FluentBit,
            ..Hec::default()
        })
    }

    fn ask(&self, question: &Question<'_>) -> String {
        let url = format!("{}{}", self.double.url(), question.path);
        let mut request = self.agent.post(url);
        if let Some(token) = question.token {
            request = request.header("Authorization", format!("Splunk {token}"));
        }
        if let Some(channel) = question.channel {
            request = request.header("X-Splunk-Request-Channel", channel);
        }
        if let Some(content_type) = question.content_type {
            request = request.header("Content-Type", content_type);
        }
        let mut body = question.body.as_bytes().to_vec();
        if question.gzip {
            request = request.header("Content-Encoding", "gzip");
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
        told(request.send(&body).unwrap())
    }

    fn post(&self, path: &str, body: &str) -> String {
        self.ask(&Question::new(path, body))
    }

    fn get(&self, path: &str) -> String {
        told(
            self.agent
                .get(format!("{}{path}", self.double.url()))
                .call()
                .unwrap(),
        )
    }
}

/// `STATUS BODY`.
fn told(mut response: ureq::http::Response<ureq::Body>) -> String {
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().unwrap();
    format!("{status} {body}").trim_end().to_owned()
}

#[test]
fn events_one_by_one_and_three_behind_each_other() {
    let (vector, fluent_bit) = (Asker::vector(), Asker::fluent_bit());
    assert_eq!(
        vector.post(EVENT, GOOD),
        r#"200 {"text":"Success","code":0,"ackId":0}"#
    );
    let accepted = r#"200 {"text":"Success","code":0}"#;
    assert_eq!(fluent_bit.post(EVENT, GOOD), accepted);
    let three = format!("{GOOD}\n{GOOD}{GOOD}");
    let gzipped = Question {
        gzip: true,
        ..Question::new("/services/collector", &three)
    };
    assert_eq!(
        vector.ask(&gzipped),
        r#"200 {"text":"Success","code":0,"ackId":1}"#
    );
    assert_eq!(fluent_bit.ask(&gzipped), accepted);
}

#[test]
fn an_ack_is_true_once() {
    let vector = Asker::vector();
    for _ in 0..3 {
        vector.post(EVENT, GOOD);
    }
    let asked = r#"{"acks":[0,1,2,99]}"#;
    assert_eq!(
        vector.post(ACK, asked),
        r#"200 {"acks":{"0":true,"1":true,"2":true,"99":false}}"#
    );
    assert_eq!(
        vector.post(ACK, asked),
        r#"200 {"acks":{"0":false,"1":false,"2":false,"99":false}}"#
    );
    let fluent_bit = Asker::fluent_bit();
    assert_eq!(
        fluent_bit.post(ACK, asked),
        r#"400 {"text":"Invalid endpoint"}"#
    );
}

#[test]
fn how_an_ack_is_asked_for() {
    let vector = Asker::vector();
    vector.post(EVENT, GOOD);
    let asked = r#"{"acks":[0]}"#;
    let question = || Question::new(ACK, asked);
    let no_type = Question {
        content_type: None,
        ..question()
    };
    assert_eq!(vector.ask(&no_type), "415");
    let gzipped = Question {
        gzip: true,
        ..question()
    };
    assert_eq!(vector.ask(&gzipped), "400");
    let in_the_query = Question {
        path: "/services/collector/ack?channel=c",
        channel: None,
        ..question()
    };
    assert_eq!(vector.ask(&in_the_query), r#"200 {"acks":{"0":true}}"#);
}

#[test]
fn acks_want_a_channel_and_may_be_off() {
    let no_channel = Question {
        channel: None,
        ..Question::new(EVENT, GOOD)
    };
    assert_eq!(
        Asker::vector().ask(&no_channel),
        r#"400 {"text":"Data channel is missing","code":10}"#
    );
    let off = Asker::new(Hec {
        acks_on: false,
        ..Hec::default()
    });
    assert_eq!(
        off.post(ACK, r#"{"acks":[0]}"#),
        r#"400 {"text":"Ack is disabled","code":14}"#
    );
}

#[test]
fn events_that_are_wrong() {
    let (vector, fluent_bit) = (Asker::vector(), Asker::fluent_bit());
    let no_event = format!("{GOOD}{{\"host\":\"x\"}}");
    assert_eq!(
        vector.post(EVENT, &no_event),
        r#"400 {"text":"Event field is required","code":12,"invalid-event-number":1}"#
    );
    assert_eq!(
        fluent_bit.post(EVENT, &no_event),
        r#"200 {"text":"Success","code":0}"#
    );
    assert_eq!(
        vector.post(EVENT, r#"{"event":""}"#),
        r#"400 {"text":"Event field cannot be blank","code":13,"invalid-event-number":0}"#
    );
    let broken = format!("{GOOD}{{\"event\":");
    assert_eq!(
        vector.post(EVENT, &broken),
        r#"400 {"text":"Invalid data format","code":6,"invalid-event-number":1}"#
    );
    assert_eq!(
        fluent_bit.post(EVENT, &broken),
        r#"400 {"text":"Invalid data format","code":6}"#
    );
    let no_data = r#"400 {"text":"No data","code":5}"#;
    assert_eq!(vector.post(EVENT, ""), no_data);
    assert_eq!(fluent_bit.post(EVENT, ""), no_data);
}

#[test]
fn tokens_that_are_wrong() {
    let (vector, fluent_bit) = (Asker::vector(), Asker::fluent_bit());
    let without = Question {
        token: None,
        ..Question::new(EVENT, GOOD)
    };
    let required = r#"401 {"text":"Token is required","code":2}"#;
    assert_eq!(vector.ask(&without), required);
    assert_eq!(fluent_bit.ask(&without), required);
    let wrong = Question {
        token: Some("other"),
        ..Question::new(EVENT, GOOD)
    };
    assert_eq!(
        vector.ask(&wrong),
        r#"401 {"text":"Invalid authorization","code":3}"#
    );
    assert_eq!(
        fluent_bit.ask(&wrong),
        r#"403 {"text":"Invalid token","code":4}"#
    );
}

#[test]
fn health() {
    let (vector, fluent_bit) = (Asker::vector(), Asker::fluent_bit());
    let healthy = r#"200 {"text":"HEC is healthy","code":17}"#;
    let path = "/services/collector/health";
    assert_eq!(vector.get(path), healthy);
    assert_eq!(vector.get(&format!("{path}/1.0")), healthy);
    assert_eq!(fluent_bit.get(path), r#"200 {"text":"Success","code":200}"#);
    let status = fluent_bit.get(&format!("{path}/1.0"));
    assert!(status.starts_with("400"), "{status}");
}

#[test]
fn more_than_it_remembers() {
    let vector = Asker::new(Hec {
        pending_max: 3,
        channels_max: 2,
        ..Hec::default()
    });
    for id in 0..5 {
        let accepted = format!(r#"200 {{"text":"Success","code":0,"ackId":{id}}}"#);
        assert_eq!(vector.post(EVENT, GOOD), accepted);
    }
    assert_eq!(
        vector.post(ACK, r#"{"acks":[0,1,2,3,4]}"#),
        r#"200 {"acks":{"0":false,"1":false,"2":true,"3":true,"4":true}}"#
    );
    for (channel, answer) in [
        ("d", r#"200 {"text":"Success","code":0,"ackId":0}"#),
        ("e", r#"503 {"text":"Server is busy","code":9}"#),
    ] {
        let question = Question {
            channel: Some(channel),
            ..Question::new(EVENT, GOOD)
        };
        assert_eq!(vector.ask(&question), answer);
    }
}
