//! Splunk's HTTP Event Collector, as two other receivers speak it: their answers were recorded, and the test replays
//! what they were asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::{Reply, Request, Service, objects};

pub(crate) const TOKEN: &str = "3f2c1d6e-8a4b-4c5d-9e6f-7a8b9c0d1e2f";

/// Whose words they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Vector 0.58.
    Vector,
    /// Fluent Bit 5.1.1; it knows no acks.
    FluentBit,
}

/// What it says of what it has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckManner {
    Honest,
    /// It never says that it has.
    Never,
}

pub(crate) struct Hec {
    pub(crate) flavour: Flavour,
    pub(crate) acks_on: bool,
    pub(crate) ack_manner: AckManner,
    pub(crate) token: String,
    /// The only one that it has, if it does not take any.
    pub(crate) index: Option<String>,
    /// An event with that text in it is refused, by its number.
    pub(crate) dislikes: Option<String>,
    /// Events before one that is refused are kept, as Splunk may.
    pub(crate) keeps_the_beginning: bool,
    pub(crate) pending_max: usize,
    pub(crate) channels_max: usize,
    pub(crate) channels: BTreeMap<String, Channel>,
    /// All envelopes that it took, in order.
    pub(crate) stored: Vec<Value>,
}

/// Acks are counted for each channel.
#[derive(Default)]
pub(crate) struct Channel {
    next: u64,
    /// Given, and not asked for; the oldest in front.
    pending: VecDeque<u64>,
}

impl Default for Hec {
    fn default() -> Self {
        Self {
            flavour: Flavour::Vector,
            acks_on: true,
            ack_manner: AckManner::Honest,
            token: TOKEN.to_owned(),
            index: None,
            dislikes: None,
            keeps_the_beginning: false,
            pending_max: 1000,
            channels_max: 1000,
            channels: BTreeMap::new(),
            stored: Vec::new(),
        }
    }
}

impl Hec {
    fn event(&mut self, request: &Request) -> Reply {
        let channel = match channel(request) {
            None if self.flavour == Flavour::Vector && self.acks_on => {
                return error(400, "Data channel is missing", 10);
            }
            channel => channel.unwrap_or_default(),
        };
        if request.body.is_empty() {
            return error(400, "No data", 5);
        }
        if !self.channels.contains_key(&channel) && self.channels.len() >= self.channels_max {
            return error(503, "Server is busy", 9);
        }
        let (envelopes, is_broken) = objects(&request.body);
        for (number, envelope) in envelopes.iter().enumerate() {
            if let Some((text, code)) = self.complaint(envelope) {
                if self.keeps_the_beginning {
                    self.stored.extend_from_slice(&envelopes[..number]);
                }
                return invalid(text, code, number);
            }
        }
        match (is_broken, self.flavour) {
            (false, _) => {}
            (true, Flavour::Vector) => return invalid("Invalid data format", 6, envelopes.len()),
            (true, Flavour::FluentBit) => return error(400, "Invalid data format", 6),
        }
        self.stored.extend(envelopes);
        if self.flavour == Flavour::FluentBit || !self.acks_on {
            return error(200, "Success", 0);
        }
        let pending_max = self.pending_max;
        let channel = self.channels.entry(channel).or_default();
        let id = channel.next;
        channel.next += 1;
        channel.pending.push_back(id);
        if channel.pending.len() > pending_max {
            channel.pending.pop_front();
        }
        Reply::new(
            200,
            &format!(r#"{{"text":"Success","code":0,"ackId":{id}}}"#),
        )
    }

    fn complaint(&self, envelope: &Value) -> Option<(&'static str, u64)> {
        let index = envelope["index"].as_str();
        if self.index.is_some() && index.is_some() && index != self.index.as_deref() {
            return Some(("Incorrect index", 7));
        }
        if let Some(text) = &self.dislikes
            && envelope.to_string().contains(text)
        {
            return Some(("Error in handling indexed fields", 15));
        }
        match (&envelope["event"], self.flavour) {
            (_, Flavour::FluentBit) => None,
            (Value::Null, Flavour::Vector) => Some(("Event field is required", 12)),
            (event, Flavour::Vector) if event == "" => Some(("Event field cannot be blank", 13)),
            _ => None,
        }
    }

    fn ack(&mut self, request: &Request) -> Reply {
        if self.flavour == Flavour::FluentBit {
            return Reply::new(400, r#"{"text":"Invalid endpoint"}"#);
        }
        if !self.acks_on {
            return error(400, "Ack is disabled", 14);
        }
        if request.header("content-type") != Some("application/json") {
            return Reply::new(415, "");
        }
        if request.is_gzipped() {
            return Reply::new(400, "");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let asked = body["acks"].as_array().cloned().unwrap_or_default();
        let asked: BTreeSet<_> = asked.iter().filter_map(Value::as_u64).collect();
        let channel = channel(request).unwrap_or_default();
        let pending = &mut self.channels.entry(channel).or_default().pending;
        let is_honest = self.ack_manner == AckManner::Honest;
        let acks = asked
            .iter()
            .map(|id| (id.to_string(), is_honest && pending.contains(id)));
        let acks: BTreeMap<_, _> = acks.collect();
        // It says so once.
        pending.retain(|id| !asked.contains(id));
        Reply::new(200, &json!({"acks": acks}).to_string())
    }

    fn health(&self, path: &str) -> Reply {
        match (self.flavour, path) {
            (Flavour::Vector, _) => error(200, "HEC is healthy", 17),
            (Flavour::FluentBit, "/services/collector/health") => error(200, "Success", 200),
            (Flavour::FluentBit, _) => Reply::new(400, r#"{"text":"Invalid endpoint"}"#),
        }
    }
}

impl Service for Hec {
    fn answer(&mut self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap_or_default();
        if request.method == "GET" {
            return self.health(path);
        }
        let Some(authorization) = request.header("authorization") else {
            return error(401, "Token is required", 2);
        };
        if authorization != format!("Splunk {}", self.token) {
            return match self.flavour {
                Flavour::Vector => error(401, "Invalid authorization", 3),
                Flavour::FluentBit => error(403, "Invalid token", 4),
            };
        }
        match path {
            "/services/collector" | "/services/collector/event" => self.event(request),
            "/services/collector/ack" => self.ack(request),
            _ => Reply::new(404, ""),
        }
    }
}

/// In a header or in the query.
fn channel(request: &Request) -> Option<String> {
    let header = request.header("x-splunk-request-channel");
    let query = || Some(request.path.split_once("?channel=")?.1);
    header.or_else(query).map(str::to_owned)
}

fn error(status: u16, text: &str, code: u64) -> Reply {
    Reply::new(status, &format!(r#"{{"text":"{text}","code":{code}}}"#))
}

fn invalid(text: &str, code: u64, number: usize) -> Reply {
    let body = format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{number}}}"#);
    Reply::new(400, &body)
}
