//! Replicas that take each other's offers. For the tests of several crates, by `#[path]`.

use kyneta_uds_core::{DocId, Offer, WireVersion};
use kyneta_uds_exchange::{DocReplica, ImportError, Imported, Json, Take};
use kyneta_uds_schema::DocVersion;

pub(crate) const WIRE: WireVersion = WireVersion::V3;
pub(crate) const ALL: Result<Imported, ImportError> = Ok(Imported::All { refused: 0 });

pub(crate) fn offer_since(replica: &impl DocReplica, since: &DocVersion) -> Offer {
    let payload = replica.export(Some(since), WIRE).unwrap();
    payload.offer(DocId::new("d").unwrap()).unwrap()
}

pub(crate) fn pass<R: DocReplica>(from: &R, to: &mut R) {
    let offer = offer_since(from, &to.version(WIRE));
    assert_eq!(to.import(&offer, WIRE, Take::Merge), ALL);
}

pub(crate) fn list_len(replica: &impl DocReplica, name: &str) -> usize {
    match replica.value().get(name) {
        Some(Json::Array(items)) => items.len(),
        _ => 0,
    }
}

/// Of the field `notes`, in UTF-16 units.
pub(crate) fn text_len(replica: &impl DocReplica) -> usize {
    match replica.value().get("notes") {
        Some(Json::String(text)) => text.encode_utf16().count(),
        _ => 0,
    }
}
