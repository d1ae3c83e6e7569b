//! A value to JSON text, as `JSON.stringify` writes it.

use std::fmt;

use kyneta_uds_schema::js;

use super::{Json, Object};

impl Json {
    /// Appends its text.
    pub(crate) fn push_to(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            // As JavaScript writes what a sum may have become.
            Self::Number(number) if !number.is_finite() => out.push_str("null"),
            Self::Number(number) => out.push_str(&js::number_text(*number)),
            Self::String(text) => js::push_json(out, text),
            Self::Array(list) => {
                out.push('[');
                for (at, item) in list.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.push_to(out);
                }
                out.push(']');
            }
            Self::Object(object) => push_object(object, out),
        }
    }
}

/// Appends the text of an object: integer keys come first, as in JavaScript.
pub(crate) fn push_object(object: &Object, out: &mut String) {
    let mut entries: Vec<_> = object.iter().collect();
    entries.sort_by_key(|(key, _)| js::array_index(key).map_or(u64::MAX, u64::from));
    out.push('{');
    for (at, (key, value)) in entries.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        js::push_json(out, key);
        out.push(':');
        value.push_to(out);
    }
    out.push('}');
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.push_to(&mut out);
        f.write_str(&out)
    }
}
