//! The schemas of `tests/vectors/exchange-schema.json`: texts, hashes, identities and what each substrate refuses.
//!
//! A failure names the schema and the release.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

use kyneta_uds_core::WireVersion;
use kyneta_uds_schema::{Kind, Schema, Substrate};
use serde_json::Value;

const RELEASES: [(WireVersion, &str, &str); 2] = [
    (WireVersion::V2, "1.8.0", "canonical1"),
    (WireVersion::V3, "2.3.2", "canonical2"),
];

fn cases() -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/exchange-schema.json");
    let mut cases: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    cases.retain(|case| case["kind"] == "schema");
    assert_eq!(cases.len(), 270);
    cases
}

fn parsed(case: &Value) -> Schema {
    Schema::parse(&case["decl"].to_string()).unwrap_or_else(|error| panic!("{case}: {error}"))
}

fn strings(list: &Value) -> Vec<&str> {
    let strings = list.as_array().unwrap().iter();
    strings.map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn texts_hashes_and_identities_are_those_of_both_releases() {
    for case in cases() {
        let (schema, name) = (parsed(&case), &case["name"]);
        for (wire, release, text) in RELEASES {
            let canonical = schema.canonical(wire);
            assert_eq!(
                canonical.as_deref(),
                case[text].as_str(),
                "{name} {release}"
            );
            let Some(expected) = case.get(release) else {
                assert_eq!(schema.hash(wire), None, "{name}");
                assert_eq!(schema.supported_hashes(wire), None, "{name}");
                continue;
            };
            let hash = schema.hash(wire).unwrap();
            assert_eq!(hash.as_str(), expected["schemaHash"], "{name} {release}");
            let supported = schema.supported_hashes(wire).unwrap();
            let supported: Vec<_> = supported.iter().map(|hash| hash.as_str()).collect();
            assert_eq!(
                supported,
                strings(&expected["supportedHashes"]),
                "{name} {release}"
            );
        }
        let identities = schema.identities();
        let expected = case["2.3.2"]["identities"].as_array().unwrap().iter();
        let expected: Vec<_> = expected
            .map(strings)
            .map(|pair| (pair[0], pair[1]))
            .collect();
        assert_eq!(identities.iter().collect::<Vec<_>>(), expected, "{name}");
        for (path, identity) in expected {
            assert_eq!(identities.get(path), Some(identity), "{name}");
        }
    }
}

#[test]
fn a_substrate_refuses_what_the_reference_refuses() {
    let mut refused = 0;
    for case in cases() {
        let schema = parsed(&case);
        if !matches!(schema.kind(), Kind::Struct(_)) {
            let error = Substrate::Loro.check(&schema).unwrap_err();
            assert!(error.to_string().contains("must be a struct"), "{error}");
            continue;
        }
        for substrate in Substrate::ALL {
            // The reference has the same rule for both.
            let name = match substrate {
                Substrate::Ephemeral => "json",
                other => other.name(),
            };
            let expected = case.get(name).map(|opened| opened["2.3.2"].get("refused"));
            let checked = substrate.check(&schema);
            // A schema that decays was opened as state alone.
            let accepted = matches!(expected, Some(None));
            assert_eq!(
                checked.is_ok(),
                accepted,
                "{} {substrate:?}: {checked:?}",
                case["name"]
            );
            refused += usize::from(checked.is_err());
        }
    }
    assert_eq!(refused, 54 + 2 * 4);
}
