//! Schemas that cannot be: each error says where, and why.
//!
//! A failure shows the JSON, and the sentence.
#![allow(clippy::unwrap_used)]

use kyneta_uds_schema::{Expand, Schema, SchemaError};

#[test]
fn what_is_wrong_in_json_is_named_with_its_place() {
    let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (json, expected) in [
        (
            "{",
            "the schema is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            nested.as_str(),
            "the schema is not JSON: recursion limit exceeded at line 1 column 128",
        ),
        ("5", "schema: expected an object, not a number"),
        ("{}", "schema: \"k\" is missing"),
        (r#"{"k": 5}"#, "schema.k: expected a string, not a number"),
        (r#"{"k": "strng"}"#, "schema: there is no kind \"strng\""),
        (
            r#"{"k": "string", "off": []}"#,
            "schema: \"off\" has no meaning here",
        ),
        (
            r#"{"k": "string", "of": [1]}"#,
            "schema.of: a number is no allowed value of a string",
        ),
        (
            r#"{"k": "null", "of": [null]}"#,
            "schema.of: null is no allowed value of a null",
        ),
        (
            r#"{"k": "string", "of": {}}"#,
            "schema.of: expected a list of allowed values",
        ),
        (r#"{"k": "list"}"#, "schema: \"item\" is missing"),
        (
            r#"{"k": "list", "item": {"k": "x"}}"#,
            "schema.item: there is no kind \"x\"",
        ),
        (
            r#"{"k": "struct", "fields": [["a", {"k": "text"}], ["a", {"k": "number"}]]}"#,
            "schema: the struct has two fields named \"a\"",
        ),
        (
            r#"{"k": "struct", "fields": [["in", {"k": "struct", "fields": [["__proto__", {"k": "text"}]]}]]}"#,
            "schema.in: a field must not be named \"__proto__\", by which JavaScript reaches other objects",
        ),
        (
            r#"{"k": "struct", "fields": [["a"]]}"#,
            "schema.fields: expected [name, schema]",
        ),
        (
            r#"{"k": "struct", "fields": {}}"#,
            "schema.fields: expected a list, not an object",
        ),
        (
            r#"{"k": "text", "json": true}"#,
            "schema: a text cannot be made plain JSON; a struct, a list and a record can",
        ),
        (
            r#"{"k": "list", "item": {"k": "any"}, "json": 1}"#,
            "schema.json: expected true or false",
        ),
        (
            r#"{"k": "union", "variants": []}"#,
            "schema: a union needs at least one variant",
        ),
        (
            r#"{"k": "union", "variants": [{"k": "null"}, {"k": "x"}]}"#,
            "schema.1: there is no kind \"x\"",
        ),
        (
            r#"{"k": "tagged", "key": "t", "variants": [{"k": "struct", "fields": [["t", {"k": "string"}]]}]}"#,
            "schema: variant 0 of the tagged union is no struct whose field \"t\" is a string with allowed values",
        ),
        (
            r#"{"k": "decay", "of": {"k": "text"}, "ms": -1}"#,
            "schema.ms: expected an integer, 0 or more",
        ),
        (
            r#"{"k": "richtext", "marks": [["b", "sideways"]]}"#,
            "schema.marks: \"sideways\" is none of before, after, both, none",
        ),
        (
            r#"{"k": "richtext", "marks": [["b", "none"], ["b", "both"]]}"#,
            "schema: the rich text has two marks named \"b\"",
        ),
        (
            r#"{"k": "struct", "fields": [], "history": [{"migrated": []}]}"#,
            "schema.history.migrated: a step of the history needs at least one change",
        ),
        (
            r#"{"k": "struct", "fields": [], "history": [{"epoch": []}, {"base": {}}]}"#,
            "schema.history.base: the base of a history must come before its first step, and once",
        ),
        (
            r#"{"k": "struct", "fields": [], "history": [{"migrated": [{"p": "swap"}]}]}"#,
            "schema.history.migrated: there is no change \"swap\"",
        ),
        (
            r#"{"k": "struct", "fields": [], "history": [{}]}"#,
            "schema.history: expected \"base\", \"migrated\" or \"epoch\"",
        ),
    ] {
        assert_eq!(
            Schema::parse(json).unwrap_err().to_string(),
            expected,
            "{json}"
        );
    }
}

#[test]
fn text_that_is_too_long_is_not_read() {
    let long = " ".repeat((1 << 20) + 1);
    let error = Schema::parse(&long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the schema has 1048577 bytes; at most 1048576 are read"
    );
}

#[test]
fn constructors_refuse_what_cannot_be() {
    let unsafe_name = Schema::structure([("__proto__", Schema::text())]);
    assert_eq!(unsafe_name, Err(SchemaError::ForbiddenField));
    assert_eq!(Schema::union([]), Err(SchemaError::NoVariants));
    assert_eq!(Schema::tagged("t", []), Err(SchemaError::NoVariants));
    let twice = Schema::rich_text([("b", Expand::After), ("b", Expand::None)]);
    let name = "b".to_owned();
    assert_eq!(twice, Err(SchemaError::DuplicateMark { name }));
    let no_struct = Schema::text().epoch([]);
    assert_eq!(no_struct, Err(SchemaError::NoHistory { kind: "text" }));
}
