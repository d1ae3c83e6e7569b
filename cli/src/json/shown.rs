//! The value of a document as JSON.
//!
//! In: a value. Out: JSON, in the order of its keys. Touches nothing.

use kyneta_uds::documents::Json;
use serde::{Serialize, Serializer};

/// A value of a document, as JavaScript writes it: integers without a fraction, what is no number as null.
pub(crate) struct Value<'v>(pub(crate) &'v Json);

/// The largest integer up to which every integer has an exact `f64` (2^53-1).
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) if number.fract() == 0.0 && number.abs() <= MAX_SAFE => {
                serializer.serialize_i64(*number as i64)
            }
            Json::Number(number) => serializer.serialize_f64(*number),
            Json::String(text) => serializer.serialize_str(text),
            Json::Array(items) => serializer.collect_seq(items.iter().map(Value)),
            Json::Object(object) => {
                serializer.collect_map(object.iter().map(|(key, value)| (key, Value(value))))
            }
        }
    }
}
