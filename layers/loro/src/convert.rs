//! JSON values to plain values of Loro, and back.
//!
//! In and out: values. Touches nothing.

use kyneta_uds_exchange::{Json, Object};
use kyneta_uds_schema::{Kind, Scalar, Schema};
use loro::LoroValue;

use crate::claims::MAX_DEPTH;

/// Integers up to here are integers in Loro too, as the reference's binding makes them.
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

/// The value of a plain JSON value. Bytes are bytes where the schema says so.
pub(crate) fn to_loro(schema: &Schema, value: &Json) -> LoroValue {
    match (schema.kind(), value) {
        (Kind::Scalar(Scalar::Bytes, _), Json::Object(object)) => {
            let byte = |value: &Json| match value {
                Json::Number(number) => *number as u8,
                _ => 0,
            };
            LoroValue::from(object.values().map(byte).collect::<Vec<u8>>())
        }
        (Kind::Struct(structure), Json::Object(object)) => {
            let entry = |(name, value): (&String, &Json)| {
                let value = match structure.field(name) {
                    Some(field) => to_loro(field, value),
                    None => plain(value),
                };
                (name.clone(), value)
            };
            map(object.iter().map(entry))
        }
        (Kind::Record(item), Json::Object(object)) => {
            map(object.iter().map(|(k, v)| (k.clone(), to_loro(item, v))))
        }
        (Kind::List(item) | Kind::Movable(item), Json::Array(items)) => {
            let items = items.iter().map(|value| to_loro(item, value));
            LoroValue::from(items.collect::<Vec<_>>())
        }
        // Null or bytes, for one.
        (Kind::Union(variants), value) => {
            let fits = |variant: &&Schema| kyneta_uds_exchange::values::fits(variant, value);
            match variants.iter().find(fits) {
                Some(variant) => to_loro(variant, value),
                None => plain(value),
            }
        }
        (_, value) => plain(value),
    }
}

fn map(entries: impl Iterator<Item = (String, LoroValue)>) -> LoroValue {
    LoroValue::Map(entries.collect::<Vec<_>>().into_iter().collect())
}

/// The value of a plain JSON value, without a schema.
pub(crate) fn plain(value: &Json) -> LoroValue {
    match value {
        Json::Null => LoroValue::Null,
        Json::Bool(value) => LoroValue::Bool(*value),
        Json::Number(number) if number.fract() == 0.0 && number.abs() <= MAX_INTEGER => {
            LoroValue::I64(*number as i64)
        }
        Json::Number(number) => LoroValue::Double(*number),
        Json::String(text) => LoroValue::from(text.as_str()),
        Json::Array(items) => LoroValue::from(items.iter().map(plain).collect::<Vec<_>>()),
        Json::Object(object) => map(object.iter().map(|(k, v)| (k.clone(), plain(v)))),
    }
}

/// The JSON value of a plain value. Bytes are what JavaScript writes of them; keys come in order; `__proto__` is
/// left out, by which JavaScript would reach other objects. What is nested deeper than values may be is null: containers
/// may be, and JSON is read and dropped by recursion.
pub(crate) fn to_json(value: &LoroValue) -> Json {
    to_depth(value, MAX_DEPTH)
}

fn to_depth(value: &LoroValue, depth: usize) -> Json {
    let to_json = |value| match depth.checked_sub(1) {
        Some(depth) => to_depth(value, depth),
        None => Json::Null,
    };
    match value {
        LoroValue::Null | LoroValue::Container(_) => Json::Null,
        LoroValue::Bool(value) => Json::Bool(*value),
        LoroValue::Double(number) => Json::Number(*number),
        LoroValue::I64(number) => Json::Number(*number as f64),
        LoroValue::String(text) => Json::String(text.to_string()),
        LoroValue::Binary(bytes) => {
            let byte = |(at, byte): (usize, &u8)| (at.to_string(), Json::Number(f64::from(*byte)));
            Json::Object(bytes.iter().enumerate().map(byte).collect())
        }
        LoroValue::List(items) => Json::Array(items.iter().map(to_json).collect()),
        LoroValue::Map(map) => {
            let entries = map.iter().filter(|(key, _)| *key != "__proto__");
            let mut object: Object = entries.map(|(k, v)| (k.clone(), to_json(v))).collect();
            object.sort_unstable_keys();
            Json::Object(object)
        }
    }
}
