//! JSON values to plain values of Yjs, and back.
//!
//! In and out: values. Touches nothing.

use std::{collections::HashMap, sync::Arc};

use kyneta_uds_exchange::{Json, Object, values::fits};
use kyneta_uds_schema::{Kind, Scalar, Schema};
use yrs::{Any, Number};

/// The value of a plain JSON value. Bytes are bytes where the schema says so.
pub(crate) fn to_any(schema: &Schema, value: &Json) -> Any {
    match (schema.kind(), value) {
        (Kind::Scalar(Scalar::Bytes, _), Json::Object(object)) => {
            let byte = |value: &Json| match value {
                Json::Number(number) => *number as u8,
                _ => 0,
            };
            Any::Buffer(object.values().map(byte).collect::<Vec<u8>>().into())
        }
        (Kind::Struct(structure), Json::Object(object)) => {
            let entry = |(name, value): (&String, &Json)| {
                let value = match structure.field(name) {
                    Some(field) => to_any(field, value),
                    None => plain(value),
                };
                (name.clone(), value)
            };
            map(object.iter().map(entry))
        }
        (Kind::Record(item), Json::Object(object)) => {
            map(object.iter().map(|(k, v)| (k.clone(), to_any(item, v))))
        }
        (Kind::List(item), Json::Array(items)) => {
            Any::Array(items.iter().map(|value| to_any(item, value)).collect())
        }
        // Null or bytes, for one.
        (Kind::Union(variants), value) => {
            match variants.iter().find(|variant| fits(variant, value)) {
                Some(variant) => to_any(variant, value),
                None => plain(value),
            }
        }
        (_, value) => plain(value),
    }
}

fn map(entries: impl Iterator<Item = (String, Any)>) -> Any {
    Any::Map(Arc::new(entries.collect::<HashMap<_, _>>()))
}

/// The value of a plain JSON value, without a schema.
pub(crate) fn plain(value: &Json) -> Any {
    match value {
        Json::Null => Any::Null,
        Json::Bool(value) => Any::Bool(*value),
        Json::Number(number) => Any::Number(Number::Float(*number)),
        Json::String(text) => Any::String(text.as_str().into()),
        Json::Array(items) => Any::Array(items.iter().map(plain).collect()),
        Json::Object(object) => map(object.iter().map(|(k, v)| (k.clone(), plain(v)))),
    }
}

/// The JSON value of a plain value. Bytes are what JavaScript writes of them; keys come in order; `__proto__` is
/// left out, by which JavaScript would reach other objects.
pub(crate) fn to_json(value: &Any) -> Json {
    match value {
        Any::Null | Any::Undefined => Json::Null,
        Any::Bool(value) => Json::Bool(*value),
        Any::Number(Number::Int(number)) => Json::Number(*number as f64),
        Any::Number(Number::Float(number)) => Json::Number(*number),
        Any::String(text) => Json::String(text.to_string()),
        Any::Buffer(bytes) => {
            let byte = |(at, byte): (usize, &u8)| (at.to_string(), Json::Number(f64::from(*byte)));
            Json::Object(bytes.iter().enumerate().map(byte).collect())
        }
        Any::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Any::Map(map) => {
            let entries = map.iter().filter(|(key, _)| *key != "__proto__");
            let mut object: Object = entries.map(|(k, v)| (k.clone(), to_json(v))).collect();
            object.sort_unstable_keys();
            Json::Object(object)
        }
    }
}
