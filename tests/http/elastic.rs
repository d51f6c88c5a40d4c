//! The Elastic sink against the double.

use wallwatch::config::{Destination, ElasticCredentials, ElasticSettings, Secret};
use wallwatch::delivery::sink::{Delivery, Sink};
use wallwatch::delivery::sinks::Receiver;

use super::{deliver_all, endpoint, is_retry, receiver, records, why};
use crate::http_double::bulk::Bulk;
use crate::http_double::{Double, Fault};

fn sink(double: &Double<Bulk>) -> Receiver {
    receiver(Destination::Elastic(ElasticSettings {
        endpoint: endpoint(double.url()),
        index: "wallwatch-alerts".to_owned(),
        credentials: Some(ElasticCredentials::ApiKey(Secret::Inline(
            "hush".to_owned(),
        ))),
    }))
}

fn ids(double: &Double<Bulk>) -> Vec<(String, usize)> {
    let times = |(id, (_, times)): (&String, &(_, usize))| (id.clone(), *times);
    double.with(|bulk| bulk.documents.iter().map(times).collect())
}

#[test]
fn each_event_is_created_under_its_id_and_revision() {
    let double = Double::start(Bulk::default());
    let records = records(2);
    assert_eq!(sink(&double).deliver(&records), Delivery::all(&records));
    let once = |id: &str| (id.to_owned(), 1);
    assert_eq!(ids(&double), [once("id-1.1"), once("id-2.1")]);
    let request = &double.requests()[0];
    assert_eq!(request.header("authorization"), Some("ApiKey hush"));
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    let action = request.body.split(|byte| *byte == b'\n').next().unwrap();
    let expected = r#"{"create":{"_id":"id-1.1","_index":"wallwatch-alerts"}}"#;
    assert_eq!(String::from_utf8_lossy(action), expected);
}

#[test]
fn what_is_sent_again_is_there_already() {
    let double = Double::start(Bulk::default());
    double.fail([Fault::Cut]);
    let told = deliver_all(&mut sink(&double), &records(2));
    assert_eq!(told.delivered, [1, 2]);
    assert!(is_retry(told.troubles.first()), "{told:?}");
    let twice = |id: &str| (id.to_owned(), 2);
    assert_eq!(ids(&double), [twice("id-1.1"), twice("id-2.1")]);
}

#[test]
fn a_document_that_does_not_fit_is_dead_and_a_busy_index_gets_it_again() {
    let double = Double::start(Bulk {
        dislikes: Some("event 3.".to_owned()),
        busy_for: 2,
        ..Bulk::default()
    });
    let told = deliver_all(&mut sink(&double), &records(5));
    assert_eq!(told.delivered, [1, 2, 4, 5]);
    assert_eq!(told.dead, [3]);
    let said: Vec<_> = told
        .troubles
        .iter()
        .map(|trouble| why(Some(trouble)))
        .collect();
    assert_eq!(
        said,
        [
            "429: es_rejected_execution_exception: queue is full",
            "400: document_parsing_exception: failed to parse",
        ]
    );
    assert_eq!(ids(&double).len(), 4);
}

#[test]
fn an_answer_that_never_ends_stores_nothing_for_good() {
    let double = Double::start(Bulk::default());
    double.fail([Fault::Endless, Fault::Endless]);
    let told = deliver_all(&mut sink(&double), &records(2));
    assert_eq!(told.delivered, [1, 2]);
    assert_eq!(ids(&double).len(), 2);
}
