//! The state of a layer, a connection or a process as a value that another version of this library can read.
//!
//! In: fields by name. Out: bytes, and fields again. Touches nothing.
//!
//! A saved value describes itself: it is one CBOR map with its version and the lowest version of a reader that
//! may use it. A layer saves its part as such a value, and a connection is a value whose fields are the parts.

mod bytes;
mod cbor;
mod error;
mod fields;
mod layers;

use std::ops::RangeInclusive;

use ::bytes::Bytes;

pub use self::bytes::SavedBytes;
use self::fields::Fields;
pub use error::SavedError;
pub use layers::{AHEAD, Resume, Save};

/// The name of the field with the version.
const VERSION: &str = "version";
/// The name of the field with the lowest version of a reader.
const LOWEST: &str = "lowest";

/// What a layer, a connection or a process hands over of itself: fields by name, with a version.
///
/// ```
/// use kyneta_uds_core::Saved;
///
/// let saved = Saved::new(2, 1).with("seq", 7_u64).with("arriving", b"\x82\x01".to_vec());
/// let bytes = saved.encode();
///
/// let read = Saved::decode(&bytes)?;
/// read.check("framing", 1..=1)?; // version 2, which a reader of version 1 may use
/// assert_eq!(read.number("seq")?, 7);
/// assert_eq!(read.bytes("arriving")?, b"\x82\x01".as_slice());
///
/// let error = Saved::new(3, 3).check("framing", 1..=2).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the saved state of framing has version 3, for readers from version 3 on; this is version 2"
/// );
/// # Ok::<(), kyneta_uds_core::SavedError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Saved {
    version: u64,
    lowest: u64,
    fields: Fields,
}

/// A field of a [`Saved`] value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SavedValue {
    /// A number, also of a time, in the unit that the field's owner documents.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Bytes.
    Bytes(Bytes),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<SavedValue>),
    /// A value with a version of its own.
    Part(Saved),
}

impl Saved {
    /// A value without fields, of this version, for readers from version `lowest` on.
    pub const fn new(version: u32, lowest: u32) -> Self {
        Self {
            version: version as u64,
            lowest: lowest as u64,
            fields: Fields::new(),
        }
    }

    /// The same with a field. The names `version` and `lowest` are taken: such a field has no effect.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<SavedValue>) -> Self {
        if name != VERSION && name != LOWEST {
            self.fields.set(name, value.into());
        }
        self
    }

    /// Its version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The lowest version of a reader.
    pub const fn lowest(&self) -> u64 {
        self.lowest
    }

    /// Whether a reader that understands these versions may use it. `what` names it in the error.
    ///
    /// # Errors
    /// [`SavedError::TooNew`] and [`SavedError::TooOld`].
    pub fn check(&self, what: &'static str, reads: RangeInclusive<u32>) -> Result<(), SavedError> {
        let (oldest, newest) = (u64::from(*reads.start()), u64::from(*reads.end()));
        if self.version > newest && self.lowest > newest {
            return Err(SavedError::TooNew {
                what,
                version: self.version,
                lowest: self.lowest,
                reader: newest,
            });
        }
        if self.version < oldest {
            return Err(SavedError::TooOld {
                what,
                version: self.version,
                oldest,
            });
        }
        Ok(())
    }

    /// A field, if there is one.
    pub fn get(&self, name: &str) -> Option<&SavedValue> {
        self.fields.get(name)
    }

    /// A number.
    ///
    /// # Errors
    /// [`SavedError::Field`] when there is no such field, or it is no number.
    pub fn number(&self, name: &'static str) -> Result<u64, SavedError> {
        match self.get(name) {
            Some(SavedValue::Number(number)) => Ok(*number),
            _ => Err(SavedError::Field {
                name,
                is: "a number",
            }),
        }
    }

    /// A number of at most 32 bits.
    ///
    /// # Errors
    /// As of [`number`](Self::number), and [`SavedError::Value`].
    pub fn number32(&self, name: &'static str) -> Result<u32, SavedError> {
        let why = "it is over 4294967295";
        u32::try_from(self.number(name)?).map_err(|_| SavedError::invalid(name, why))
    }

    /// A number, if there is a field of this name.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn number_if_any(&self, name: &'static str) -> Result<Option<u64>, SavedError> {
        self.get(name).map(|_| self.number(name)).transpose()
    }

    /// A number, or 0 if there is no field of this name.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn number_or_zero(&self, name: &'static str) -> Result<u64, SavedError> {
        Ok(self.number_if_any(name)?.unwrap_or(0))
    }

    /// Yes or no; no, if there is no field of this name.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn flag_or_false(&self, name: &'static str) -> Result<bool, SavedError> {
        self.get(name).map_or(Ok(false), |_| self.flag(name))
    }

    /// Yes or no.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn flag(&self, name: &'static str) -> Result<bool, SavedError> {
        match self.get(name) {
            Some(SavedValue::Flag(flag)) => Ok(*flag),
            _ => Err(SavedError::Field { name, is: "a flag" }),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn bytes(&self, name: &'static str) -> Result<&Bytes, SavedError> {
        match self.get(name) {
            Some(SavedValue::Bytes(bytes)) => Ok(bytes),
            _ => Err(SavedError::Field { name, is: "bytes" }),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn text(&self, name: &'static str) -> Result<&str, SavedError> {
        match self.get(name) {
            Some(SavedValue::Text(text)) => Ok(text),
            _ => Err(SavedError::Field { name, is: "text" }),
        }
    }

    /// A list.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn list(&self, name: &'static str) -> Result<&[SavedValue], SavedError> {
        match self.get(name) {
            Some(SavedValue::List(list)) => Ok(list),
            _ => Err(SavedError::Field { name, is: "a list" }),
        }
    }

    /// A part with a version of its own.
    ///
    /// # Errors
    /// As of [`number`](Self::number).
    pub fn part(&self, name: &'static str) -> Result<&Self, SavedError> {
        match self.get(name) {
            Some(SavedValue::Part(part)) => Ok(part),
            _ => Err(SavedError::Field { name, is: "a part" }),
        }
    }

    /// As bytes: one CBOR map, the same for equal values.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    /// Appends what [`encode`](Self::encode) gives: several values in a row are a CBOR sequence (RFC 8742), of which
    /// [`decode_first`](Self::decode_first) reads one after another.
    ///
    /// ```
    /// use kyneta_uds_core::Saved;
    ///
    /// let mut sequence = Vec::new();
    /// for number in 0..3_u64 {
    ///     Saved::new(1, 1).with("number", number).encode_to(&mut sequence);
    /// }
    /// let mut rest = sequence.as_slice();
    /// for number in 0..3 {
    ///     assert_eq!(Saved::decode_first(&mut rest)?.number("number")?, number);
    /// }
    /// assert!(rest.is_empty());
    /// # Ok::<(), kyneta_uds_core::SavedError>(())
    /// ```
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        cbor::encode(self, out);
    }

    /// From bytes. Memory follows the bytes, not what they claim; lists and parts nest 16 deep at most.
    ///
    /// # Errors
    /// [`SavedError::Unreadable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        cbor::decode(bytes)
    }

    /// From the first of the bytes, which are left behind it. Otherwise as [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`SavedError::Unreadable`]; then the bytes stay as they were.
    pub fn decode_first(bytes: &mut &[u8]) -> Result<Self, SavedError> {
        cbor::decode_first(bytes)
    }
}

impl SavedValue {
    /// One of the parts that the list in the field `name` has.
    ///
    /// # Errors
    /// [`SavedError::Value`]: it is no part.
    ///
    /// ```
    /// use kyneta_uds_core::{Saved, SavedValue};
    ///
    /// let member = Saved::new(1, 1).with("key", 7_u64);
    /// let saved = Saved::new(1, 1).with("members", vec![SavedValue::from(member)]);
    /// for value in saved.list("members")? {
    ///     assert_eq!(value.as_part("members")?.number("key")?, 7);
    /// }
    /// # Ok::<(), kyneta_uds_core::SavedError>(())
    /// ```
    pub fn as_part(&self, name: &'static str) -> Result<&Saved, SavedError> {
        match self {
            Self::Part(part) => Ok(part),
            _ => Err(SavedError::invalid(name, "one of the list is no part")),
        }
    }
}

macro_rules! from {
    ($($variant:ident: $of:ty),*) => { $(
        impl From<$of> for SavedValue {
            fn from(value: $of) -> Self {
                Self::$variant(value.into())
            }
        }
    )* };
}

from!(Number: u64, Number: u32, Number: u8, Flag: bool, Bytes: Vec<u8>, Bytes: Bytes, Text: &str, Text: String,
    List: Vec<SavedValue>, Part: Saved);

#[cfg(test)]
mod tests;
