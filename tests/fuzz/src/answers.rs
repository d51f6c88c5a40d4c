//! What receivers over HTTP answer: any status with any body.

use wallwatch::delivery::sinks::elastic::answer::items;
use wallwatch::delivery::sinks::hec::verdict::{Verdict, acknowledged, classify, text};
use wallwatch::delivery::sinks::otlp::answer::partial;

/// `data` is a status, big-endian, and a body.
pub fn check(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk() else {
        return;
    };
    check_hec(u16::from_be_bytes(*status), body);
    check_otlp(body);
    check_elastic(body);
}

/// Only a success delivers, only an answer in the words of HEC condemns an event, and nothing is acknowledged that
/// is not written there.
fn check_hec(status: u16, body: &[u8]) {
    match classify(status, body) {
        Verdict::Accepted { .. } | Verdict::Unclear => assert!((200..300).contains(&status)),
        Verdict::Poison { .. } | Verdict::WrongIndex | Verdict::Channel | Verdict::NoAcks => {
            assert_eq!(status, 400);
            assert!(contains(body, b"code"));
        }
        Verdict::TooLarge => assert_eq!(status, 413),
        Verdict::Busy | Verdict::Hold => assert!(!(200..300).contains(&status)),
    }
    if let Some(text) = text(body) {
        assert!(!body.is_empty() && text.len() < 4 * body.len() + 32);
    }
    for id in acknowledged(body).unwrap_or_default() {
        assert!(contains(body, id.to_string().as_bytes()));
        assert!(contains(body, b"true"));
    }
}

/// A rejection is written there.
fn check_otlp(body: &[u8]) {
    let rejected = partial(body).map_or(0, |partial| partial.rejected);
    if rejected > 0 {
        assert!(contains(body, rejected.to_string().as_bytes()));
    }
}

/// An item takes more than a byte.
fn check_elastic(body: &[u8]) {
    let items = items(body).unwrap_or_default();
    assert!(items.len() <= body.len());
}

/// JSON may write any character as `\u` and four digits; such bodies are passed over.
fn contains(body: &[u8], text: &[u8]) -> bool {
    body.contains(&b'\\') || body.windows(text.len()).any(|window| window == text)
}
