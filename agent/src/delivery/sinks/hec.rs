//! Events to Splunk's HTTP Event Collector, or whoever speaks its protocol.
//!
//! ```text
//! POST /services/collector/event   envelopes, one behind the other   → code, and ackId where acks are on
//! POST /services/collector/ack     {"acks":[ackId…]}                 → {"acks":{"ackId":true…}}
//! ```
//!
//! Where a reply has an `ackId`, its events count as delivered only when the indexer has acknowledged it. It says so
//! once: an answer that is lost on its way costs a duplicate. Duplicates have the same `id` and `revision`.

mod acks;
mod envelope;
mod pace;
pub mod verdict;

use std::time::Duration;

use uuid::Uuid;

use super::batch::{Batches, LIMITS};
use super::http::{Answer, Client, Credentials, Exchange, Post, Scheme};
use super::{Message, Transport};
use crate::config::{Acknowledge, HecSettings};
use crate::delivery::sink::{Delivery, Trouble};
use acks::{PollPauses, Sent};
use envelope::Envelope;
use pace::{Pace, Pause, Sleep};
use verdict::{Verdict, acknowledged, classify, text};

const EVENT_PATH: &str = "/services/collector/event";
/// Questions for acknowledgements that fail one after the other: then what is asked for is sent again later.
const POLL_FAILURES_MAX: u32 = 4;
const ACK_PATH: &str = "/services/collector/ack";

/// What an answer may change about how events are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Concessions {
    /// The server's acks are off, though the channel was named.
    no_acks: bool,
    /// The index is refused, and the operator lets events go to the token's own.
    no_index: bool,
}

pub(super) struct Hec {
    client: Box<dyn Exchange>,
    pause: Box<dyn Pause>,
    settings: HecSettings,
    /// Acks are counted for it alone.
    channel: Uuid,
    concessions: Concessions,
    pace: Pace,
    /// To be told once.
    notice: Option<String>,
    answer: Option<String>,
}

/// Why a batch is not sent; `at` is the event, counted from the batch's first.
enum Stop {
    /// It is sent again, otherwise.
    Again,
    /// The receiver complains of an event, or of the batch as a whole.
    Refused {
        at: Option<usize>,
        why: String,
    },
    Trouble(Trouble),
}

impl Hec {
    pub(super) fn new(settings: &HecSettings) -> Self {
        let mut endpoint = settings.endpoint.clone();
        endpoint.url = server_url(&endpoint.url).to_owned();
        let credentials = Credentials {
            scheme: Scheme::Token("Splunk"),
            secret: settings.token.clone(),
        };
        let client = Client::new(&endpoint, Some(credentials));
        Self::over(settings, Box::new(client), Box::new(Sleep))
    }

    fn over(settings: &HecSettings, client: Box<dyn Exchange>, pause: Box<dyn Pause>) -> Self {
        Self {
            client,
            pause,
            settings: settings.clone(),
            channel: Uuid::new_v4(),
            concessions: Concessions::default(),
            pace: Pace::default(),
            notice: None,
            answer: None,
        }
    }

    /// Sends the batches one after the other, and waits until what was sent is acknowledged.
    fn deliver(&mut self, envelopes: &[Envelope]) -> Delivery {
        let sizes = envelopes.iter().map(Envelope::bytes).collect();
        let mut batches = Batches::new(sizes, LIMITS);
        let mut sent = Sent::default();
        let mut patience = Patience::default();
        let trouble = loop {
            let Some(batch) = batches.next() else {
                break None;
            };
            if sent.is_full()
                && let Err(trouble) = self.settle(&mut sent)
            {
                return Delivery {
                    delivered: sent.confirmed(),
                    trouble: Some(trouble),
                };
            }
            match self.send_batch(&envelopes[batch.clone()], &mut patience) {
                Ok(Some(ack_id)) if sent.waiting().contains(&ack_id) => {
                    // Another server, or one that began anew: whose ack it will be, nobody knows.
                    self.channel = Uuid::new_v4();
                    return Delivery {
                        delivered: sent.confirmed(),
                        trouble: Some(twice(ack_id)),
                    };
                }
                Ok(ack_id) => {
                    sent.push(batch.end, ack_id);
                    batches.done();
                }
                Err(Stop::Again) => {}
                Err(Stop::Refused { why, .. }) if batch.len() == 1 => {
                    break Some(Trouble::Poison { why });
                }
                Err(Stop::Refused { at: Some(at), .. }) if at < batch.len() => batches.isolate(at),
                Err(Stop::Refused { .. }) => batches.halve(),
                Err(Stop::Trouble(trouble)) => break Some(trouble),
            }
        };
        // A trouble with what was sent before comes first.
        let trouble = self.settle(&mut sent).err().or(trouble);
        Delivery {
            delivered: sent.confirmed(),
            trouble,
        }
    }

    /// The id of the ack to wait for, if there is one.
    fn send_batch(
        &mut self,
        envelopes: &[Envelope],
        patience: &mut Patience,
    ) -> Result<Option<u64>, Stop> {
        self.pace.wait(&mut *self.pause);
        let with_index = !self.concessions.no_index;
        let body: Vec<u8> = envelopes
            .iter()
            .flat_map(|envelope| envelope.encode(with_index))
            .collect();
        let answer = self.post(EVENT_PATH, &body).map_err(Stop::Trouble)?;
        let verdict = classify(answer.status, &answer.body);
        let why = said(&answer);
        match verdict {
            Verdict::Accepted {
                ack_id,
                near_capacity,
            } => {
                self.pace.heard(near_capacity);
                let waits = self.settings.acknowledge == Acknowledge::Auto;
                Ok(ack_id.filter(|_| waits && !self.concessions.no_acks))
            }
            Verdict::Poison { at } => Err(Stop::Refused { at, why }),
            Verdict::TooLarge => Err(Stop::Refused { at: None, why }),
            Verdict::WrongIndex => Err(self.without_index(why)),
            Verdict::Channel if patience.is_first(Verdict::Channel) => {
                self.channel = Uuid::new_v4();
                Err(Stop::Again)
            }
            Verdict::NoAcks if patience.is_first(Verdict::NoAcks) => {
                self.without_acks();
                Err(Stop::Again)
            }
            Verdict::Busy | Verdict::Channel | Verdict::NoAcks | Verdict::Unclear => {
                Err(Stop::Trouble(answer.busy(why)))
            }
            Verdict::Hold => Err(Stop::Trouble(Trouble::Hold { why })),
        }
    }

    /// The server does not say which index it refuses; the operator wants to know.
    fn without_index(&mut self, why: String) -> Stop {
        match &self.settings.index {
            Some(_) if self.settings.index_fallback && !self.concessions.no_index => {
                self.concessions.no_index = true;
                Stop::Again
            }
            Some(index) if !self.concessions.no_index => {
                let why = format!("the index {index:?} is refused: {why}");
                Stop::Trouble(Trouble::Hold { why })
            }
            _ => {
                let why = format!("the token's own index is refused: {why}");
                Stop::Trouble(Trouble::Hold { why })
            }
        }
    }

    /// Said once; what is accepted counts as delivered from now on.
    fn without_acks(&mut self) {
        self.concessions.no_acks = true;
        self.notice = Some("its acknowledgements are off: what it accepts is delivered".to_owned());
    }

    /// Asks until all that was sent is acknowledged, or the window is over.
    fn settle(&mut self, sent: &mut Sent) -> Result<(), Trouble> {
        let window = self.settings.ack_window;
        let mut pauses = PollPauses::new(window);
        let mut last = None;
        let mut failures = 0;
        while !sent.is_settled() {
            let Some(pause) = pauses.next() else {
                // A late ack must not be taken for that of what is sent next.
                self.channel = Uuid::new_v4();
                return Err(unacknowledged(window, last));
            };
            self.pause.pause(pause);
            match self.poll(&sent.waiting()) {
                Ok(ids) => {
                    (last, failures) = (None, 0);
                    sent.acknowledge(&ids);
                }
                // What is asked for may still be acknowledged; but an outage must be told, and not be waited out here.
                Err(Trouble::Retry { why, .. })
                    if !self.concessions.no_acks && failures < POLL_FAILURES_MAX =>
                {
                    last = Some(why);
                    failures += 1;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// Those of `ids` that are acknowledged by now.
    fn poll(&mut self, ids: &[u64]) -> Result<Vec<u64>, Trouble> {
        let body = serde_json::json!({"acks": ids}).to_string();
        let answer = self.post(ACK_PATH, body.as_bytes())?;
        if let (200, Some(acknowledged)) = (answer.status, acknowledged(&answer.body)) {
            return Ok(acknowledged);
        }
        let why = said(&answer);
        match classify(answer.status, &answer.body) {
            Verdict::NoAcks => {
                self.without_acks();
                Err(answer.busy(why))
            }
            Verdict::Hold
            | Verdict::WrongIndex
            | Verdict::Channel
            | Verdict::Poison { .. }
            | Verdict::TooLarge => Err(Trouble::Hold { why }),
            Verdict::Accepted { .. } | Verdict::Busy | Verdict::Unclear => Err(answer.busy(why)),
        }
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer, Trouble> {
        let channel = self.channel.to_string();
        let answer = self.client.post(&Post {
            path,
            content_type: "application/json",
            headers: &[("X-Splunk-Request-Channel", &channel)],
            body,
        })?;
        self.answer = Some(self.client.shown(said(&answer)));
        Ok(answer)
    }

    /// What the operator should know though all was delivered.
    fn standing_trouble(&mut self) -> Option<Trouble> {
        let notice = self.notice.take();
        let index = self.settings.index.as_deref();
        let index = index.filter(|_| self.concessions.no_index);
        let index = index
            .map(|index| format!("the index {index:?} is refused: events go to the token's own"));
        let why = notice.or(index)?;
        Some(Trouble::Hold { why })
    }
}

impl Transport for Hec {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        let envelopes: Vec<_> = messages
            .iter()
            .map(|message| Envelope::of(message, &self.settings))
            .collect();
        let Delivery { delivered, trouble } = self.deliver(&envelopes);
        let trouble = trouble.or_else(|| self.standing_trouble());
        Delivery { delivered, trouble }.map_why(|why| self.client.shown(why))
    }

    fn reload(&mut self) {
        self.client.reload();
        self.concessions = Concessions::default();
        self.pace = Pace::default();
    }

    fn answer(&self) -> Option<String> {
        self.answer.clone()
    }
}

/// A batch is sent again at once for each reason once; then it is a trouble like others.
#[derive(Default)]
struct Patience(Vec<Verdict>);

impl Patience {
    fn is_first(&mut self, reason: Verdict) -> bool {
        let is_first = !self.0.contains(&reason);
        if is_first {
            self.0.push(reason);
        }
        is_first
    }
}

/// Without the path of the endpoint: some paste the whole of it.
fn server_url(url: &str) -> &str {
    let paths = [EVENT_PATH, "/services/collector"];
    let stripped = paths.iter().find_map(|path| url.strip_suffix(path));
    stripped.unwrap_or(url)
}

fn twice(ack_id: u64) -> Trouble {
    Trouble::Retry {
        after: None,
        why: format!(
            "the ackId {ack_id} was given twice: is a balancer between, without stickiness?"
        ),
    }
}

/// The status, and the server's words.
fn said(answer: &Answer) -> String {
    match text(&answer.body) {
        Some(text) => answer.say(&text),
        None => answer.said(),
    }
}

fn unacknowledged(window: Duration, last: Option<String>) -> Trouble {
    let seconds = window.as_secs();
    let last = last.map_or_else(String::new, |why| format!("; last: {why}"));
    Trouble::Retry {
        after: None,
        why: format!("not acknowledged within {seconds} s, so sent again{last}"),
    }
}

#[cfg(test)]
mod tests;
