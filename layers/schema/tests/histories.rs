//! How far a history is undone, and what it makes of identities.
//!
//! A failure shows the list of hashes, or of identities.
#![allow(clippy::unwrap_used)]

use kyneta_uds_core::{SchemaHash, WireVersion};
use kyneta_uds_schema::{Migration, Origin, Schema, SchemaError};

fn structure(fields: &[(&str, Schema)]) -> Schema {
    Schema::structure(fields.iter().cloned()).unwrap()
}

fn ab() -> Schema {
    structure(&[("a", Schema::string()), ("b", Schema::number())])
}

fn hash(schema: &Schema) -> SchemaHash {
    schema.hash(WireVersion::V3).unwrap()
}

fn supported(schema: &Schema) -> Vec<SchemaHash> {
    schema.supported_hashes(WireVersion::V3).unwrap()
}

#[test]
fn a_step_that_cannot_be_undone_ends_the_supported_hashes() {
    let a = structure(&[("a", Schema::string())]);
    for last in [
        Migration::remove("gone"),
        Migration::inside("a"),
        Migration::retype("a"),
        Migration::add("not there"),
        Migration::add("a.inner"),
        Migration::rename("b", "a"),
        Migration::rename("x", "not there"),
    ] {
        let schema = ab()
            .migrated([Migration::add("a")])
            .and_then(|schema| schema.migrated([last.clone()]))
            .and_then(|schema| schema.migrated([Migration::add("b")]))
            .unwrap();
        let expected = match &last {
            // After the last step is undone, there is no b, so a can have been b.
            Migration::Rename { from, to } if from == "b" && to == "a" => {
                vec![
                    hash(&schema),
                    hash(&a),
                    hash(&structure(&[("b", Schema::string())])),
                ]
            }
            _ => vec![hash(&schema), hash(&a)],
        };
        assert_eq!(supported(&schema), expected, "{last:?}");
    }
}

#[test]
fn a_step_is_undone_as_a_whole_or_not_at_all() {
    let schema = ab()
        .migrated([Migration::inside("a"), Migration::add("b")])
        .unwrap();
    assert_eq!(supported(&schema), [hash(&schema)]);
    let schema = ab()
        .migrated([Migration::rename("x", "a"), Migration::add("b")])
        .unwrap();
    let before = structure(&[("x", Schema::string())]);
    assert_eq!(supported(&schema), [hash(&schema), hash(&before)]);
}

#[test]
fn histories_of_structs_are_combined_and_bounded() {
    let mut inner = structure(&[("f", Schema::text())]);
    for at in (0..9).rev() {
        let (from, to) = (format!("f{}", at + 1), format!("f{at}"));
        inner = inner.migrated([Migration::rename(from, to)]).unwrap();
    }
    inner = inner.migrated([Migration::rename("f0", "f")]).unwrap();
    let pair = structure(&[("x", inner.clone()), ("y", inner.clone())]);
    assert_eq!(supported(&pair).len(), 11 * 11);
    let list = structure(&[("l", Schema::list(inner.clone()))]);
    assert_eq!(supported(&list).len(), 1);
    let many = Schema::structure([("x", inner.clone()), ("y", inner.clone()), ("z", inner)]);
    let (count, limit) = (11 * 11 * 11, 1024);
    assert_eq!(many, Err(SchemaError::TooManyShapes { count, limit }));
}

#[test]
fn what_is_undone_keeps_its_history_inside() {
    let inner = structure(&[("q", Schema::text())])
        .migrated([Migration::add("q")])
        .unwrap();
    let schema = structure(&[("in", inner)])
        .migrated([Migration::rename("was", "in")])
        .unwrap();
    let shape = |name, fields: &[(&str, Schema)]| hash(&structure(&[(name, structure(fields))]));
    let q = ("q", Schema::text());
    let expected = [
        shape("in", std::slice::from_ref(&q)),
        shape("in", &[]),
        shape("was", std::slice::from_ref(&q)),
        shape("was", &[]),
    ];
    assert_eq!(supported(&schema), expected);
}

#[test]
fn a_field_that_was_renamed_and_added_again_is_another_one() {
    // b became a; then a new b was added.
    let schema = ab()
        .migrated([Migration::rename("b", "a")])
        .and_then(|schema| schema.migrated([Migration::add("b")]))
        .unwrap();
    let identities = schema.identities();
    assert_eq!(identities.get("a"), ab().identities().get("b"));
    let second = structure(&[("x", Schema::text())])
        .migration_base([("y", origin("b", 2))])
        .and_then(|schema| schema.migrated([Migration::rename("y", "x")]))
        .unwrap();
    assert_eq!(identities.get("b"), second.identities().get("x"));
}

fn origin(path: &str, generation: u32) -> Origin {
    let path = path.to_owned();
    Origin { path, generation }
}

#[test]
fn the_names_that_every_javascript_object_has_are_known_to_a_history_alone() {
    let fields = [("constructor", Schema::text()), ("x", Schema::text())];
    let plain = structure(&fields);
    let migrated = structure(&fields).migrated([Migration::add("x")]).unwrap();
    assert_ne!(
        plain.identities().get("constructor"),
        migrated.identities().get("constructor")
    );
    assert_eq!(plain.identities().get("x"), migrated.identities().get("x"));
}
