//! The versions of plain JSON documents: a count of batches, and in release 2.x the lineage that they belong to.
//!
//! In: the text of either release. Out: a version that is compared and counted on. Pure.

use std::fmt;

use kyneta_uds_core::{Lineage, WireVersion};

use super::{Fault, VersionOrder};
use crate::js;

/// The lineage of a document that was not edited yet.
const GENESIS: &str = "kyneta.genesis";

/// A version of a plain JSON document: how many batches it has taken, in which lineage.
///
/// A document gets its lineage by its first edit, so documents of different lineages were edited apart. In release
/// 1.8 there is the count alone.
///
/// ```
/// use kyneta_uds_core::Lineage;
/// use kyneta_uds_schema::PlainVersion;
///
/// let first = PlainVersion::new(Some(Lineage::new("0011223344556677")?), 0).next();
/// assert_eq!(first.to_string(), "0011223344556677:1");
/// assert_eq!(PlainVersion::genesis().to_string(), "kyneta.genesis:0");
/// assert_eq!(PlainVersion::new(None, 4).to_string(), "4"); // release 1.8
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PlainVersion {
    /// `None` in release 1.8.
    lineage: Option<Lineage>,
    /// A JavaScript number: an integer, 0 or more.
    count: f64,
}

impl PlainVersion {
    /// The version after `count` batches of a lineage; of release 1.8 without one.
    pub fn new(lineage: Option<Lineage>, count: u64) -> Self {
        let count = count as f64;
        Self { lineage, count }
    }

    /// The version of a document of release 2.x that was not edited yet.
    pub fn genesis() -> Self {
        // Never too long.
        Self::new(Lineage::new(GENESIS).ok(), 0)
    }

    /// The lineage, also that of a document that was not edited yet; `None` in release 1.8.
    pub const fn lineage(&self) -> Option<&Lineage> {
        self.lineage.as_ref()
    }

    /// Whether it has a lineage of its own: it was edited, in release 2.x.
    pub fn is_of_a_lineage(&self) -> bool {
        let lineage = self.lineage.as_ref();
        lineage.is_some_and(|lineage| lineage.as_str() != GENESIS)
    }

    /// How many batches. What is no exact count any more is the largest `u64`.
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// The version after one batch more.
    pub fn next(&self) -> Self {
        Self {
            lineage: self.lineage.clone(),
            count: self.count + 1.0,
        }
    }

    /// The same count in another lineage.
    pub fn of_lineage(&self, lineage: Lineage) -> Self {
        Self {
            lineage: Some(lineage),
            count: self.count,
        }
    }

    /// How it relates to another. What was not edited counts as nothing in every lineage.
    pub fn compare(&self, other: &Self) -> VersionOrder {
        if self.lineage == other.lineage {
            let (own, theirs) = (self.weight(), other.weight());
            return VersionOrder::of(own < theirs, own > theirs);
        }
        VersionOrder::of(other.weight() > 0.0, self.weight() > 0.0)
    }

    fn weight(&self) -> f64 {
        match self.lineage {
            Some(_) if !self.is_of_a_lineage() => 0.0,
            _ => self.count,
        }
    }

    /// What both hold.
    pub fn meet(&self, other: &Self) -> Self {
        let count = self.weight().min(other.weight());
        if self.lineage.is_none() && other.lineage.is_none() {
            return Self {
                lineage: None,
                count,
            };
        }
        if self.lineage != other.lineage || count == 0.0 {
            return Self::genesis();
        }
        Self {
            lineage: self.lineage.clone(),
            count,
        }
    }

    pub(super) fn parse(wire: WireVersion, text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        let (lineage, count) = match wire {
            WireVersion::V2 => (None, text),
            WireVersion::V3 => {
                let (lineage, count) = text.split_once(':').ok_or(Fault::Form)?;
                if count.contains(':') {
                    return Err(Fault::Form);
                }
                (
                    Some(Lineage::new(lineage).map_err(|_| Fault::Lineage)?),
                    count,
                )
            }
        };
        match js::number(count) {
            Some(count) if count >= 0.0 && count.fract() == 0.0 => Ok(Self { lineage, count }),
            _ => Err(Fault::Integer),
        }
    }
}

/// As it is sent.
impl fmt::Display for PlainVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lineage) = &self.lineage {
            write!(f, "{lineage}:")?;
        }
        f.write_str(&js::number_text(self.count))
    }
}
