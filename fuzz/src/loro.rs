//! Target `loro`: Loro replicas take any offers. A failure of the library stays inside, an offer that is refused changes
//! nothing, and what a replica holds after the others can be read, edited and sent to another one.
//!
//! Input: a byte that says how, then payloads that begin with `loro`. Their checksums are made right.

use std::sync::Once;

use kyneta_uds_core::{Bytes, DocId, Offer, PayloadKind, Version, WireVersion};
use kyneta_uds_exchange::{Edit, EditError, ImportError, Imported, Replica, Take};
use kyneta_uds_loro::{LoroLimits, LoroReplica};
use kyneta_uds_schema::{Expand, Schema};
use xxhash_rust::xxh32::xxh32;

const WIRE: WireVersion = WireVersion::V3;
const MAGIC: &[u8; 4] = b"loro";
/// Magic and checksum.
const HEADER: usize = 20;
const MAX_BYTES: usize = 16_384;

pub fn loro(data: &[u8]) {
    // libFuzzer's hook ends the process, also at a panic of the library, which is caught.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let item = Schema::structure([("t", Schema::text()), ("c", Schema::counter())]).unwrap();
    let schema = Schema::structure([
        ("f", Schema::text()),
        ("l", Schema::list(item)),
        ("m", Schema::movable(Schema::any())),
        ("r", Schema::record(Schema::number())),
        ("s", Schema::string()),
        ("c", Schema::counter()),
        ("j", Schema::record(Schema::any()).json().unwrap()),
        ("e", Schema::set(Schema::any())),
        ("n", Schema::tree(Schema::any())),
        ("b", Schema::rich_text([("x", Expand::None)]).unwrap()),
    ])
    .unwrap();
    let mut limits = LoroLimits::default();
    limits.max_bytes = MAX_BYTES;
    let open = |peer| LoroReplica::open(schema.clone(), peer).unwrap();
    let mut replica = match how & 1 {
        0 => open(1),
        _ => LoroReplica::headless(),
    }
    .limits(limits);
    if how & 8 != 0 {
        drop(replica.edit(&[Edit::insert("f", 0, "own"), Edit::set("s", "own")]));
    }
    let take = match how & 2 {
        0 => Take::Merge,
        _ => Take::Replace,
    };
    for payload in payloads(data, how & 4 == 0) {
        import(&mut replica, payload, take);
        drop(replica.value());
        if replica.quarantine().is_some() {
            assert!(replica.export(None, WIRE).is_none());
            let edited = replica.edit(&[Edit::set("s", "x")]);
            assert!(matches!(edited, Err(EditError::Quarantined { .. })));
            return;
        }
    }
    if how & 1 == 0 {
        drop(replica.edit(&[Edit::insert("f", 0, "x")]));
        drop(replica.edit(&[Edit::push("m", 1.0), Edit::increment("c", 1.0)]));
    }
    let mut reader = open(2);
    if let Some(whole) = replica.export(None, WIRE) {
        assert!(whole.data.len() <= 4 * MAX_BYTES);
        let offer = whole.offer(DocId::new("d").unwrap()).unwrap();
        let taken = reader.import(&offer, WIRE, Take::Merge);
        if how & 1 == 0 && taken == Ok(Imported::All { refused: 0 }) {
            assert_eq!(reader.value(), replica.value());
        }
    }
}

fn import(replica: &mut LoroReplica, payload: Vec<u8>, how: Take) {
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("AA==").unwrap());
    let mut offer = Offer::binary(doc, version, Bytes::from(payload));
    offer.kind = PayloadKind::Since;
    let before = (replica.value(), replica.version(WIRE));
    match replica.import(&offer, WIRE, how) {
        Ok(_) | Err(ImportError::Quarantined { .. }) => {}
        Err(_) => assert_eq!((replica.value(), replica.version(WIRE)), before),
    }
}

/// The parts that begin with the magic.
fn payloads(data: &[u8], repairs: bool) -> Vec<Vec<u8>> {
    let mut starts: Vec<_> = data
        .windows(MAGIC.len())
        .enumerate()
        .filter_map(|(at, part)| (part == MAGIC).then_some(at))
        .collect();
    starts.push(data.len());
    let part = |pair: &[usize]| {
        let mut payload = data[pair[0]..pair[1]].to_vec();
        if repairs && payload.len() > HEADER {
            let checksum = xxh32(&payload[HEADER..], u32::from_le_bytes(*b"LORO"));
            payload[HEADER - 4..HEADER].copy_from_slice(&checksum.to_le_bytes());
        }
        payload
    };
    starts.windows(2).map(part).collect()
}
