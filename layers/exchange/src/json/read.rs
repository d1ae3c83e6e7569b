//! JSON text to a value.
//!
//! In: a text. Out: its value, or where it is no JSON. Pure.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Json, Object};

/// Text that is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct JsonFault(String);

impl Json {
    /// Reads JSON text of at most 127 nested lists and objects. A key `__proto__` is left out wherever it stands.
    ///
    /// # Errors
    /// [`JsonFault`], which names line and column.
    pub fn parse(text: &str) -> Result<Self, JsonFault> {
        Self::parse_counting(text).map(|(value, _)| value)
    }

    /// Also how many keys `__proto__` were left out: a JavaScript peer that is passed one writes to the prototype of
    /// all its objects.
    pub(crate) fn parse_counting(text: &str) -> Result<(Self, usize), JsonFault> {
        let refused = Cell::new(0);
        let text = without_half_pairs(text);
        let mut json = serde_json::Deserializer::from_str(&text);
        let value = Seed(&refused).deserialize(&mut json);
        let value = value.and_then(|value| json.end().map(|()| value));
        match value {
            Ok(value) => Ok((value, refused.get())),
            Err(error) => Err(JsonFault(error.to_string())),
        }
    }
}

/// JavaScript writes half of a surrogate pair as an escape; Rust's strings cannot hold it. U+FFFD takes its place,
/// which is one UTF-16 unit too, so that positions in a text stay right.
fn without_half_pairs(text: &str) -> Cow<'_, str> {
    let unit = |at: usize| -> Option<u16> {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str(text.get(copied..at).unwrap_or_default());
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            (Some(_), _) => at += 6,
            // An escape of two characters; the second may be longer than a byte in what is no JSON.
            (None, _) => {
                let mut chars = text.get(at..).unwrap_or_default().chars();
                at += chars.by_ref().take(2).map(char::len_utf8).sum::<usize>();
            }
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

#[derive(Clone, Copy)]
struct Seed<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if key == "__proto__" {
                self.0.set(self.0.get() + 1);
            } else {
                object.insert(key, value);
            }
        }
        Ok(Json::Object(object))
    }
}
