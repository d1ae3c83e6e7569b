//! What a new document holds: the zero of each field's kind.

use kyneta_uds_schema::{Kind, Literal, Scalar, Schema, Struct};

use crate::json::{Json, Object};

/// The zero of a struct. Fields that are undefined are left out.
pub(crate) fn zero_object(structure: &Struct) -> Object {
    let field = |(name, schema): (&str, &Schema)| Some((name.to_owned(), zero(schema)?));
    structure.fields().filter_map(field).collect()
}

/// The zero of a schema; `None` where that is undefined.
pub fn zero(schema: &Schema) -> Option<Json> {
    Some(match schema.kind() {
        Kind::Scalar(scalar, allowed) => match (allowed.first(), scalar) {
            (Some(Literal::String(text)), _) => Json::from(text.as_str()),
            (Some(Literal::Number(number)), _) => Json::Number(*number),
            (Some(Literal::Boolean(value)), _) => Json::Bool(*value),
            (None, Scalar::String) => Json::from(""),
            (None, Scalar::Number) => Json::Number(0.0),
            (None, Scalar::Boolean) => Json::Bool(false),
            (None, Scalar::Null) => Json::Null,
            // JavaScript writes bytes as an object of their indices.
            (None, Scalar::Bytes) => Json::Object(Object::new()),
            (None, Scalar::Undefined | Scalar::Any) => return None,
        },
        Kind::Text => Json::from(""),
        Kind::Counter => Json::Number(0.0),
        Kind::Struct(structure) => Json::Object(zero_object(structure)),
        Kind::Record(_) => Json::Object(Object::new()),
        Kind::Union(variants) | Kind::Tagged { variants, .. } => {
            return variants.first().and_then(zero);
        }
        Kind::Decay { of, .. } => return zero(of),
        // Lists of any kind, rich text, sets, trees.
        _ => Json::Array(Vec::new()),
    })
}
