//! Numbers as in JavaScript, including those that JSON cannot express.
//!
//! In: JSON, `f64`. Out: the other one; NaN, -0 and the infinities are objects with a name. Pure.

use serde::{Serialize, Serializer};

use super::{error::JsonError, value::Json};

/// The names of the numbers that JSON cannot express.
const NAMED: [(&str, f64); 4] = [
    ("NaN", f64::NAN),
    ("Infinity", f64::INFINITY),
    ("-Infinity", f64::NEG_INFINITY),
    ("-0", -0.0),
];

/// The largest integer up to which every integer has an exact `f64` (2^53-1).
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// A number, or `{"$num": name}`.
pub(crate) fn number(json: &Json<'_>) -> Result<f64, JsonError> {
    let named = match json {
        Json::Number(number) => return Ok(*number),
        Json::Object(fields) => match fields.as_slice() {
            [(key, Json::Text(name))] if key == "$num" => {
                NAMED.iter().find(|(known, _)| known == name)
            }
            _ => None,
        },
        _ => None,
    };
    named.map(|(_, number)| *number).ok_or_else(|| {
        JsonError::new(format!(
            "expected a number or {{\"$num\": \"NaN\" | \"Infinity\" | \"-Infinity\" | \"-0\"}}, \
             not {}",
            json.kind()
        ))
    })
}

/// An integer from 0 to 2^53-1.
pub(crate) fn count(json: &Json<'_>) -> Result<u64, JsonError> {
    match json {
        Json::Number(number) if number.fract() == 0.0 && (0.0..=MAX_SAFE).contains(number) => {
            Ok(*number as u64)
        }
        _ => Err(JsonError::new("expected an integer from 0 to 2^53-1")),
    }
}

/// Writes a number: integers without a fraction, numbers that JSON cannot express by name.
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(number) = *self;
        let bits = number.to_bits();
        let name = NAMED
            .iter()
            .find(|(_, known)| known.to_bits() == bits || (known.is_nan() && number.is_nan()));
        match name {
            Some((name, _)) => serializer.collect_map([("$num", name)]),
            None if number.fract() == 0.0 && number.abs() <= MAX_SAFE => {
                serializer.serialize_i64(number as i64)
            }
            None => serializer.serialize_f64(number),
        }
    }
}
