//! The versions of `tests/vectors/exchange-versions.json`: orders, bounds, texts, and what peers are called.
//!
//! A failure names the pair of versions.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, fs, path::Path};

use kyneta_uds_core::{PeerId, WireVersion};
use kyneta_uds_schema::{DocVersion, Substrate, loro_peer_id, yjs_client_id};
use serde_json::Value;

fn cases(kind: &str) -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/exchange-versions.json");
    let mut cases: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    cases.retain(|case| case["kind"] == kind);
    cases
}

fn substrate(name: &Value) -> Substrate {
    match name.as_str().unwrap() {
        "loro" => Substrate::Loro,
        "yjs" => Substrate::Yjs,
        "plain" => Substrate::Plain,
        "timestamp" => Substrate::Ephemeral,
        "state" => Substrate::State,
        other => panic!("{other}"),
    }
}

/// What the version counts, by the decimal name of each peer; empty where there are no peers.
fn map(version: &DocVersion) -> BTreeMap<String, i64> {
    match version {
        DocVersion::Loro(version) => version
            .counters()
            .map(|(peer, counter)| (peer.to_string(), counter.into()))
            .collect(),
        DocVersion::Yjs(version) => version
            .clocks()
            .map(|(client, clock)| (client.to_string(), clock.try_into().unwrap()))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn lineage(version: &DocVersion) -> String {
    match version {
        DocVersion::Plain(version) => version.lineage().unwrap().to_string(),
        _ => "kyneta.genesis".to_owned(),
    }
}

#[test]
fn orders_bounds_and_texts_are_those_of_the_reference() {
    let cases = cases("compare");
    assert_eq!(cases.len(), 305);
    for case in cases {
        let wire = match case["wire"].as_u64() {
            Some(2) => WireVersion::V2,
            _ => WireVersion::V3,
        };
        let parse = |name: &str| {
            DocVersion::parse(
                substrate(&case["substrate"]),
                wire,
                case[name].as_str().unwrap(),
            )
        };
        let (a, b) = (parse("a"), parse("b"));
        assert_eq!(a.is_err(), case.get("a_error").is_some(), "{case}: {a:?}");
        assert_eq!(b.is_err(), case.get("b_error").is_some(), "{case}: {b:?}");
        let (Ok(a), Ok(b)) = (a, b) else { continue };
        assert_eq!(a.compare(&b).name(), case["order"], "{case}");
        assert_eq!(b.compare(&a).name(), case["reverse"], "{case}");
        let meet = a.meet(&b);
        // Loro writes the peers in the order of a hash map.
        if !matches!(a, DocVersion::Loro(_)) {
            assert_eq!(a.to_string(), case["a_again"], "{case}");
            assert_eq!(meet.to_string(), case["meet"], "{case}");
        }
        for (version, name) in [(&a, "a_map"), (&b, "b_map"), (&meet, "meet_map")] {
            if let Some(expected) = case.get(name) {
                let expected: BTreeMap<_, _> = serde_json::from_value(expected.clone()).unwrap();
                assert_eq!(map(version), expected, "{case} {name}");
            }
            let again =
                DocVersion::parse(substrate(&case["substrate"]), wire, &version.to_string());
            assert_eq!(again.as_ref(), Ok(version), "{case} {name}");
        }
        for (version, name) in [(&a, "a_lineage"), (&meet, "meet_lineage")] {
            if let Some(expected) = case.get(name) {
                assert_eq!(lineage(version), *expected, "{case} {name}");
            }
        }
    }
}

#[test]
fn crdt_libraries_know_a_peer_by_the_numbers_of_the_reference() {
    let cases = cases("ids");
    assert_eq!(cases.len(), 21);
    for case in cases {
        let peer = PeerId::new(case["peerId"].as_str().unwrap()).unwrap();
        assert_eq!(
            loro_peer_id(&peer).to_string(),
            case["loroPeerId"],
            "{case}"
        );
        assert_eq!(yjs_client_id(&peer), case["yjsClientId"], "{case}");
    }
}
