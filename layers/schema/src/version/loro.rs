//! Loro's version vectors: how many operations of each peer.
//!
//! In: base64 of what the library exports, or counters. Out: a version that is compared and written without the
//! library, and what two of them have in common. Pure.

use std::{collections::BTreeMap, fmt};

use super::{Fault, VersionOrder, base64, bytes};

/// A Loro version: a counter for each peer.
///
/// ```
/// use kyneta_uds_schema::{LoroVersion, VersionOrder};
///
/// let (a, b) = (LoroVersion::from_iter([(7, 3)]), LoroVersion::from_iter([(7, 1), (8, 1)]));
/// assert_eq!(a.compare(&b), VersionOrder::Concurrent);
/// assert_eq!(a.meet(&b).counters().collect::<Vec<_>>(), [(7, 1)]);
/// assert_eq!(LoroVersion::default().to_string(), "AA==");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoroVersion(BTreeMap<u64, i32>);

impl LoroVersion {
    /// The counter of each peer, by peer.
    pub fn counters(&self) -> impl Iterator<Item = (u64, i32)> {
        self.0.iter().map(|(peer, counter)| (*peer, *counter))
    }

    /// How it relates to another. A peer that is absent counts as 0.
    pub fn compare(&self, other: &Self) -> VersionOrder {
        VersionOrder::of(self.lacks(other), other.lacks(self))
    }

    fn lacks(&self, other: &Self) -> bool {
        other.counters().any(|(peer, counter)| {
            let own = self.0.get(&peer).copied().unwrap_or_default();
            own < counter
        })
    }

    /// What both hold.
    pub fn meet(&self, other: &Self) -> Self {
        let both = self.counters().filter_map(|(peer, counter)| {
            let counter = counter.min(*other.0.get(&peer)?);
            (counter > 0).then_some((peer, counter))
        });
        both.collect()
    }

    /// What stands behind the last entry is not looked at.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        let decoded = base64::decode(text)?;
        let mut left = decoded.as_slice();
        let count = bytes::take(&mut left)?;
        let mut counters = BTreeMap::new();
        for _ in 0..count {
            let peer = bytes::take(&mut left)?;
            let zigzag = bytes::take(&mut left)?;
            let zigzag = u32::try_from(zigzag).map_err(|_| Fault::Bytes)?;
            counters.insert(peer, (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32));
        }
        Ok(Self(counters))
    }
}

impl FromIterator<(u64, i32)> for LoroVersion {
    fn from_iter<I: IntoIterator<Item = (u64, i32)>>(counters: I) -> Self {
        Self(counters.into_iter().collect())
    }
}

/// As it is sent.
impl fmt::Display for LoroVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        bytes::push(&mut out, self.0.len() as u64);
        for (peer, counter) in self.counters() {
            bytes::push(&mut out, peer);
            let zigzag = (counter << 1) ^ (counter >> 31);
            bytes::push(&mut out, u64::from(zigzag as u32));
        }
        f.write_str(&base64::encode(&out))
    }
}
