//! What a replica holds of a document, and how it merges: a toy for each of the three sync modes.
//!
//! In: edits, offers. Out: versions and payloads. Each edit is a number, so that a lost one can be named. Pure.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use kyneta_uds_core::{
    DocEntry, DocId, Offer, PayloadKind, ReplicaType, SchemaHash, SyncMode, Version,
};
use kyneta_uds_sync::{Imported, Relation, Take, Versions};

use crate::edits::{Edit, edits, known, written};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A set of edits that grows. An edit waits for the one before it of its author.
    Concurrent(BTreeSet<Edit>),
    /// A log, and where it began; 0 when it has not.
    Serialized { lineage: u32, log: Vec<Edit> },
    /// The last write, and when it was.
    Snapshot { value: Edit, at: u32 },
}

pub(crate) fn mode(name: &str) -> SyncMode {
    match name.as_bytes()[0] {
        b'c' => SyncMode::Collaborative,
        b's' => SyncMode::Authoritative,
        _ => SyncMode::Ephemeral,
    }
}

pub(crate) fn entry(name: &str) -> DocEntry {
    let replica = ReplicaType::new("toy", 1.0, 0.0).unwrap();
    let doc = DocId::new(name).unwrap();
    let mut entry = DocEntry::new(doc, replica, SchemaHash::new("02ab").unwrap());
    entry.mode = mode(name);
    entry
}

fn lineage(version: &str) -> Option<(u32, usize)> {
    let (lineage, count) = version.split_once(':')?;
    Some((lineage.parse().ok()?, count.parse().ok()?))
}

impl Content {
    pub(crate) fn empty(name: &str) -> Self {
        match mode(name) {
            SyncMode::Collaborative => Self::Concurrent(BTreeSet::new()),
            SyncMode::Authoritative => Self::Serialized {
                lineage: 0,
                log: Vec::new(),
            },
            SyncMode::Ephemeral => Self::Snapshot {
                value: (0, 0),
                at: 0,
            },
        }
    }

    pub(crate) fn version(&self) -> Version {
        Version::new(match self {
            Self::Concurrent(edits) => written(known(edits).into_iter()),
            Self::Serialized { lineage, log } => format!("{lineage}:{}", log.len()),
            Self::Snapshot { at, .. } => at.to_string(),
        })
        .unwrap()
    }

    /// Without edits that wait: the one before may be lost for good, with its author.
    pub(crate) fn settled(&self) -> Self {
        match self {
            Self::Concurrent(edits) => {
                let known = known(edits);
                let is_known =
                    |(author, number): &&Edit| known.get(author).is_some_and(|n| n >= number);
                Self::Concurrent(edits.iter().filter(is_known).copied().collect())
            }
            other => other.clone(),
        }
    }

    pub(crate) fn edit(&mut self, edit: Edit, now: u32) {
        match self {
            Self::Concurrent(edits) => {
                edits.insert(edit);
            }
            Self::Serialized { lineage, log } => {
                if *lineage == 0 {
                    *lineage = edit.0;
                }
                log.push(edit);
            }
            Self::Snapshot { value, at } => (*value, *at) = (edit, now),
        }
    }

    /// What is newer than a version; `None` where a log has nothing newer.
    pub(crate) fn export(&self, doc: &DocId, since: Option<&Version>) -> Option<Offer> {
        let since = since.map_or("", |version| version.as_str());
        let (kind, data) = match self {
            Self::Concurrent(here) => {
                let theirs: BTreeMap<_, _> = edits(since).collect();
                let is_new =
                    |(author, number): &Edit| theirs.get(author).is_none_or(|known| known < number);
                (
                    PayloadKind::Since,
                    written(here.iter().copied().filter(is_new)),
                )
            }
            Self::Serialized { lineage: ours, log } => {
                let base = lineage(since).filter(|(theirs, _)| *theirs == 0 || theirs == ours);
                match base {
                    // What has not begun is not newer than anything.
                    _ if *ours == 0 && lineage(since).is_some() => return None,
                    Some((_, count)) => {
                        let newer = log.get(count..).filter(|newer| !newer.is_empty())?;
                        (PayloadKind::Since, written(newer.iter().copied()))
                    }
                    None => (PayloadKind::Entirety, written(log.iter().copied())),
                }
            }
            Self::Snapshot { value, .. } => (PayloadKind::Entirety, written([*value].into_iter())),
        };
        let mut offer = Offer::json(doc.clone(), self.version(), data);
        offer.kind = kind;
        Some(offer)
    }

    pub(crate) fn import(&mut self, offer: &Offer, how: Take) -> Imported {
        let data = String::from_utf8(offer.data.as_slice().to_vec()).unwrap();
        let theirs: Vec<Edit> = edits(&data).collect();
        match self {
            Self::Concurrent(here) => {
                here.extend(theirs);
                let waits = here.len() as u64 > known(here).values().map(|n| u64::from(*n)).sum();
                match waits {
                    true => Imported::Gap(self.version()),
                    false => Imported::All(self.version()),
                }
            }
            Self::Serialized { lineage: ours, log } => {
                let (its, count) = lineage(&offer.version).unwrap();
                if how == Take::Replace {
                    (*ours, *log) = (its, theirs);
                } else if log.len() + theirs.len() == count {
                    *ours = its;
                    log.extend(theirs);
                } else {
                    return Imported::Gap(self.version());
                }
                Imported::All(self.version())
            }
            Self::Snapshot { value, at } => {
                // The writer's time, not the reader's: so a copy that comes back is nothing new.
                (*value, *at) = (theirs[0], offer.version.parse().unwrap());
                Imported::All(self.version())
            }
        }
    }
}

/// The versions of these contents.
#[derive(Debug)]
pub(crate) struct ToyVersions;

impl Versions for ToyVersions {
    fn relation(&self, doc: &DocEntry, ours: &Version, theirs: &Version) -> Option<Relation> {
        let of = |ordering: Ordering| match ordering {
            Ordering::Less => Relation::Behind,
            Ordering::Equal => Relation::Equal,
            Ordering::Greater => Relation::Ahead,
        };
        Some(match doc.mode {
            SyncMode::Collaborative => {
                let (ours, theirs): (BTreeMap<_, _>, BTreeMap<_, _>) =
                    (edits(ours).collect(), edits(theirs).collect());
                let has = |a: &BTreeMap<u32, u32>, b: &BTreeMap<u32, u32>| {
                    b.iter()
                        .all(|(author, n)| a.get(author).is_some_and(|known| known >= n))
                };
                match (has(&ours, &theirs), has(&theirs, &ours)) {
                    (true, true) => Relation::Equal,
                    (true, false) => Relation::Ahead,
                    (false, true) => Relation::Behind,
                    (false, false) => Relation::Concurrent,
                }
            }
            SyncMode::Authoritative => {
                let (ours, theirs) = (lineage(ours)?, lineage(theirs)?);
                match ours.0 == theirs.0 || ours.0 == 0 || theirs.0 == 0 {
                    true => of(ours.1.cmp(&theirs.1)),
                    false => Relation::Unrelated {
                        ours_stays: ours.0 < theirs.0,
                    },
                }
            }
            SyncMode::Ephemeral => {
                let (ours, theirs): (u32, u32) = (ours.parse().ok()?, theirs.parse().ok()?);
                of(ours.cmp(&theirs))
            }
        })
    }
}
