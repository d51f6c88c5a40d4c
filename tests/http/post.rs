//! The generic sink: each answer to what it posts.

use wallwatch::config::{Destination, HttpBody, HttpSettings, Secret};
use wallwatch::delivery::sink::{Delivery, Sink, Trouble};
use wallwatch::delivery::sinks::Receiver;

use super::{check_arrived, deliver_all, endpoint, hold, receiver, records, why};
use crate::http_double::{Double, Fault, Reply, Request, Service, objects};

/// Refuses requests that have a text in them; keeps the others.
#[derive(Default)]
struct Picky {
    dislikes: Option<&'static str>,
    bodies: Vec<Vec<u8>>,
}

impl Service for Picky {
    fn answer(&mut self, request: &Request) -> Reply {
        let text = String::from_utf8_lossy(&request.body);
        if self
            .dislikes
            .is_some_and(|dislikes| text.contains(dislikes))
        {
            return Reply::new(422, "no such field");
        }
        self.bodies.push(request.body.clone());
        Reply::new(202, "")
    }
}

fn sink(double: &Double<Picky>, body: HttpBody) -> Receiver {
    receiver(Destination::Http(HttpSettings {
        endpoint: endpoint(format!("{}/hook?source=wallwatch", double.url())),
        token: Some(Secret::Inline("hush".to_owned())),
        body,
    }))
}

#[test]
fn each_kind_of_body_arrives_as_it_is_named() {
    for (body, content_type, requests) in [
        (HttpBody::Single, "application/json", 3),
        (HttpBody::Lines, "application/x-ndjson", 1),
        (HttpBody::Array, "application/json", 1),
    ] {
        let double = Double::start(Picky::default());
        let records = records(3);
        assert_eq!(
            sink(&double, body).deliver(&records),
            Delivery::all(&records)
        );
        let asked = double.requests();
        assert_eq!(asked.len(), requests);
        assert_eq!(asked[0].path, "/hook?source=wallwatch");
        assert_eq!(asked[0].header("content-type"), Some(content_type));
        assert_eq!(asked[0].header("authorization"), Some("Bearer hush"));
        let (mut events, is_broken) = objects(&double.with(|picky| picky.bodies.concat()));
        assert!(!is_broken);
        if body == HttpBody::Array {
            events = events[0].as_array().unwrap().clone();
        }
        check_arrived(&events, 1..=3);
    }
}

#[test]
fn an_event_that_is_refused_is_found_and_the_others_arrive() {
    for body in [HttpBody::Single, HttpBody::Lines] {
        let double = Double::start(Picky {
            dislikes: Some("event 5."),
            ..Picky::default()
        });
        let told = deliver_all(&mut sink(&double, body), &records(9));
        assert_eq!(told.delivered, [1, 2, 3, 4, 6, 7, 8, 9]);
        assert_eq!(told.dead, [5]);
        assert_eq!(why(told.troubles.first()), "422: no such field");
        let (events, _) = objects(&double.with(|picky| picky.bodies.concat()));
        check_arrived(&events, [1, 2, 3, 4, 6, 7, 8, 9]);
    }
}

#[test]
fn every_status_of_the_table() {
    let double = Double::start(Picky::default());
    let mut sink = sink(&double, HttpBody::Single);
    let mut answer = |status| {
        double.fail([Fault::Say(Reply::new(status, "so"))]);
        sink.deliver(&records(1))
    };
    for status in [200, 201, 202, 204] {
        assert_eq!(answer(status), Delivery::all(&records(1)), "{status}");
    }
    for status in [400, 413, 422] {
        let trouble = answer(status).trouble;
        assert!(
            matches!(trouble, Some(Trouble::Poison { .. })),
            "{status}: {trouble:?}"
        );
    }
    for status in [408, 429, 500, 502, 503, 504] {
        let trouble = answer(status).trouble;
        assert!(
            matches!(trouble, Some(Trouble::Retry { .. })),
            "{status}: {trouble:?}"
        );
    }
    for status in [401, 403, 404, 405, 410, 415] {
        assert_eq!(hold(&answer(status)), format!("{status}: so"));
    }
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let (double, other) = (
        Double::start(Picky::default()),
        Double::start(Picky::default()),
    );
    for status in [301, 302, 303, 307, 308] {
        let away = Reply::new(status, "").with("Location", &other.url());
        double.fail([Fault::Say(away)]);
        let delivery = sink(&double, HttpBody::Single).deliver(&records(1));
        let expected = format!(
            "{status}: it sends us to {}, where nothing is sent",
            other.url()
        );
        assert_eq!(hold(&delivery), expected);
    }
    assert!(other.requests().is_empty());
}
