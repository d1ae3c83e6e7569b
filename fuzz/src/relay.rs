//! Target `relay`: the switch that routes documents. Its effects go to members that are there, and what it keeps
//! stays within its bounds, whatever members say in whatever order.
//!
//! Input: four bytes for each event: its kind, the member, the document, a value.

use std::collections::HashSet;

use kyneta_uds_core::{
    ByteString, ChannelMsg, DocEntry, DocId, Interest, Offer, PayloadKind, ReplicaType, SchemaHash,
    SyncMode, Version, WireVersion,
};
use kyneta_uds_relay::{Access, Effect, Gate, MemberFacts, MemberKey, Switch, SwitchConfig};

const MEMBERS: u8 = 5;
const DOCS: [&str; 6] = ["c", "d", "s", "t", "e", "secret"];
const MAX_DOCUMENTS: usize = 5;
const MAX_ASKS: usize = 3;
/// What is kept for each open question: forwarded interests, members that are owed one, messages without an
/// answer, versions asked for in vain.
const MAX_OPEN: usize = 2 * MAX_ASKS + 256 + 64;

pub fn relay(data: &[u8]) {
    let gate = Gate::everything().and(|member, doc| match doc.as_str() {
        "secret" if member.link => Access::None,
        "secret" => Access::Read,
        _ => Access::Write,
    });
    let hashes = ["01ab", "02ab"].map(hash);
    let config = SwitchConfig::default()
        .max_documents(MAX_DOCUMENTS)
        .max_documents_of_member(4)
        .max_asks(MAX_ASKS)
        .max_link_versions(3)
        .gate(gate)
        .equal_schemas(hashes);
    let mut switch = Switch::new(config);
    let mut there = HashSet::new();
    let (events, _) = data.as_chunks();
    for &event in events {
        let mut effects = Vec::new();
        step(&mut switch, &mut there, event, &mut effects);
        switch.follow_up(&mut effects);
        for effect in effects {
            if let Effect::Send { to, .. } = effect {
                assert!(there.contains(&to), "{event:?}: {to:?} is not there");
            }
        }
        let counts = switch.counts();
        assert!(counts.documents <= MAX_DOCUMENTS, "{event:?}: {counts:?}");
        assert!(
            counts.records <= there.len() * counts.documents,
            "{event:?}: {counts:?}"
        );
        assert!(
            counts.open <= MAX_OPEN * counts.records,
            "{event:?}: {counts:?}"
        );
    }
}

fn step(
    switch: &mut Switch,
    there: &mut HashSet<MemberKey>,
    [kind, member, doc, value]: [u8; 4],
    effects: &mut Vec<Effect>,
) {
    let member = MemberKey(u64::from(member % MEMBERS));
    let id = DocId::new(DOCS[usize::from(doc) % DOCS.len()]).unwrap();
    let version = Version::new(ByteString::from((value % 4).to_string())).unwrap();
    let reciprocate = [None, Some(false), Some(true)][usize::from(value / 4) % 3];
    let msg = match kind % 12 {
        0 => {
            let wire = if value & 1 == 0 {
                WireVersion::V2
            } else {
                WireVersion::V3
            };
            let facts = if value & 2 == 0 {
                MemberFacts::local(wire)
            } else {
                MemberFacts::link(wire)
            };
            there.insert(member);
            switch.established(member, facts, effects);
            return;
        }
        // A part of its leave.
        1 if value & 1 != 0 => {
            switch.leaving(member, usize::from(value % 8), effects);
            return;
        }
        1 => {
            there.remove(&member);
            switch.left(member, effects);
            return;
        }
        2 => {
            switch.reconcile(effects);
            return;
        }
        3 | 4 => {
            let mut entries = vec![entry(&id, value)];
            if kind & 16 != 0 {
                let next = DocId::new(DOCS[(usize::from(doc) + 1) % DOCS.len()]).unwrap();
                entries.push(entry(&next, value / 2));
            }
            ChannelMsg::Present(entries)
        }
        5 | 6 => ChannelMsg::Interest(Interest {
            doc: id,
            version: (value < 128).then_some(version),
            reciprocate,
        }),
        7..=9 => {
            let mut offer = Offer::json(id, version, ByteString::from_static("[]"));
            offer.kind = PayloadKind::Since;
            offer.reciprocate = reciprocate;
            let base = || Box::new(Version::new(ByteString::from_static("1")).unwrap());
            offer.base = (kind & 32 != 0).then(base);
            ChannelMsg::Offer(offer)
        }
        10 => ChannelMsg::Dismiss(id),
        _ => ChannelMsg::Vacant(id),
    };
    switch.received(member, msg, effects);
}

/// An entry of the document's class; some values make it another schema, another type or another class.
pub(crate) fn entry(id: &DocId, value: u8) -> DocEntry {
    let schema = ["01ab", "02ab", "02cd", "01cd"][usize::from(value) % 4];
    let replica = if value & 64 == 0 { "loro" } else { "yjs" };
    let replica = ReplicaType::new(ByteString::from_static(replica), 1.0, 0.0).unwrap();
    let mut entry = DocEntry::new(id.clone(), replica, hash(schema));
    entry.mode = match (id.as_str(), value & 128) {
        ("s" | "t", 0) => SyncMode::Authoritative,
        ("e", 0) => SyncMode::Ephemeral,
        (_, 0) => SyncMode::Collaborative,
        _ => SyncMode::Ephemeral,
    };
    entry
}

fn hash(hash: &str) -> SchemaHash {
    SchemaHash::new(hash).unwrap()
}
