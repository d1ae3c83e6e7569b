//! A document of each schema.
//!
//! The reference's documents are in `tests/vectors`. A failure names the schema and the release.

use kyneta_uds_core::{PayloadKind, PeerId, WireVersion};
use kyneta_uds_exchange::{Imported, Replica, Take};
use kyneta_uds_schema::{DocVersion, Schema, Substrate, yjs_client_id};
use kyneta_uds_yjs::YjsReplica;
use serde_json::Value;

use crate::support::{edit, json, offer, value, vectors};

/// How this crate differs from the reference on purpose.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Differs {
    /// The new value would need a counter or a movable list, which Yjs lacks. The reference loses it; here it is refused.
    NoSuchKind,
    /// Edits of one plain value in one batch are each written. The reference writes the last.
    EachWritten,
    /// The reference refuses the edit. Here it is made.
    NotRefused,
    /// The edits give values that are undefined. The reference writes entries for them that hold nothing.
    Undefined,
    /// The reference shows a struct of a union with the fields of another one. Here all that it holds is shown.
    UnionOfStructs,
    /// Two fields share an identity, so the document holds one value. The writer in the reference still shows two.
    OneIdentity,
}

fn differs(name: &str) -> Option<Differs> {
    Some(match name {
        "list-of/counter" | "record-of/counter" | "random/13" | "random/53" | "random/76"
        | "random/92" | "random/106" => Differs::NoSuchKind,
        "json/root" | "random/48" => Differs::NotRefused,
        "record-of/undefined" | "record-of/richtext" | "record-of/richtext-no-marks" => {
            Differs::Undefined
        }
        "union/structs" | "random/4" => Differs::UnionOfStructs,
        "names/proto" => Differs::OneIdentity,
        "json/list-of-structs" | "json/record-of-lists" => Differs::EachWritten,
        name if name.starts_with("list-json-of/") || name.starts_with("record-json-of/") => {
            Differs::EachWritten
        }
        _ => return None,
    })
}

#[test]
fn documents_of_every_schema_hold_and_send_what_the_reference_holds_and_sends() {
    let alice = yjs_client_id(&PeerId::new("alice").unwrap());
    let (mut made, mut refusals, mut different) = (0, 0, 0);
    for case in vectors("exchange-schema.json") {
        let (Some(name), Some(all)) = (case["name"].as_str(), case.get("yjs")) else {
            continue;
        };
        let schema = Schema::parse(&case["decl"].to_string()).unwrap();
        for release in ["1.8.0", "2.3.2"] {
            let Some(recorded) = all.get(release) else {
                continue;
            };
            let wire = match release {
                "1.8.0" => WireVersion::V2,
                _ => WireVersion::V3,
            };
            // What is not given is as in the other release.
            let recorded = |field: &str| match recorded.get(field) {
                Some(value) => value,
                None => &all["2.3.2"][field],
            };
            if recorded("refused").is_string() {
                refusals += usize::from(YjsReplica::open(schema.clone(), 7).is_err());
                continue;
            }
            let open = |client| YjsReplica::open(schema.clone(), client).unwrap();
            let version = |text: &Value| {
                DocVersion::parse(Substrate::Yjs, wire, text.as_str().unwrap()).unwrap()
            };
            let (mut writer, mut reader) = (open(alice), open(7));
            assert_eq!(value(&writer), json(recorded("zero")), "{name} {release}");
            if let Value::String(_) = recorded("emptyVersion") {
                assert_eq!(
                    writer.version(wire),
                    version(recorded("emptyVersion")),
                    "{name} {release}"
                );
            }
            let update = recorded("update").as_str().unwrap();
            let theirs = offer(PayloadKind::Since, update, "AA==");
            let taken = reader.import(&theirs, wire, Take::Merge);
            assert_eq!(taken, Ok(Imported::All { refused: 0 }), "{name}");
            let expected = json(recorded("value"));
            let refused = recorded("refusedEdits").as_array().into_iter().flatten();
            let refused: Vec<_> = refused.map(|refused| &refused[0]).collect();
            let edits = recorded("edits").as_array().unwrap().iter();
            let is_defined = |edit: &&Value| !edit.to_string().contains("$undefined");
            let edits = edits.chain(refused.iter().copied()).filter(is_defined);
            let edits: Vec<_> = edits.map(|op| edit(op).unwrap()).collect();
            let edited = writer.edit(&edits);
            let is_made = edited == Ok(!edits.is_empty()) && value(&writer) == expected;
            let is_read = value(&reader) == expected;
            let same_version = writer.version(wire) == reader.version(wire);
            match differs(name) {
                None => assert!(
                    is_made && is_read && same_version,
                    "{name} {release} {edited:?}"
                ),
                Some(Differs::NoSuchKind) => {
                    let why = edited.unwrap_err().to_string();
                    assert!(why.contains("Yjs has no "), "{name} {why}");
                }
                Some(Differs::EachWritten) => {
                    assert!(
                        is_made && is_read && !same_version,
                        "{name} {release} {edited:?}"
                    );
                }
                Some(_) => assert!(!(is_made && is_read && same_version), "{name} {release}"),
            }
            made += 1;
            different += usize::from(differs(name).is_some());
        }
    }
    assert_eq!((made, refusals, different), (406, 54, 46));
}
