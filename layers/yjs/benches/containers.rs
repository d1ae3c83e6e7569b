//! What an edit costs where containers have come from peers: they may be nested, and take a stack that is long enough.
//!
//! `cargo bench -p kyneta-uds-yjs --bench containers`

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use kyneta_uds_core::{Bytes, DocId, Offer, PayloadKind, Version, WireVersion};
use kyneta_uds_exchange::{Edit, Replica as _, Take};
use kyneta_uds_schema::Schema;
use kyneta_uds_yjs::YjsReplica;
use yrs::{Doc, Map as _, MapPrelim, ReadTxn as _, StateVector, Transact as _};

const EDITS: u32 = 500;
const ROUNDS: usize = 10;

/// An update with so many maps, each in the one before.
fn nested(maps: usize) -> Vec<u8> {
    let doc = Doc::new();
    let mut map = doc.get_or_insert_map("root");
    let mut txn = doc.transact_mut();
    for _ in 0..maps {
        map = map.insert(&mut txn, "k", MapPrelim::default());
    }
    txn.encode_diff_v1(&StateVector::default())
}

fn main() {
    for containers in [10, 300, 3_000] {
        let schema = Schema::structure([("n", Schema::number())]).unwrap();
        let mut replica = YjsReplica::open(schema, 1).unwrap();
        let (doc, version) = (DocId::new("d").unwrap(), Version::new("AA==").unwrap());
        let mut offer = Offer::binary(doc, version, Bytes::from(nested(containers)));
        offer.kind = PayloadKind::Since;
        replica
            .import(&offer, WireVersion::V3, Take::Merge)
            .unwrap();
        let round = |_| {
            let began = Instant::now();
            for number in 0..EDITS {
                replica.edit(&[Edit::set("n", f64::from(number))]).unwrap();
            }
            began.elapsed() / EDITS
        };
        let best = (0..ROUNDS).map(round).min().unwrap();
        println!("{containers} containers: {best:?} an edit");
    }
}
