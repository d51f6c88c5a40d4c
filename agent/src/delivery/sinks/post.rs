//! Events to any HTTP server, by POST.

use super::batch::{History, LIMITS, Limits, Outcome, deliver};
use super::http::{Client, Credentials, Exchange, Post, Scheme};
use super::{Message, Transport};
use crate::config::{Format, HttpBody, HttpSettings};
use crate::delivery::sink::Delivery;

const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) struct HttpPost {
    client: Box<dyn Exchange>,
    history: History,
    body: HttpBody,
    answer: Option<String>,
}

impl HttpPost {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        let HttpSettings {
            endpoint,
            token,
            body,
        } = settings;
        let credentials = token.clone().map(|secret| Credentials {
            scheme: Scheme::Token("Bearer"),
            secret,
        });
        Self {
            client: Box::new(Client::new(endpoint, credentials)),
            history: History::default(),
            body: *body,
            answer: None,
        }
    }

    fn request(&mut self, bodies: &[Vec<u8>], format: Format) -> Outcome {
        let answer = self.client.post(&Post {
            path: "",
            content_type: content_type(self.body, format),
            headers: &[],
            body: &encode(self.body, bodies),
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(trouble) => return trouble.into(),
        };
        self.answer = Some(self.client.shown(answer.said()));
        Outcome::of(&answer)
    }
}

impl Transport for HttpPost {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        let Some(first) = messages.first() else {
            return Delivery {
                delivered: 0,
                trouble: None,
            };
        };
        let bodies: Vec<_> = messages.iter().map(Message::body).collect();
        let sizes = bodies.iter().map(Vec::len).collect();
        let limits = match self.body {
            HttpBody::Single => Limits {
                events_max: 1,
                ..LIMITS
            },
            HttpBody::Lines | HttpBody::Array => LIMITS,
        };
        let mut history = std::mem::take(&mut self.history);
        let delivery = deliver(sizes, limits, &mut history, |batch| {
            self.request(&bodies[batch], first.format)
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

fn content_type(body: HttpBody, format: Format) -> &'static str {
    match (body, format.is_json()) {
        (_, false) => TEXT,
        (HttpBody::Single | HttpBody::Array, true) => JSON,
        (HttpBody::Lines, true) => JSON_LINES,
    }
}

fn encode(body: HttpBody, events: &[Vec<u8>]) -> Vec<u8> {
    match body {
        HttpBody::Single => events.concat(),
        HttpBody::Lines => {
            let mut lines = events.join(&b'\n');
            lines.push(b'\n');
            lines
        }
        HttpBody::Array => [b"[", &*events.join(&b','), b"]"].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_event_or_lines_or_an_array() {
        let events = [br#"{"a":1}"#.to_vec(), br#"{"a":2}"#.to_vec()];
        for (body, count, expected) in [
            (HttpBody::Single, 1, &br#"{"a":1}"#[..]),
            (HttpBody::Lines, 2, b"{\"a\":1}\n{\"a\":2}\n"),
            (HttpBody::Array, 2, br#"[{"a":1},{"a":2}]"#),
            (HttpBody::Array, 1, br#"[{"a":1}]"#),
        ] {
            let encoded = encode(body, &events[..count]);
            assert_eq!(encoded, expected, "{body:?}");
        }
        for (body, format, expected) in [
            (HttpBody::Single, Format::Ecs, JSON),
            (HttpBody::Array, Format::Native, JSON),
            (HttpBody::Lines, Format::Ocsf, JSON_LINES),
            (HttpBody::Lines, Format::Cef, TEXT),
            (HttpBody::Single, Format::Cef, TEXT),
        ] {
            assert_eq!(content_type(body, format), expected);
        }
    }
}
