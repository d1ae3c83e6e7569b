//! The fields of a map by key: in, a well-formed payload; out, values of the right type.

use std::borrow::Cow;

use kyneta_uds_core::{AliasFault, Rejection};

use super::item::{Item, read, skip, without_bom};

/// Why a payload is rejected, while the path to the fault is being built.
#[derive(Debug)]
pub(super) enum Fault {
    Decode {
        what: Cow<'static, str>,
        at: usize,
    },
    Invalid {
        path: String,
        what: Cow<'static, str>,
    },
    Alias(AliasFault),
}

impl Fault {
    pub(super) fn invalid(path: &str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    /// The same fault, as found in an inner map under the key `outer`.
    pub(super) fn within(self, outer: &str) -> Self {
        match self {
            Self::Invalid { path, what } if path.is_empty() => Self::Invalid {
                path: outer.to_owned(),
                what,
            },
            Self::Invalid { path, what } => Self::Invalid {
                path: format!("{outer}.{path}"),
                what,
            },
            other => other,
        }
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Decode { what, at } => Self::Decode { what, at },
            Fault::Invalid { path, what } => Self::Invalid { path, what },
            Fault::Alias(fault) => Self::Alias(fault),
        }
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
    ) -> Result<Self, Fault> {
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

    pub(super) fn text(&self, key: &str) -> Result<&'a str, Fault> {
        text(self.bytes, self.get(key), key)
    }

    pub(super) fn optional_text(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        self.get(key)
            .map(|item| text(self.bytes, Some(item), key))
            .transpose()
    }

    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some(Item::Number(number)) => Ok(Some(*number)),
            Some(_) => Err(Fault::invalid(key, "not a number")),
        }
    }

    pub(super) fn optional_bool(&self, key: &str) -> Result<Option<bool>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some(Item::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(Fault::invalid(key, "not a boolean")),
        }
    }
}

/// A text in valid UTF-8. It is not repaired, as two different ids could then become equal.
pub(super) fn text<'a>(bytes: &'a [u8], item: Option<&Item>, key: &str) -> Result<&'a str, Fault> {
    let Some(Item::Text(range)) = item else {
        return Err(Fault::invalid(key, "not a text"));
    };
    let range = without_bom(bytes, range.clone());
    let at = range.start;
    std::str::from_utf8(bytes.get(range).unwrap_or_default()).map_err(|error| Fault::Decode {
        what: format!("invalid UTF-8 in {key}").into(),
        at: at + error.valid_up_to(),
    })
}

/// The items of an array of `len`, the first of which is at `at`.
pub(super) fn items(
    bytes: &[u8],
    len: usize,
    mut at: usize,
) -> impl Iterator<Item = Result<Item, Fault>> + '_ {
    (0..len).map(move |_| {
        let (item, _) = read(bytes, at)?;
        at = skip(bytes, at)?;
        Ok(item)
    })
}
