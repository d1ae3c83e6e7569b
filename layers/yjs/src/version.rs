//! The version of a Yjs document: its state vector, and its deletions as the reference encodes them.

use kyneta_uds_core::WireVersion;
use kyneta_uds_schema::YjsVersion;
use yrs::{ClientID, ReadTxn, Snapshot, StateVector};

/// What a version is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// By client, the greatest first.
    clocks: Vec<(u64, u64)>,
    /// The encoded snapshot: deletions, then the state vector.
    snapshot: Vec<u8>,
}

impl Seen {
    pub(crate) fn of<T: ReadTxn>(txn: &T) -> Self {
        let Snapshot {
            delete_set,
            state_map,
        } = txn.snapshot();
        let mut clocks: Vec<_> = state_map
            .iter()
            .filter(|(_, clock)| **clock > 0)
            .map(|(client, clock)| (client.get(), u64::from(*clock)))
            .collect();
        clocks.sort_unstable_by(|a, b| b.cmp(a));
        let mut deleted: Vec<_> = delete_set
            .iter()
            .map(|(client, ranges)| {
                let ranges = ranges.iter().map(|range| (range.start, range.end));
                (client.get(), ranges.collect::<Vec<_>>())
            })
            .filter(|(_, ranges)| !ranges.is_empty())
            .collect();
        deleted.sort_unstable_by(|a, b| b.cmp(a));
        let mut snapshot = Vec::new();
        push(&mut snapshot, deleted.len() as u64);
        for (client, ranges) in deleted {
            push(&mut snapshot, client);
            push(&mut snapshot, ranges.len() as u64);
            for (start, end) in ranges {
                push(&mut snapshot, u64::from(start));
                push(&mut snapshot, u64::from(end.saturating_sub(start)));
            }
        }
        push(&mut snapshot, clocks.len() as u64);
        for (client, clock) in &clocks {
            push(&mut snapshot, *client);
            push(&mut snapshot, *clock);
        }
        Self { clocks, snapshot }
    }

    pub(crate) fn version(&self, wire: WireVersion) -> YjsVersion {
        YjsVersion::new(wire, self.clocks.iter().copied()).with_snapshot(&self.snapshot)
    }
}

/// The state vector of a version. Clocks that no document of this library can reach are cut.
pub(crate) fn vector(version: &YjsVersion) -> StateVector {
    let mut vector = StateVector::default();
    for (client, clock) in version.clocks() {
        // Of 53 bits, as it was read.
        let clock = u32::try_from(clock).unwrap_or(u32::MAX);
        vector.set_max(ClientID::new(client & ((1 << 53) - 1)), clock);
    }
    vector
}

/// A number in groups of 7 bits, the lowest first.
fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
