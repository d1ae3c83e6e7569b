//! Target `schema`: schemas and versions of documents, from any text. What is read has hashes that fit together, and
//! a version is read again from what it is written as.
//!
//! Input: a byte that chooses the kind of version, then text.

use kyneta_uds_core::WireVersion;
use kyneta_uds_exchange::PlainReplica;
use kyneta_uds_schema::{DocVersion, Schema, Substrate, VersionOrder};

pub fn schema(data: &[u8]) {
    let Some((&choice, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    for wire in [WireVersion::V2, WireVersion::V3] {
        let substrate = Substrate::ALL[usize::from(choice) % Substrate::ALL.len()];
        if let Ok(version) = DocVersion::parse(substrate, wire, &text) {
            let again = DocVersion::parse(substrate, wire, &version.to_string()).unwrap();
            assert_eq!(again, version);
            assert_eq!(version.compare(&again), VersionOrder::Equal);
            let meet = version.meet(&again);
            assert_ne!(version.compare(&meet), VersionOrder::Behind);
        }
    }
    let Ok(schema) = Schema::parse(&text) else {
        return;
    };
    for (wire, algorithm) in [(WireVersion::V2, "01"), (WireVersion::V3, "02")] {
        let Some(hash) = schema.hash(wire) else {
            assert_eq!(wire, WireVersion::V2);
            continue;
        };
        assert!(hash.as_str().starts_with(algorithm) && hash.as_str().len() == 34);
        let supported = schema.supported_hashes(wire).unwrap();
        assert_eq!(supported.first(), Some(&hash));
        assert!(supported.len() <= 1_024);
    }
    for (path, identity) in schema.identities().iter() {
        assert_eq!(identity.len(), 32, "{path}");
    }
    let can_be = Substrate::Plain.check(&schema).is_ok();
    assert_eq!(PlainReplica::open(schema).is_ok(), can_be);
}
