//! Derived schemas have the recorded hashes, handles make the edits, and a document is read as its type.
//!
//! A failure shows the hash, the edits or the JSON, beside what the reference has.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code
)]

use std::{collections::BTreeMap, fs, path::Path};

use kyneta_uds_core::{Lineage, WireVersion};
use kyneta_uds_exchange::{
    Edit, EditError, Json, PlainReplica,
    typed::{self, Counter, Described, List, Movable, Record, Schema, Text},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Schema)]
struct Notes {
    text: Text,
}

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    dark_mode: bool,
    hits: Counter,
    items: List<String>,
    notes: Text,
    peers: Record<bool>,
    #[serde(skip)]
    cached: usize,
}

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Todo {
    id: String,
    text: Text,
    #[serde(default)]
    done: bool,
}

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Meta {
    created: i64,
    owner: Option<String>,
}

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
struct Todos {
    title: String,
    todos: Vec<Todo>,
    meta: Meta,
}

#[derive(Schema)]
struct Point {
    x: f64,
    y: u16,
}

#[derive(Schema)]
struct Presence {
    #[schema(json)]
    cursor: Point,
    name: String,
    typing: bool,
}

#[derive(Schema)]
struct Card {
    title: Text,
    pos: f32,
}

#[derive(Schema)]
struct Cards {
    cards: Movable<Card>,
}

#[derive(Schema)]
#[schema(json)]
struct Key {
    k: String,
}

#[derive(Schema)]
struct JsonInList {
    l: List<Key>,
}

#[derive(Schema)]
struct JsonList {
    #[schema(json)]
    r: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug, PartialEq, Schema, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Shape {
    A { x: f64 },
    B { y: String },
}

#[derive(Schema)]
struct TaggedTwo {
    f: Shape,
}

#[derive(Schema)]
#[serde(tag = "kind")]
enum Kind {
    #[serde(rename = "p")]
    P { v: f64 },
    #[serde(rename = "q")]
    Q,
}

#[derive(Schema)]
struct TaggedList {
    l: List<Kind>,
}

#[derive(Schema)]
#[serde(untagged)]
enum StringOrNumber {
    String(String),
    Number(f64),
}

#[derive(Schema)]
struct UnionTwo {
    f: StringOrNumber,
}

#[derive(Schema)]
struct NullableTwice {
    f: Option<Option<String>>,
}

#[derive(Schema)]
struct NullableInList {
    f: List<Option<f64>>,
}

#[derive(Schema)]
struct Wrapped(Text);

#[derive(Schema)]
struct OfWrapped {
    f: Wrapped,
}

#[derive(Debug, Clone, Copy, PartialEq, Schema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Off,
    VeryLoud,
}

fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let text = fs::read_to_string(path.join("exchange-schema.json")).unwrap();
    let text = Json::parse(&text).unwrap().to_string();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    cases.into_iter().find(|case| case["name"] == name).unwrap()
}

#[test]
fn derived_schemas_have_the_hashes_of_the_reference_in_both_releases() {
    for (name, schema) in [
        ("real/notes", Notes::schema()),
        ("real/config", Config::schema()),
        ("real/todo", Todos::schema()),
        ("real/presence", Presence::schema()),
        ("movable-of-structs", Cards::schema()),
        ("json/in-list", JsonInList::schema()),
        ("json/record-of-lists", JsonList::schema()),
        ("tagged/2", TaggedTwo::schema()),
        ("tagged/list", TaggedList::schema()),
        ("union/2", UnionTwo::schema()),
        ("nullable/nullable", NullableTwice::schema()),
        ("nullable/in-list", NullableInList::schema()),
        ("struct-of/text", OfWrapped::schema()),
    ] {
        let (schema, case) = (schema.unwrap(), recorded(name));
        for (wire, release) in [(WireVersion::V2, "1.8.0"), (WireVersion::V3, "2.3.2")] {
            let hash = schema.hash(wire).unwrap();
            assert_eq!(
                hash.as_str(),
                case[release]["schemaHash"],
                "{name} {release}"
            );
        }
    }
    let level = typed::Schema::string_of(["off", "very-loud"]);
    assert_eq!(Level::schema(), Ok(level));
}

#[test]
fn a_type_that_contains_itself_is_an_error() {
    #[derive(Schema)]
    struct Tree {
        children: List<Tree>,
    }
    let error = Tree::schema().unwrap_err().to_string();
    assert_eq!(
        error,
        "the types contain one another more than 64 deep; a schema has an end"
    );
}

#[test]
fn handles_make_one_batch_and_the_document_is_read_as_its_type() {
    let mut replica = PlainReplica::open(Todos::schema().unwrap()).unwrap();
    let todo = |id: &str| Todo {
        id: id.to_owned(),
        text: Text::from(String::new()),
        done: false,
    };
    let edits = typed::edits::<Todos>(|t| {
        t.title.set("all");
        t.todos.push(todo("a"));
        t.todos.insert(0, todo("b"));
        t.todos.item(0).text.insert(0, "sweep");
        t.todos.item(1).done.set(true);
        t.meta.created.set(5);
        t.meta.owner.set("ann".to_owned());
    })
    .unwrap();
    assert_eq!(edits.len(), 7);
    assert_eq!(edits[3], Edit::insert("todos.0.text", 0, "sweep"));
    let lineage = || Lineage::new("aa").unwrap();
    replica.edit(&edits, lineage).unwrap();
    let value = Json::Object(replica.value().clone());
    let mut expected = Todos {
        title: "all".to_owned(),
        todos: vec![todo("b"), todo("a")],
        meta: Meta {
            created: 5,
            owner: Some("ann".to_owned()),
        },
    };
    "sweep".clone_into(&mut expected.todos[0].text);
    expected.todos[1].done = true;
    assert_eq!(typed::read::<Todos>(&value), Ok(expected));
    let error = typed::read::<Config>(&value).unwrap_err().to_string();
    assert!(error.contains("missing field `darkMode`"), "{error}");
}

#[test]
fn every_handle_makes_its_edits() {
    let edits = typed::edits::<Config>(|c| {
        c.hits.add(-2.0);
        c.items.delete(1, 2);
        c.notes.delete(0, 1);
        c.notes.update("new");
        c.peers.put("a.b", true);
        c.peers.entry("k").set(false);
        c.peers.remove("k");
        c.peers.clear();
    });
    let expected = [
        Edit::increment("hits", -2.0),
        Edit::delete("items", 1, 2),
        Edit::delete("notes", 0, 1),
        Edit::update("notes", "new"),
        Edit::put("peers", "a.b", true),
        Edit::set("peers.k", false),
        Edit::remove("peers", "k"),
        Edit::clear("peers"),
    ];
    assert_eq!(edits, Ok(expected.to_vec()));
    let shape = typed::edits::<Shape>(|shape| shape.set(Shape::A { x: 1.0 }));
    let json = Json::parse(r#"{"type": "a", "x": 1}"#).unwrap();
    assert_eq!(shape, Ok(vec![Edit::set("", json)]));
    let level = typed::edits::<Level>(|level| level.set(Level::VeryLoud));
    assert_eq!(level, Ok(vec![Edit::set("", "very-loud")]));
}

#[test]
fn a_value_that_is_no_json_is_an_error_and_there_is_no_batch() {
    #[derive(Schema)]
    struct Odd {
        first: bool,
        pair: Pairs,
    }
    #[derive(Schema)]
    #[serde(untagged)]
    enum Pairs {
        Any(serde_json::Value),
    }
    impl Serialize for Pairs {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_map([((1, 2), 3)])
        }
    }
    let edits = typed::edits::<Odd>(|odd| {
        odd.first.set(true);
        odd.pair.set(Pairs::Any(Value::Null));
        odd.first.set(false);
    });
    let why = "key must be a string".to_owned();
    let path = "pair".to_owned();
    assert_eq!(edits, Err(EditError::Refused { path, why }));
}
