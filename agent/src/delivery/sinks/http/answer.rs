//! What a server said: the status, the headers that matter, the beginning of the body.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use ureq::http::{HeaderMap, HeaderName, header};

use crate::delivery::encode::is_active;
use crate::delivery::sink::Trouble;

/// Longer pauses are not granted: whoever asks for a year is mistaken.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delivery::sinks) struct Answer {
    pub(in crate::delivery::sinks) status: u16,
    /// What it begins with.
    pub(in crate::delivery::sinks) body: Vec<u8>,
    /// RFC 9110, section 10.2.3; at most an hour.
    pub(in crate::delivery::sinks) retry_after: Option<Duration>,
    /// Where a redirect leads.
    pub(in crate::delivery::sinks) location: Option<String>,
}

/// What a status means for a whole request, whatever the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery::sinks) enum Reception {
    /// 2xx.
    Taken,
    /// 408, 425, 429, 5xx: later it may work.
    Busy,
    /// What was sent is wrong: 400, 422.
    Refused,
    /// 413.
    TooLarge,
    /// 415.
    Encoding,
    /// Everything else: somebody has to change something first. A redirect is one of them: whom the alerts go to is
    /// not for a server to say.
    Barred,
}

impl Answer {
    pub(super) fn new(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok();
        let retry_after = text(header::RETRY_AFTER);
        Self {
            status,
            body,
            retry_after: retry_after.and_then(|after| pause(after, text(header::DATE))),
            location: text(header::LOCATION).map(one_line),
        }
    }

    pub(in crate::delivery::sinks) fn reception(&self) -> Reception {
        match self.status {
            200..=299 => Reception::Taken,
            408 | 425 | 429 | 500..=599 => Reception::Busy,
            400 | 422 => Reception::Refused,
            413 => Reception::TooLarge,
            415 => Reception::Encoding,
            _ => Reception::Barred,
        }
    }

    /// The server does not know us, or grants us nothing.
    pub(super) fn is_barred(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    /// For people: the status, and what the server said or where it sends us.
    pub(in crate::delivery::sinks) fn said(&self) -> String {
        let status = self.status;
        match &self.location {
            Some(location) if (300..400).contains(&status) => {
                format!("{status}: it sends us to {location}, where nothing is sent")
            }
            _ => self.say(&String::from_utf8_lossy(&self.body)),
        }
    }

    /// The same, with a text that was found in the body.
    pub(in crate::delivery::sinks) fn say(&self, text: &str) -> String {
        match one_line(text) {
            text if text.is_empty() => self.status.to_string(),
            text => format!("{}: {text}", self.status),
        }
    }

    pub(in crate::delivery::sinks) fn busy(&self, why: String) -> Trouble {
        Trouble::Retry {
            after: self.retry_after,
            why,
        }
    }
}

/// What others wrote, without what acts on a terminal.
fn one_line(text: &str) -> String {
    let is_hidden = |char: char| is_active(char) || char.is_whitespace();
    text.trim().replace(is_hidden, " ")
}

/// Seconds, or a date. How far that is, is told by the server's own clock, which its answer has too.
fn pause(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = retry_after.trim().parse() {
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let parse = |text: &str| -> Option<Timestamp> {
        DateTimeParser::new().parse_timestamp(text.trim()).ok()
    };
    let seconds = parse(retry_after)?.as_second() - parse(date?)?.as_second();
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(HeaderName, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value.parse().unwrap());
        }
        Answer::new(status, &map, body.as_bytes().to_vec())
    }

    #[test]
    fn a_pause_comes_in_seconds_or_as_a_date_and_is_bounded() {
        let date = Some("Tue, 24 Nov 2026 10:00:00 GMT");
        for (after, date, seconds) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("31536000", None, Some(3600)),
            ("Tue, 24 Nov 2026 10:01:30 GMT", date, Some(90)),
            ("Tue, 24 Nov 2026 09:00:00 GMT", date, Some(0)),
            ("Wed, 24 Nov 2027 10:00:00 GMT", date, Some(3600)),
            ("Tue, 24 Nov 2026 10:01:30 GMT", None, None),
            ("soon", date, None),
            ("-1", date, None),
            ("99999999999999999999", date, None),
        ] {
            let pause = pause(after, date);
            assert_eq!(pause, seconds.map(Duration::from_secs), "{after}");
        }
    }

    #[test]
    fn every_status_has_a_meaning() {
        for (statuses, meaning) in [
            (&[200, 201, 202, 204][..], Reception::Taken),
            (&[408, 425, 429, 500, 502, 503, 504, 507], Reception::Busy),
            (&[400, 422], Reception::Refused),
            (&[413], Reception::TooLarge),
            (&[415], Reception::Encoding),
            (
                &[101, 301, 302, 307, 308, 401, 402, 403, 404, 405, 410],
                Reception::Barred,
            ),
        ] {
            for &status in statuses {
                assert_eq!(answer(status, &[], "").reception(), meaning, "{status}");
            }
        }
    }

    #[test]
    fn what_others_wrote_is_repeated_in_one_line() {
        for (body, said) in [
            ("", "503"),
            ("a\r\nb\x1b[31m\u{202e}c\n", "503: a  b [31m c"),
        ] {
            assert_eq!(answer(503, &[], body).said(), said);
        }
        let headers = [(header::LOCATION, "https://elsewhere.example.net/")];
        assert_eq!(
            answer(302, &headers, "moved").said(),
            "302: it sends us to https://elsewhere.example.net/, where nothing is sent"
        );
    }
}
