//! Events to an OpenTelemetry collector: logs over OTLP/HTTP in its JSON encoding.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>. Other than there, 500 is tried again too: an alert is not
//! thrown away because a collector has a bad moment.

pub mod answer;
mod request;

use super::batch::{Cut, History, LIMITS, Outcome, deliver};
use super::http::{Answer, Client, Credentials, Exchange, Post, Reception, Scheme};
use super::{Message, Transport};
use crate::config::OtlpSettings;
use crate::delivery::sink::Delivery;
use answer::{Partial, partial};
use request::Log;

pub(super) struct Otlp {
    client: Box<dyn Exchange>,
    history: History,
    answer: Option<String>,
}

impl Otlp {
    pub(super) fn new(settings: &OtlpSettings) -> Self {
        let OtlpSettings { endpoint, token } = settings;
        let credentials = token.clone().map(|secret| Credentials {
            scheme: Scheme::Token("Bearer"),
            secret,
        });
        Self {
            client: Box::new(Client::new(endpoint, credentials)),
            history: History::default(),
            answer: None,
        }
    }

    fn request(&mut self, logs: &[Log]) -> Outcome {
        let answer = self.client.post(&Post {
            path: "",
            content_type: "application/json",
            headers: &[],
            body: &request::encode(logs),
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(trouble) => return trouble.into(),
        };
        self.answer = Some(self.client.shown(answer.said()));
        outcome(&answer)
    }
}

impl Transport for Otlp {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        let logs: Vec<_> = messages.iter().map(Log::of).collect();
        let sizes = logs.iter().map(|log| log.record.len()).collect();
        let mut history = std::mem::take(&mut self.history);
        let delivery = deliver(sizes, LIMITS, &mut history, |batch| {
            self.request(&logs[batch])
        });
        self.history = history;
        delivery.map_why(|why| self.client.shown(why))
    }

    fn reload(&mut self) {
        self.history = History::default();
        self.client.reload();
    }

    fn answer(&self) -> Option<String> {
        self.answer.clone()
    }
}

fn outcome(answer: &Answer) -> Outcome {
    if answer.reception() != Reception::Taken {
        return Outcome::of(answer);
    }
    match partial(&answer.body) {
        Some(Partial { rejected: 0, .. }) => Outcome::Taken,
        // Which they are is not said. Those that were taken are taken once more.
        Some(Partial { rejected, message }) => Outcome::Refused {
            why: answer.say(&format!("{rejected} rejected: {message}")),
            cut: Cut::Singles,
        },
        None => answer.busy(answer.say("no answer of a collector")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sink::Trouble;

    fn of(status: u16, body: &str) -> Outcome {
        outcome(&Answer {
            status,
            body: body.as_bytes().to_vec(),
            retry_after: None,
            location: None,
        })
    }

    #[test]
    fn what_is_rejected_is_sent_one_by_one() {
        for body in ["", "{}", r#"{"partialSuccess":{}}"#] {
            assert_eq!(of(200, body), Outcome::Taken, "{body}");
        }
        let rejected = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
        let refused = Outcome::Refused {
            why: "200: 2 rejected: too old".to_owned(),
            cut: Cut::Singles,
        };
        assert_eq!(of(200, rejected), refused);
    }

    #[test]
    fn what_no_collector_says_is_tried_again() {
        let why = "200: no answer of a collector".to_owned();
        let trouble = Trouble::Retry { after: None, why };
        assert_eq!(of(200, "<html>welcome</html>"), trouble.into());
    }

    #[test]
    fn a_status_means_what_it_means_everywhere() {
        let stopped = |status| {
            let Outcome::Stopped { taken: 0, trouble } = of(status, "") else {
                panic!("{status}");
            };
            trouble
        };
        for status in [429, 500, 502, 503, 504] {
            assert!(matches!(stopped(status), Trouble::Retry { .. }), "{status}");
        }
        for status in [302, 401, 403, 404, 415] {
            assert!(matches!(stopped(status), Trouble::Hold { .. }), "{status}");
        }
        for status in [400, 413] {
            let why = status.to_string();
            let cut = Cut::Halves;
            assert_eq!(of(status, ""), Outcome::Refused { why, cut });
        }
    }
}
