//! Events to Elasticsearch or OpenSearch: `_bulk`, each event created under an id of its own.
//!
//! The id is `ID.REVISION`: what is sent again is there already (409), and counts as delivered.

pub mod answer;

use super::batch::{Cut, History, LIMITS, Outcome, deliver};
use super::http::{Answer, Client, Credentials, Exchange, Post, Reception, Scheme};
use super::{Message, Transport};
use crate::config::{ElasticCredentials, ElasticSettings};
use crate::delivery::sink::{Delivery, Trouble};
use answer::{Item, items};

/// The answer has one entry for each event; of those only what matters here.
const PATH: &str =
    "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

pub(super) struct Elastic {
    client: Box<dyn Exchange>,
    history: History,
    index: String,
    answer: Option<String>,
}

impl Elastic {
    pub(super) fn new(settings: &ElasticSettings) -> Self {
        let ElasticSettings {
            endpoint,
            index,
            credentials,
        } = settings;
        let credentials = credentials.clone().map(|credentials| match credentials {
            ElasticCredentials::ApiKey(secret) => Credentials {
                scheme: Scheme::Token("ApiKey"),
                secret,
            },
            ElasticCredentials::Basic { user, password } => Credentials {
                scheme: Scheme::Basic { user },
                secret: password,
            },
        });
        Self {
            client: Box::new(Client::new(endpoint, credentials)),
            history: History::default(),
            index: index.clone(),
            answer: None,
        }
    }

    fn request(&mut self, actions: &[Vec<u8>]) -> Outcome {
        let answer = self.client.post(&Post {
            path: PATH,
            content_type: "application/x-ndjson",
            headers: &[],
            body: &actions.concat(),
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(trouble) => return trouble.into(),
        };
        let outcome = outcome(&answer, actions.len());
        let said = match &outcome {
            Outcome::Taken => answer.say("all are stored"),
            Outcome::Stopped { .. } | Outcome::Refused { .. } => answer.said(),
        };
        self.answer = Some(self.client.shown(said));
        outcome
    }

    /// The lines of one event: what is to be done, and the document.
    fn action(&self, message: &Message<'_>) -> Vec<u8> {
        let event = &message.event;
        let id = format!("{}.{}", event.id(), event.revision());
        let action = serde_json::json!({"create": {"_index": self.index, "_id": id}});
        let mut lines = action.to_string().into_bytes();
        lines.push(b'\n');
        lines.extend(message.body());
        lines.push(b'\n');
        lines
    }
}

impl Transport for Elastic {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        let actions = messages.iter().map(|message| self.action(message));
        let actions: Vec<_> = actions.collect();
        let sizes = actions.iter().map(Vec::len).collect();
        let mut history = std::mem::take(&mut self.history);
        let delivery = deliver(sizes, LIMITS, &mut history, |batch| {
            self.request(&actions[batch])
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

/// What the answer to a request with so many events means.
fn outcome(answer: &Answer, n_events: usize) -> Outcome {
    if answer.reception() != Reception::Taken {
        return Outcome::of(answer);
    }
    let items = items(&answer.body).filter(|items| items.len() == n_events);
    let Some(items) = items else {
        let why = answer.say("no answer for each of the events");
        return match n_events {
            // It may have been too long.
            2.. => Outcome::Refused {
                why,
                cut: Cut::Halves,
            },
            _ => answer.busy(why).into(),
        };
    };
    let troubles = items.iter().map(|item| trouble(item, answer));
    let first = troubles.enumerate().find_map(|(taken, trouble)| {
        let trouble = trouble?;
        Some(Outcome::Stopped { taken, trouble })
    });
    first.unwrap_or(Outcome::Taken)
}

fn trouble(item: &Item, answer: &Answer) -> Option<Trouble> {
    let why = Answer {
        status: item.status,
        ..answer.clone()
    }
    .say(&item.reason);
    match item.status {
        // It is there already.
        200..=299 | 409 => None,
        // Of the index, and not of the event: it is missing, or closed to us.
        401 | 403 | 404 => Some(Trouble::Hold { why }),
        408 | 429 => Some(answer.busy(why)),
        // Of the document.
        400 | 413 | 422 => Some(Trouble::Poison { why }),
        400..=499 => Some(Trouble::Hold { why }),
        _ => Some(answer.busy(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.as_bytes().to_vec(),
            retry_after: None,
            location: None,
        }
    }

    /// An answer with an item for each status.
    fn bulk(statuses: &[u16]) -> Answer {
        let item = |status: &u16| match status {
            200..=299 => format!(r#"{{"create":{{"status":{status}}}}}"#),
            _ => {
                format!(r#"{{"create":{{"status":{status},"error":{{"type":"t","reason":"r"}}}}}}"#)
            }
        };
        let items: Vec<_> = statuses.iter().map(item).collect();
        answer(
            200,
            &format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")),
        )
    }

    fn stopped(taken: usize, trouble: Trouble) -> Outcome {
        Outcome::Stopped { taken, trouble }
    }

    #[test]
    fn the_first_event_that_is_not_stored_is_where_it_stopped() {
        let why = |status: u16| format!("{status}: t: r");
        let retry = |status| Trouble::Retry {
            after: None,
            why: why(status),
        };
        let hold = |status| Trouble::Hold { why: why(status) };
        let poison = |status| Trouble::Poison { why: why(status) };
        for (statuses, expected) in [
            (&[201, 201, 201][..], Outcome::Taken),
            (&[201, 409, 200], Outcome::Taken),
            (&[201, 429, 400], stopped(1, retry(429))),
            (&[201, 201, 400], stopped(2, poison(400))),
            (&[400, 429, 201], stopped(0, poison(400))),
            (&[201, 503, 201], stopped(1, retry(503))),
            (&[404], stopped(0, hold(404))),
            (&[201, 403], stopped(1, hold(403))),
        ] {
            let outcome = outcome(&bulk(statuses), statuses.len());
            assert_eq!(outcome, expected, "{statuses:?}");
        }
    }

    #[test]
    fn an_answer_that_does_not_say_enough_stores_nothing() {
        for body in [
            "",
            "{}",
            "<html>",
            r#"{"items":[{"create":{"status":201}}]}"#,
        ] {
            let several = outcome(&answer(200, body), 2);
            assert!(matches!(several, Outcome::Refused { .. }), "{body}");
        }
        let single = outcome(&answer(200, "{}"), 1);
        let Outcome::Stopped { taken: 0, trouble } = single else {
            panic!("{single:?}");
        };
        assert!(matches!(trouble, Trouble::Retry { .. }), "{trouble:?}");
    }
}
