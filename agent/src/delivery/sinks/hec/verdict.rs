//! What HEC's answers mean, by status and code: pure functions.
//!
//! <https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector> lists the codes.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is to be done after an answer to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With an id it is the indexer's only when that is acknowledged.
    Accepted {
        ack_id: Option<u64>,
        /// 24, 25.
        near_capacity: bool,
    },
    /// The same again, later.
    Busy,
    /// 2xx, but not in the words of HEC: nobody knows who answered. The same again, later.
    Unclear,
    /// Somebody has to change something first: token, URL.
    Hold,
    /// 7: the index does not exist, or is not the token's.
    WrongIndex,
    /// 10, 11: the channel is missing or not taken.
    Channel,
    /// 14: acks are off.
    NoAcks,
    /// An event is wrong, by its place in the batch if that is said. Those before it may be stored.
    Poison { at: Option<usize> },
    /// 413.
    TooLarge,
}

/// `{"text":"Success","code":0,"ackId":7}`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    text: Option<String>,
    code: Option<i64>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event_number: Option<usize>,
}

impl Reply {
    /// Without anything where it is no such reply.
    fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

pub fn classify(status: u16, body: &[u8]) -> Verdict {
    let reply = Reply::parse(body);
    let at = reply.invalid_event_number;
    match (status, reply.code) {
        (200..=299, Some(code @ (0 | 24 | 25))) => Verdict::Accepted {
            ack_id: reply.ack_id,
            near_capacity: code != 0,
        },
        (200..=299, _) => Verdict::Unclear,
        (400, Some(7)) => Verdict::WrongIndex,
        (400, Some(10 | 11)) => Verdict::Channel,
        (400, Some(14)) => Verdict::NoAcks,
        (400, Some(5 | 6 | 12 | 13 | 15)) => Verdict::Poison { at },
        (413, _) => Verdict::TooLarge,
        (408 | 429 | 500..=599, _) => Verdict::Busy,
        // 401, 403, 404, redirects, 400 with 16, 21, 22 or in other words than HEC's: nothing is thrown away for them.
        _ => Verdict::Hold,
    }
}

/// What the server says in words, with its code.
pub fn text(body: &[u8]) -> Option<String> {
    let reply = Reply::parse(body);
    let text = reply.text?;
    Some(match reply.code {
        Some(code) => format!("{text} (code {code})"),
        None => text,
    })
}

/// The ids that an answer to a poll says are acknowledged. `None` when it is no such answer.
pub fn acknowledged(body: &[u8]) -> Option<Vec<u64>> {
    #[derive(Deserialize)]
    struct Acks {
        acks: BTreeMap<u64, bool>,
    }
    let Acks { acks } = serde_json::from_slice(body).ok()?;
    let is_true = acks.into_iter().filter(|(_, is_true)| *is_true);
    Some(is_true.map(|(id, _)| id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: i64) -> String {
        format!(r#"{{"text":"…","code":{code}}}"#)
    }

    #[test]
    fn every_line_of_the_table() {
        let accepted = |near_capacity| Verdict::Accepted {
            ack_id: None,
            near_capacity,
        };
        let poison = Verdict::Poison { at: None };
        for (status, codes, verdict) in [
            (200, &[0][..], accepted(false)),
            (200, &[24, 25], accepted(true)),
            (429, &[26, 27], Verdict::Busy),
            (503, &[9, 18, 19, 20, 23], Verdict::Busy),
            (500, &[8], Verdict::Busy),
            (401, &[2, 3], Verdict::Hold),
            (403, &[1, 4], Verdict::Hold),
            (400, &[16, 21, 22], Verdict::Hold),
            (400, &[7], Verdict::WrongIndex),
            (400, &[10, 11], Verdict::Channel),
            (400, &[14], Verdict::NoAcks),
            (400, &[5, 6, 12, 13, 15], poison),
            (400, &[99, -1], Verdict::Hold),
            (200, &[7, 99], Verdict::Unclear),
        ] {
            for &code in codes {
                let found = classify(status, reply(code).as_bytes());
                assert_eq!(found, verdict, "{status}/{code}");
            }
        }
    }

    #[test]
    fn a_status_speaks_where_no_code_does() {
        for body in ["", "<html>no</html>", "[]", r#"{"code":"x"}"#, "{}"] {
            for (status, verdict) in [
                (200, Verdict::Unclear),
                (204, Verdict::Unclear),
                (302, Verdict::Hold),
                (400, Verdict::Hold),
                (401, Verdict::Hold),
                (403, Verdict::Hold),
                (404, Verdict::Hold),
                (408, Verdict::Busy),
                (413, Verdict::TooLarge),
                (415, Verdict::Hold),
                (429, Verdict::Busy),
                (500, Verdict::Busy),
                (502, Verdict::Busy),
                (503, Verdict::Busy),
            ] {
                let found = classify(status, body.as_bytes());
                assert_eq!(found, verdict, "{status} {body}");
            }
        }
    }

    #[test]
    fn an_acceptance_may_have_an_id_and_a_complaint_a_place() {
        assert_eq!(
            classify(200, br#"{"text":"Success","code":0,"ackId":7}"#),
            Verdict::Accepted {
                ack_id: Some(7),
                near_capacity: false
            }
        );
        let complaint = br#"{"text":"Event field is required","code":12,"invalid-event-number":1}"#;
        assert_eq!(classify(400, complaint), Verdict::Poison { at: Some(1) });
        let said = text(complaint);
        assert_eq!(said.as_deref(), Some("Event field is required (code 12)"));
        assert_eq!(text(b"<html>"), None);
        // An id that cannot be asked for would never be acknowledged.
        let strange = br#"{"text":"Success","code":0,"ackId":"x"}"#;
        assert_eq!(classify(200, strange), Verdict::Unclear);
    }

    #[test]
    fn only_what_is_true_is_acknowledged() {
        let answer = br#"{"acks":{"0":true,"1":true,"2":false,"99":false}}"#;
        assert_eq!(acknowledged(answer), Some(vec![0, 1]));
        assert_eq!(acknowledged(br#"{"acks":{}}"#), Some(vec![]));
        for body in [
            "",
            "{}",
            r#"{"acks":[0]}"#,
            r#"{"acks":{"x":true}}"#,
            r#"{"acks":{"0":1}}"#,
        ] {
            assert_eq!(acknowledged(body.as_bytes()), None, "{body}");
        }
    }
}
