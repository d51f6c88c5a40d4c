//! What `_bulk` answers: one item for each action, in their order.

use serde::Deserialize;

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// An HTTP status, of this event alone.
    pub status: u16,
    /// `TYPE: REASON`; empty where nothing is wrong.
    pub reason: String,
}

#[derive(Deserialize)]
struct Bulk {
    items: Vec<Created>,
}

#[derive(Deserialize)]
struct Created {
    create: Status,
}

#[derive(Deserialize)]
struct Status {
    status: u16,
    error: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(rename = "type", default)]
    kind: String,
    reason: Option<String>,
}

/// `None` when it is no such answer.
pub fn items(body: &[u8]) -> Option<Vec<Item>> {
    let bulk: Bulk = serde_json::from_slice(body).ok()?;
    let items = bulk.items.into_iter().map(|item| {
        let Status { status, error } = item.create;
        let reason = error.map_or_else(String::new, |Cause { kind, reason }| match reason {
            Some(reason) => format!("{kind}: {reason}"),
            None => kind,
        });
        Item { status, reason }
    });
    Some(items.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_a_status_and_where_it_failed_a_reason() {
        let body = br#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:9] failed to parse"}}},{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}]}"#;
        let item = |status, reason: &str| Item {
            status,
            reason: reason.to_owned(),
        };
        assert_eq!(
            items(body).unwrap(),
            [
                item(201, ""),
                item(400, "document_parsing_exception: [1:9] failed to parse"),
                item(409, "version_conflict_engine_exception"),
            ]
        );
    }

    #[test]
    fn anything_else_is_no_answer() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"items":{}}"#,
            r#"{"items":[{"index":{"status":201}}]}"#,
            r#"{"items":[{"create":{"status":-1}}]}"#,
            r#"{"items":[{"create":{"status":70000}}]}"#,
        ] {
            assert_eq!(items(body.as_bytes()), None, "{body}");
        }
    }
}
