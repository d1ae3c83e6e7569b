//! The fields of a map by key: in, a well-formed payload; out, values of the right type.

use std::borrow::Cow;

use kyneta_uds_core::Rejection;

use super::item::{Item, read, skip, without_bom};

pub(super) fn invalid(path: &str, what: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::Invalid {
        path: path.to_owned(),
        what: what.into(),
    }
}

/// The same rejection, as found in an inner map under the key `outer`.
pub(super) fn within(outer: &str, rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::Invalid { path, what } if path.is_empty() => invalid(outer, what),
        Rejection::Invalid { path, what } => invalid(&format!("{outer}.{path}"), what),
        other => other,
    }
}

/// A map's values under known keys. An undefined value counts as absent.
pub(super) struct Fields<'a, const N: usize> {
    bytes: &'a [u8],
    known: [&'static str; N],
    found: [Option<Item>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Reads a map of `len` pairs, the first of which is at `at`.
    pub(super) fn read(
        bytes: &'a [u8],
        known: [&'static str; N],
        len: usize,
        mut at: usize,
    ) -> Result<Self, Rejection> {
        let mut found = [const { None }; N];
        for _ in 0..len {
            let (key, value) = read(bytes, at)?;
            let (item, _) = read(bytes, value)?;
            at = skip(bytes, value)?;
            let Item::Text(key) = key else { continue };
            let key = bytes.get(without_bom(bytes, key)).unwrap_or_default();
            let place = known.iter().position(|known| known.as_bytes() == key);
            if let Some(slot) = place.and_then(|place| found.get_mut(place))
                && item != Item::Undefined
            {
                *slot = Some(item);
            }
        }
        Ok(Self {
            bytes,
            known,
            found,
        })
    }

    /// The payload.
    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn get(&self, key: &str) -> Option<&Item> {
        let place = self.known.iter().position(|name| *name == key)?;
        self.found.get(place)?.as_ref()
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, Rejection> {
        text(self.bytes, self.get(key), key)
    }

    pub(super) fn optional_text(&self, key: &str) -> Result<Option<&'a str>, Rejection> {
        self.get(key)
            .map(|item| text(self.bytes, Some(item), key))
            .transpose()
    }

    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>, Rejection> {
        match self.get(key) {
            None => Ok(None),
            Some(Item::Number(number)) => Ok(Some(*number)),
            Some(_) => Err(invalid(key, "not a number")),
        }
    }

    /// A number that is one of a few small integers; -0 is 0.
    pub(super) fn small_integer(&self, key: &str) -> Option<u8> {
        let Some(Item::Number(number)) = self.get(key) else {
            return None;
        };
        let integer = *number as u8;
        (f64::from(integer) == *number).then_some(integer)
    }

    pub(super) fn optional_bool(&self, key: &str) -> Result<Option<bool>, Rejection> {
        match self.get(key) {
            None => Ok(None),
            Some(Item::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(invalid(key, "not a boolean")),
        }
    }
}

/// A text in valid UTF-8. It is not repaired, as two different ids could then become equal.
pub(super) fn text<'a>(
    bytes: &'a [u8],
    item: Option<&Item>,
    key: &str,
) -> Result<&'a str, Rejection> {
    let Some(Item::Text(range)) = item else {
        return Err(invalid(key, "not a text"));
    };
    let range = without_bom(bytes, range.clone());
    let at = range.start;
    std::str::from_utf8(bytes.get(range).unwrap_or_default()).map_err(|error| Rejection::Decode {
        what: format!("invalid UTF-8 in {key}").into(),
        at: at + error.valid_up_to(),
    })
}

/// The items of an array of `len`, the first of which is at `at`.
pub(super) fn items(
    bytes: &[u8],
    len: usize,
    mut at: usize,
) -> impl Iterator<Item = Result<Item, Rejection>> + '_ {
    (0..len).map(move |_| {
        let (item, _) = read(bytes, at)?;
        at = skip(bytes, at)?;
        Ok(item)
    })
}
