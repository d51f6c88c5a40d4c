//! wallwatch's own JSON: `agent/packaging/schema/wallwatch.event.schema.json`.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::compact;
use super::shorten::{HEAD, SHORTENED};
use crate::delivery::encode::is_active;
use crate::delivery::event::Event;

/// What is stored, as it is stored; an event that was shortened begins as it did.
pub(super) fn encode(event: &Event<'_>) -> Vec<u8> {
    let Value::Object(fields) = event.value() else {
        return event.native().to_vec();
    };
    if !fields.contains_key(SHORTENED) && is_passive(event.native()) {
        return event.native().to_vec();
    }
    compact(&HeadFirst(fields))
}

/// The encoders let nothing else into the store. What a format promises must not rest on that.
fn is_passive(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok_and(|json| !json.contains(is_active))
}

/// An object whose first fields are those that every event has.
struct HeadFirst<'a>(&'a Map<String, Value>);

impl Serialize for HeadFirst<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(fields) = self;
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for name in HEAD {
            if let Some(value) = fields.get(name) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in *fields {
            if !HEAD.contains(&name.as_str()) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}
