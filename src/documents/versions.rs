//! Compares versions as the kind of document does, as peers of one wire version write them.
//!
//! In: an entry, two versions. Out: how they stand to each other. Touches nothing.

use kyneta_uds_core::{DocEntry, Version, WireVersion};
use kyneta_uds_schema::{DocVersion, Schema, Substrate, VersionOrder};
use kyneta_uds_sync::{self as sync, Relation, Versions};

/// The versions that peers of a wire version write.
#[derive(Debug, Clone, Copy)]
pub(super) struct WireVersions(pub(super) WireVersion);

impl Versions for WireVersions {
    fn relation(&self, doc: &DocEntry, ours: &Version, theirs: &Version) -> Option<Relation> {
        let substrate = substrate(doc)?;
        let parse = |text: &Version| DocVersion::parse(substrate, self.0, text).ok();
        let (ours, theirs) = (parse(ours)?, parse(theirs)?);
        if let (DocVersion::Plain(ours), DocVersion::Plain(theirs)) = (&ours, &theirs)
            && ours.is_of_a_lineage()
            && theirs.is_of_a_lineage()
            && ours.lineage() != theirs.lineage()
        {
            // Both sides keep the same one.
            let [ours, theirs] = [ours, theirs].map(|it| it.lineage().map(|text| text.as_str()));
            let ours_stays = ours < theirs;
            return Some(Relation::Unrelated { ours_stays });
        }
        Some(match ours.compare(&theirs) {
            VersionOrder::Equal => Relation::Equal,
            VersionOrder::Ahead => Relation::Ahead,
            VersionOrder::Behind => Relation::Behind,
            VersionOrder::Concurrent => Relation::Concurrent,
        })
    }
}

/// How far ahead of the clock here the time of an ephemeral document may be: a hundred years. A clock that starts in 1970 may
/// be set while the process runs, and takes part before; a time in microseconds is refused.
const MAX_AHEAD_MS: u64 = 100 * 365 * 24 * 3_600_000;

/// A version is of a time that is too far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its time is {ahead_ms} ms ahead of the clock here, more than a hundred years: it is no time in milliseconds"
)]
pub(super) struct TooFarAhead {
    ahead_ms: u64,
}

/// Refuses a time so late that an edit after it could not be later. The bound moves with the clock: a fixed one could be met
/// exactly, and no peer would take an edit after that.
pub(super) fn check_time(version: &DocVersion, now_ms: u64) -> Result<(), TooFarAhead> {
    let DocVersion::Ephemeral(time) = version else {
        return Ok(());
    };
    let ahead_ms = time.ms().saturating_sub(now_ms);
    match ahead_ms > MAX_AHEAD_MS {
        true => Err(TooFarAhead { ahead_ms }),
        false => Ok(()),
    }
}

/// What kind of document an entry presents; `None` when it is none that is known.
pub(super) fn substrate(entry: &DocEntry) -> Option<Substrate> {
    let is = |substrate: &Substrate| {
        substrate.mode() == entry.mode
            && substrate
                .replica_type()
                .is_ok_and(|own| own.name == entry.replica.name && own.major == entry.replica.major)
    };
    Substrate::ALL.into_iter().find(is)
}

/// A schema as a machine knows it; `None` where peers of this wire version cannot have it.
pub(super) fn known_schema(
    substrate: Substrate,
    schema: &Schema,
    wire: WireVersion,
) -> Option<sync::Schema> {
    let replica = substrate.replica_type().ok()?;
    let known = sync::Schema::new(replica, substrate.mode(), schema.hash(wire)?);
    Some(match schema.supported_hashes(wire) {
        Some(hashes) => known.supported(hashes),
        None => known,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kyneta_uds_core::{DocId, SchemaHash, SyncMode};

    #[test]
    fn histories_that_began_apart_are_unrelated_and_one_of_them_stays_on_both_sides() {
        let plain = Substrate::Plain.replica_type().unwrap();
        let mut entry = DocEntry::new(
            DocId::new("d").unwrap(),
            plain,
            SchemaHash::new("02").unwrap(),
        );
        entry.mode = SyncMode::Authoritative;
        let relation = |wire, ours: &str, theirs: &str| {
            let [ours, theirs] = [ours, theirs].map(|text| Version::new(text).unwrap());
            WireVersions(wire).relation(&entry, &ours, &theirs)
        };
        let unrelated = |ours_stays| Some(Relation::Unrelated { ours_stays });
        let v3 = WireVersion::V3;
        assert_eq!(relation(v3, "aa:3", "bb:1"), unrelated(true));
        assert_eq!(relation(v3, "bb:1", "aa:3"), unrelated(false));
        assert_eq!(
            relation(v3, "kyneta.genesis:0", "aa:3"),
            Some(Relation::Behind)
        );
        assert_eq!(relation(v3, "aa:3", "aa:3"), Some(Relation::Equal));
        assert_eq!(relation(v3, "aa:3", "3"), None);
        assert_eq!(relation(WireVersion::V2, "4", "3"), Some(Relation::Ahead));
    }

    #[test]
    fn the_mode_tells_an_ephemeral_document_from_a_json_document() {
        for expected in [Substrate::Plain, Substrate::Ephemeral, Substrate::Loro] {
            let replica = expected.replica_type().unwrap();
            let mut entry = DocEntry::new(
                DocId::new("d").unwrap(),
                replica,
                SchemaHash::new("02").unwrap(),
            );
            entry.mode = expected.mode();
            assert_eq!(substrate(&entry), Some(expected));
        }
    }
}
