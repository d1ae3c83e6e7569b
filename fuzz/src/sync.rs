//! Target `sync`: what a peer does with documents. Its effects go to channels that are there and concern documents
//! that it has, and what it keeps stays within its bounds, whatever peers say and the shell does in whatever order.
//!
//! Input: four bytes for each event: its kind, the channel, the document, a value.

use std::collections::HashSet;

use kyneta_uds_core::{
    ByteString, ChannelMsg, DocEntry, DocId, Identity, Interest, Offer, PayloadKind, PeerId,
    ReplicaType, SyncMode, Version, WireVersion,
};
use kyneta_uds_sync::{
    Answer, ChannelKey, Effect, Held, Imported, Policy, Relation, Resolve, Schema, SyncLimits,
    SyncMachine, Versions,
};

use super::relay::entry;

const CHANNELS: u64 = 6;
/// Two channels may be of one peer.
const PEERS: [&str; 4] = ["a", "b", "c", "stranger"];
const DOCS: [&str; 6] = ["c", "d", "s", "t", "e", "secret"];
/// Fewer than the documents that peers may bring.
const MAX_OPENED: usize = 3;
const MAX_DESTROYED: usize = 2;
const MAX_AWAY: usize = 1;

/// Versions from 0 to 3; 0 and 3 began apart in a serialized document, and "x" is none.
struct Digits;

impl Versions for Digits {
    fn relation(&self, doc: &DocEntry, ours: &Version, theirs: &Version) -> Option<Relation> {
        let (ours, theirs): (u8, u8) = (ours.parse().unwrap_or(0), theirs.parse().ok()?);
        Some(match ours.cmp(&theirs) {
            std::cmp::Ordering::Equal => Relation::Equal,
            _ if doc.mode == SyncMode::Authoritative && ours.abs_diff(theirs) == 3 => {
                let ours_stays = ours < theirs;
                Relation::Unrelated { ours_stays }
            }
            std::cmp::Ordering::Less => Relation::Behind,
            std::cmp::Ordering::Greater => Relation::Ahead,
        })
    }
}

pub fn sync(data: &[u8]) {
    let limits = SyncLimits::default()
        .max_opened(MAX_OPENED)
        .max_opened_by_peer(2)
        .max_destroyed(MAX_DESTROYED)
        .max_away(MAX_AWAY);
    let mut machine = SyncMachine::new(Digits).limits(limits);
    let policy = Policy::new()
        .can_connect(|peer| peer.peer_id.as_str() != "stranger")
        .can_share(|doc, _| doc.as_str() != "secret")
        .can_accept(|doc, peer| doc.as_str() != "d" || peer.peer_id.as_str() != "b")
        .can_reset(|doc, _| match doc.as_str() {
            "t" => Answer::No,
            _ => Answer::NoOpinion,
        })
        .resolve(
            |entry, peer| match (entry.doc.as_str(), peer.peer_id.as_str()) {
                ("e", _) => Some(Resolve::Reject),
                (_, "a") => Some(Resolve::Replicate),
                _ => None,
            },
        );
    machine.policies().add(policy);
    let loro = ReplicaType::new(ByteString::from_static("loro"), 1.0, 0.0).unwrap();
    machine.register_replica(loro, SyncMode::Collaborative);
    // Channels that were established: an effect may name no other.
    let mut there = HashSet::new();
    let (events, _) = data.as_chunks();
    for &event in events {
        let mut effects = Vec::new();
        step(&mut machine, &mut there, event, &mut effects);
        for effect in effects {
            let (channels, doc) = match effect {
                Effect::Send { to, .. } => (vec![to], None),
                Effect::Offer { to, doc, .. } => {
                    assert!(!to.is_empty(), "{event:?}: an offer to no channel");
                    (to, Some(doc))
                }
                Effect::Import { offer, .. } => (Vec::new(), Some(offer.doc)),
                _ => continue,
            };
            for channel in channels {
                assert!(
                    there.contains(&channel),
                    "{event:?}: {channel:?} is not there"
                );
            }
            if let Some(doc) = doc {
                assert!(DOCS.contains(&doc.as_str()), "{event:?}: {doc}");
            }
        }
        let counts = machine.counts();
        assert!(counts.opened <= MAX_OPENED, "{event:?}: {counts:?}");
        assert!(counts.destroyed <= MAX_DESTROYED, "{event:?}: {counts:?}");
        assert!(counts.away <= MAX_AWAY, "{event:?}: {counts:?}");
        assert!(
            counts.peers <= counts.away + there.len(),
            "{event:?}: {counts:?}"
        );
        assert!(
            counts.states <= counts.peers * DOCS.len(),
            "{event:?}: {counts:?}"
        );
    }
}

fn step(
    machine: &mut SyncMachine<Digits>,
    there: &mut HashSet<ChannelKey>,
    [kind, channel, doc, value]: [u8; 4],
    effects: &mut Vec<Effect>,
) {
    let channel = ChannelKey(u64::from(channel) % CHANNELS);
    let peer = PEERS[usize::from(value) % PEERS.len()];
    let id = DocId::new(DOCS[usize::from(doc) % DOCS.len()]).unwrap();
    let digit = ["0", "1", "2", "3", "x"][usize::from(value) % 5];
    let version = Version::new(ByteString::from_static(digit)).unwrap();
    let reciprocate = [None, Some(false), Some(true)][usize::from(value / 4) % 3];
    let msg = match kind % 20 {
        0 | 1 => {
            let wire = [WireVersion::V2, WireVersion::V3][usize::from(value / 4) % 2];
            // A channel that the policies refuse is not there.
            there.remove(&channel);
            if peer != "stranger" {
                there.insert(channel);
            }
            return machine.established(channel, Identity::user(peer).unwrap(), wire, effects);
        }
        2 => {
            there.remove(&channel);
            return machine.lost(channel, effects);
        }
        3 => return machine.departed(&PeerId::new(peer).unwrap(), effects),
        4 | 5 => {
            let held = [Held::Interpreted, Held::Replicated][usize::from(value) % 2];
            return machine.open(entry(&id, value & 3), held, version, effects);
        }
        6 => return machine.changed(&id, version, effects),
        7 => {
            let outcome = match value / 8 % 3 {
                0 => Imported::All(version),
                1 => Imported::Gap(version),
                _ => Imported::Failed(String::new()),
            };
            let from = PeerId::new(peer).unwrap();
            return machine.imported(&id, &from, outcome, effects);
        }
        8 => return machine.suspend(&id, effects),
        9 => return machine.resume(&id, effects),
        10 => return machine.destroy(&id, effects),
        11 if value & 1 == 0 => return machine.refuse(&id, effects),
        11 => {
            let of = entry(&id, value / 2);
            return machine.register_schema(Schema::new(of.replica, of.mode, of.schema), effects);
        }
        12 => return machine.quiet(effects),
        13 | 14 => {
            let next = DocId::new(DOCS[(usize::from(doc) + 1) % DOCS.len()]).unwrap();
            ChannelMsg::Present(vec![entry(&id, value), entry(&next, value / 2)])
        }
        15 => ChannelMsg::Interest(Interest {
            doc: id,
            version: (value < 128).then_some(version),
            reciprocate,
        }),
        16 | 17 => {
            let mut offer = Offer::json(id, version, ByteString::from_static("[]"));
            if value & 64 == 0 {
                offer.kind = PayloadKind::Since;
            }
            offer.reciprocate = reciprocate;
            ChannelMsg::Offer(offer)
        }
        18 => ChannelMsg::Dismiss(id),
        _ if value == 255 => ChannelMsg::Depart,
        _ => ChannelMsg::Vacant(id),
    };
    machine.received(channel, msg, effects);
}
