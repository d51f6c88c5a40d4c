//! Bytes and paths in JSON, without loss.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pipeline::exec::{ExePath, Unknown};
use crate::pipeline::tty::Tty;

pub(crate) fn exe_path(path: Option<Text>, reason: Option<UnknownWord>) -> ExePath {
    match path {
        Some(path) => ExePath::Known(path.0.into()),
        None => ExePath::Unknown(reason.map_or(Unknown::NotRecorded, |word| word.0)),
    }
}

pub(crate) fn unknown_word(path: &ExePath) -> Option<UnknownWord> {
    match path {
        ExePath::Known(_) => None,
        ExePath::Unknown(reason) => Some(UnknownWord(*reason)),
    }
}

/// Why a path is unknown, by its word.
pub(crate) struct UnknownWord(pub(crate) Unknown);

impl Serialize for UnknownWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for UnknownWord {
    /// A word of a later version is taken for "not recorded".
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known = Unknown::ALL
            .into_iter()
            .find(|reason| reason.as_str() == word);
        Ok(Self(known.unwrap_or(Unknown::NotRecorded)))
    }
}

impl Serialize for Tty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::from(&*text))
    }
}

/// Bytes: a string where they are UTF-8, `{"base64": "…"}` where not. A NUL cannot be part of an
/// argument or a path.
pub(crate) struct Text(pub(crate) Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(TextVisitor)?;
        if text.0.contains(&0) {
            return Err(de::Error::custom("a NUL byte in an argument or a path"));
        }
        Ok(text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"base64\": \"…\"}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let mut bytes = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "base64" {
                map.next_value::<de::IgnoredAny>()?;
                continue;
            }
            let text = map.next_value::<String>()?;
            bytes = Some(STANDARD.decode(text).map_err(de::Error::custom)?);
        }
        bytes
            .map(Text)
            .ok_or_else(|| de::Error::missing_field("base64"))
    }
}
