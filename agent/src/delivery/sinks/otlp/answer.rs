//! What a collector answers: `ExportLogsServiceResponse`.

use serde::{Deserialize, Deserializer};

/// What it did not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Partial {
    #[serde(rename = "rejectedLogRecords", deserialize_with = "count")]
    pub rejected: u64,
    #[serde(rename = "errorMessage")]
    pub message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    #[serde(rename = "partialSuccess")]
    partial: Option<Partial>,
}

/// `None` when it is no such answer. An empty one is: everything was taken.
pub fn partial(body: &[u8]) -> Option<Partial> {
    if body.trim_ascii().is_empty() {
        return Some(Partial::default());
    }
    let response: Response = serde_json::from_slice(body).ok()?;
    Some(response.partial.unwrap_or_default())
}

/// In protobuf's JSON, 64-bit numbers are texts; some write numbers all the same.
fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let count = match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_u64(),
    };
    count.ok_or_else(|| serde::de::Error::custom("not a count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_text_or_a_number() {
        for (body, rejected, message) in [
            ("", 0, ""),
            (" {}\n", 0, ""),
            (r#"{"partialSuccess":null}"#, 0, ""),
            (
                r#"{"partialSuccess":{"errorMessage":"slow down"}}"#,
                0,
                "slow down",
            ),
            (r#"{"partialSuccess":{"rejectedLogRecords":3}}"#, 3, ""),
            (
                r#"{"partialSuccess":{"rejectedLogRecords":"3"},"more":1}"#,
                3,
                "",
            ),
        ] {
            let message = message.to_owned();
            assert_eq!(
                partial(body.as_bytes()),
                Some(Partial { rejected, message }),
                "{body}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_answer() {
        for body in [
            "<html>",
            "7",
            r#"{"partialSuccess":7}"#,
            r#"{"partialSuccess":{"rejectedLogRecords":"x"}}"#,
            r#"{"partialSuccess":{"rejectedLogRecords":-1}}"#,
        ] {
            assert_eq!(partial(body.as_bytes()), None, "{body}");
        }
    }
}
