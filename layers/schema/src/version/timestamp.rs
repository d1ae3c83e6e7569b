//! The versions of documents whose newest value replaces the others: a time.
//!
//! In: text of a peer, milliseconds. Out: a version that is compared and written; the clock is read elsewhere. Pure.

use std::fmt;

use super::{Fault, VersionOrder};
use crate::js;

/// A time, milliseconds since 1970, as a JavaScript number.
///
/// ```
/// use kyneta_uds_schema::{TimestampVersion, VersionOrder};
///
/// let (old, new) = (TimestampVersion::new(1_750_000_000_000), TimestampVersion::new(1_750_000_000_100));
/// assert_eq!(old.compare(&new), VersionOrder::Behind);
/// assert_eq!(new.to_string(), "1750000000100");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimestampVersion(f64);

impl TimestampVersion {
    /// A time, milliseconds since 1970.
    pub fn new(ms: u64) -> Self {
        Self(ms as f64)
    }

    /// The time, whole milliseconds.
    pub fn ms(self) -> u64 {
        self.0 as u64
    }

    /// How it relates to another: the newer one is ahead.
    pub fn compare(&self, other: &Self) -> VersionOrder {
        VersionOrder::of(self.0 < other.0, self.0 > other.0)
    }

    /// The older one.
    pub fn meet(&self, other: &Self) -> Self {
        Self(self.0.min(other.0))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        match js::number(text) {
            Some(ms) if ms >= 0.0 => Ok(Self(ms)),
            _ => Err(Fault::Number),
        }
    }
}

/// As it is sent.
impl fmt::Display for TimestampVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&js::number_text(self.0))
    }
}
