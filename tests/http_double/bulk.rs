//! Elasticsearch's `_bulk`, as far as `create` goes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, Request, Service, objects};

#[derive(Default)]
pub(crate) struct Bulk {
    /// Documents by their ids, and how often each was sent.
    pub(crate) documents: BTreeMap<String, (Value, usize)>,
    /// A document with that text in it has no place in the index's mapping.
    pub(crate) dislikes: Option<String>,
    /// So many more documents are put off.
    pub(crate) busy_for: usize,
}

impl Bulk {
    fn create(&mut self, id: &str, document: &Value) -> Value {
        if self.busy_for > 0 {
            self.busy_for -= 1;
            return json!({"create": {"status": 429, "error": {
                "type": "es_rejected_execution_exception", "reason": "queue is full"}}});
        }
        if let Some(text) = &self.dislikes
            && document.to_string().contains(text)
        {
            return json!({"create": {"status": 400, "error": {
                "type": "document_parsing_exception", "reason": "failed to parse"}}});
        }
        let stored = self.documents.entry(id.to_owned());
        let (_, times) = stored.or_insert((document.clone(), 0));
        *times += 1;
        match *times {
            1 => json!({"create": {"status": 201}}),
            _ => json!({"create": {"status": 409, "error": {
                "type": "version_conflict_engine_exception", "reason": "document already exists"}}}),
        }
    }
}

impl Service for Bulk {
    fn answer(&mut self, request: &Request) -> Reply {
        let (lines, is_broken) = objects(&request.body);
        if !request.path.starts_with("/_bulk?") || is_broken || !request.body.ends_with(b"\n") {
            return Reply::new(400, r#"{"error":{"type":"illegal_argument_exception"}}"#);
        }
        let mut items = Vec::new();
        for pair in lines.chunks(2) {
            let [action, document] = pair else {
                return Reply::new(400, "");
            };
            let id = action["create"]["_id"].as_str().unwrap_or_default();
            items.push(self.create(id, document));
        }
        Reply::new(200, &json!({"errors": true, "items": items}).to_string())
    }
}
