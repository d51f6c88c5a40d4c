//! Bytes and paths in JSON, without loss.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pipeline::exec::{Argv, ArgvSource, ExePath, Unknown};
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
        let mut bytes = Vec::new();
        Append(&mut bytes).deserialize(deserializer)?;
        Ok(Self(bytes))
    }
}

/// The arguments of a program, a list of texts. They are kept as [`Argv`] has them, each with a NUL behind it.
pub(crate) struct Arguments(Vec<u8>);

impl From<Arguments> for Argv {
    fn from(Arguments(bytes): Arguments) -> Self {
        Self {
            bytes_full: bytes.len() as u64,
            bytes: bytes.into(),
            source: ArgvSource::Recording,
        }
    }
}

impl From<&Argv> for Arguments {
    fn from(argv: &Argv) -> Self {
        Self(argv.bytes.to_vec())
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let whole = self.0.strip_suffix(&[0]).unwrap_or(&self.0);
        for argument in whole
            .split(|&byte| byte == 0)
            .filter(|_| !self.0.is_empty())
        {
            list.serialize_element(&Text(argument.to_vec()))?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ArgumentsVisitor).map(Self)
    }
}

struct ArgumentsVisitor;

impl<'de> Visitor<'de> for ArgumentsVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while list.next_element_seed(Append(&mut bytes))?.is_some() {
            bytes.push(0);
        }
        Ok(bytes)
    }
}

/// Puts a text behind what is there.
struct Append<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let start = self.0.len();
        deserializer.deserialize_any(TextVisitor(self.0))?;
        if self.0[start..].contains(&0) {
            return Err(de::Error::custom("a NUL byte in an argument or a path"));
        }
        Ok(())
    }
}

struct TextVisitor<'a>(&'a mut Vec<u8>);

impl<'de> Visitor<'de> for TextVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"base64\": \"…\"}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut bytes = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "base64" {
                map.next_value::<de::IgnoredAny>()?;
                continue;
            }
            let text = map.next_value::<String>()?;
            bytes = Some(STANDARD.decode(text).map_err(de::Error::custom)?);
        }
        let bytes = bytes.ok_or_else(|| de::Error::missing_field("base64"))?;
        self.0.extend_from_slice(&bytes);
        Ok(())
    }
}
