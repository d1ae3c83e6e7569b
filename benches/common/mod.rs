//! Shared by the benches: the codecs of two ends, messages, and a channel that costs nothing.
#![allow(dead_code, unused_imports)] // Each bench uses a part.
#![allow(clippy::unwrap_used)] // A bench panics when it fails.

mod ends;
mod pass;
mod void;

use kyneta_uds::{
    ChannelMsg, DocEntry, DocId, Establish, Features, Identity, Offer, ReplicaType, SchemaHash,
    Version,
};

pub(crate) use self::{
    ends::Ends,
    pass::{five, one, traced},
    void::Void,
};

/// With aliasing.
pub(crate) fn establish() -> ChannelMsg {
    let establish = Establish::new(Identity::service("peer").unwrap());
    establish.features(Features::aliasing()).into()
}

pub(crate) fn present(docs: usize) -> ChannelMsg {
    let entry = |i| {
        DocEntry::new(
            DocId::new(format!("document-{i}")).unwrap(),
            ReplicaType::new("loro", 1.0, 0.0).unwrap(),
            SchemaHash::new("00a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap(),
        )
    };
    ChannelMsg::Present((0..docs).map(entry).collect())
}

pub(crate) fn offer(size: usize) -> ChannelMsg {
    let doc = DocId::new("document-0").unwrap();
    Offer::binary(doc, Version::new("17").unwrap(), vec![7; size]).into()
}
