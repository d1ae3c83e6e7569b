//! Target `yjs`: Yjs replicas take any offers. A failure of the library stays inside, an offer that is refused changes
//! nothing, and what a replica holds after the others can be read, edited and sent on.
//!
//! Input: a byte that says how, then payloads, each behind two bytes with its length.

use std::sync::Once;

use kyneta_uds_core::{Bytes, DocId, Offer, PayloadKind, Version, WireVersion};
use kyneta_uds_exchange::{Edit, EditError, ImportError, Replica, Take};
use kyneta_uds_schema::Schema;
use kyneta_uds_yjs::{YjsLimits, YjsReplica};

const WIRE: WireVersion = WireVersion::V3;
const MAX_BYTES: usize = 16_384;

pub fn yjs(data: &[u8]) {
    // libFuzzer's hook ends the process, also at a panic of the library, which is caught.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            // A fault that this target has found.
            if panic.location().is_some_and(|at| at.file() == file!()) {
                eprintln!("{panic}");
            }
        }));
    });
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let schema = schema();
    let mut limits = YjsLimits::default();
    limits.max_bytes = MAX_BYTES;
    let open = |client| YjsReplica::open(schema.clone(), client).unwrap();
    let mut replica = match how & 1 {
        0 => open(1),
        _ => YjsReplica::headless(),
    }
    .limits(limits);
    if how & 8 != 0 {
        drop(replica.edit(&[Edit::insert("text", 0, "own"), Edit::push("items", "own")]));
    }
    let take = match how & 2 {
        0 => Take::Merge,
        _ => Take::Replace,
    };
    for payload in payloads(data) {
        import(&mut replica, payload, take);
        drop(replica.value());
        if replica.quarantine().is_some() {
            assert!(replica.export(None, WIRE).is_none());
            let edited = replica.edit(&[Edit::push("items", "x")]);
            assert!(matches!(edited, Err(EditError::Quarantined { .. })));
            return;
        }
    }
    if how & 1 == 0 {
        drop(replica.edit(&[Edit::insert("text", 0, "x")]));
        drop(replica.edit(&[Edit::set("meta.n", 1.0), Edit::put("tags", "k", true)]));
    }
    // It need not hold the same then: two replicas of a history that contradicts itself may order it differently.
    let mut reader = open(2);
    if let Some(whole) = replica.export(None, WIRE) {
        assert!(whole.data.len() <= 4 * MAX_BYTES);
        let offer = whole.offer(DocId::new("d").unwrap()).unwrap();
        drop(reader.import(&offer, WIRE, Take::Merge));
        drop(reader.value());
    }
}

/// That of the recorded documents, so that their updates write what it reads.
fn schema() -> Schema {
    let meta = Schema::structure([("owner", Schema::string()), ("n", Schema::number())]);
    Schema::structure([
        ("text", Schema::text()),
        ("items", Schema::list(Schema::string())),
        ("meta", meta.unwrap()),
        ("tags", Schema::record(Schema::boolean())),
    ])
    .unwrap()
}

fn import(replica: &mut YjsReplica, payload: &[u8], how: Take) {
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("AA==").unwrap());
    let mut offer = Offer::binary(doc, version, Bytes::copy_from_slice(payload));
    offer.kind = PayloadKind::Since;
    let before = (replica.value(), replica.version(WIRE));
    match replica.import(&offer, WIRE, how) {
        Ok(_) | Err(ImportError::Quarantined { .. }) => {}
        Err(_) => assert_eq!((replica.value(), replica.version(WIRE)), before),
    }
}

/// The last one is what is left.
fn payloads(mut data: &[u8]) -> Vec<&[u8]> {
    let mut payloads = Vec::new();
    while let Some((len, rest)) = data.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (payload, rest) = rest.split_at(len);
        payloads.push(payload);
        data = rest;
    }
    payloads
}
