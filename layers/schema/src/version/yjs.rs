//! Yjs's state vectors, and the second part by which the reference tells deletions apart.
//!
//! In: the text of either release, or clocks and a snapshot. Out: a version that is compared and written without the
//! library. Pure.

use std::{collections::HashMap, fmt};

use kyneta_uds_core::WireVersion;

use super::{Fault, VersionOrder, base64, bytes};
use crate::fnv;

/// The largest integer that a JavaScript number holds exactly.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A Yjs version: a clock for each client, and a text that stands for what was deleted.
///
/// ```
/// use kyneta_uds_core::WireVersion;
/// use kyneta_uds_schema::{VersionOrder, YjsVersion};
///
/// let a = YjsVersion::new(WireVersion::V3, [(7, 3)]);
/// let b = YjsVersion::new(WireVersion::V3, [(7, 4)]);
/// assert_eq!(a.compare(&b), VersionOrder::Behind);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YjsVersion {
    wire: WireVersion,
    /// In the order in which they are written.
    clocks: Vec<(u64, u64)>,
    deleted: String,
}

impl YjsVersion {
    /// The version of these clients and clocks, where the second part is taken of them alone.
    pub fn new(wire: WireVersion, clocks: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let clocks = clocks.into_iter().collect::<Vec<_>>();
        let vector = vector(&clocks);
        Self {
            wire,
            clocks,
            deleted: match wire {
                WireVersion::V2 => base64::encode(&vector),
                WireVersion::V3 => fnv::hex_128(&vector),
            },
        }
    }

    /// The version with what was deleted: an encoded snapshot of the document.
    pub fn with_snapshot(mut self, snapshot: &[u8]) -> Self {
        self.deleted = match self.wire {
            WireVersion::V2 => base64::encode(snapshot),
            WireVersion::V3 => fnv::hex_128(snapshot),
        };
        self
    }

    /// The clock of each client, in the order in which they are written.
    pub fn clocks(&self) -> impl Iterator<Item = (u64, u64)> {
        self.clocks.iter().copied()
    }

    /// How it relates to another. A client that is absent counts as 0.
    pub fn compare(&self, other: &Self) -> VersionOrder {
        match VersionOrder::of(self.lacks(other), other.lacks(self)) {
            VersionOrder::Equal if self.deleted != other.deleted => VersionOrder::Concurrent,
            order => order,
        }
    }

    fn lacks(&self, other: &Self) -> bool {
        let own: HashMap<_, _> = self.clocks().collect();
        let clock = |client| own.get(&client).copied().unwrap_or_default();
        other
            .clocks()
            .any(|(client, theirs)| clock(client) < theirs)
    }

    /// What both hold, without what was deleted.
    pub fn meet(&self, other: &Self) -> Self {
        let theirs: HashMap<_, _> = other.clocks().collect();
        let both = self.clocks().filter_map(|(client, clock)| {
            let clock = clock.min(*theirs.get(&client)?);
            (clock > 0).then_some((client, clock))
        });
        Self::new(self.wire, both)
    }

    pub(super) fn parse(wire: WireVersion, text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        let (vector, deleted) = match text.split_once('.') {
            Some((vector, deleted)) => (vector, Some(deleted)),
            None => (text, None),
        };
        let decoded = base64::decode(vector)?;
        let mut left = decoded.as_slice();
        let count = bytes::take(&mut left)?;
        let mut clocks: Vec<(u64, u64)> = Vec::new();
        let mut at = HashMap::new();
        for _ in 0..count {
            let (client, clock) = (bytes::take(&mut left)?, bytes::take(&mut left)?);
            if client > MAX_INTEGER || clock > MAX_INTEGER {
                return Err(Fault::Bytes);
            }
            let index = *at.entry(client).or_insert(clocks.len());
            match clocks.get_mut(index) {
                Some(known) => known.1 = clock,
                None => clocks.push((client, clock)),
            }
        }
        let mut version = Self::new(wire, clocks);
        match (wire, deleted) {
            (WireVersion::V2, Some(text)) => {
                version.deleted = base64::encode(&base64::decode(text)?);
            }
            (WireVersion::V3, Some(text)) => text.clone_into(&mut version.deleted),
            (_, None) => version = version.with_snapshot(&decoded),
        }
        Ok(version)
    }
}

fn vector(clocks: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes::push(&mut out, clocks.len() as u64);
    for (client, clock) in clocks {
        bytes::push(&mut out, *client);
        bytes::push(&mut out, *clock);
    }
    out
}

/// As it is sent.
impl fmt::Display for YjsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vector = base64::encode(&vector(&self.clocks));
        write!(f, "{vector}.{}", self.deleted)
    }
}
