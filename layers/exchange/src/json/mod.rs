//! JSON values as JavaScript has them: numbers are `f64`, objects keep the order of their keys.
//!
//! In: JSON text (`read`). Out: a value, and its text as `JSON.stringify` writes it (`write`). Touches nothing.

mod read;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use indexmap::IndexMap;

pub use read::JsonFault;

/// An object, in the order in which its keys were added.
pub type Object = IndexMap<String, Json>;

/// A JSON value.
///
/// ```
/// use kyneta_uds_exchange::Json;
///
/// let value = Json::parse(r#"{"b": 1.0, "a": [true, null]}"#)?;
/// assert_eq!(value.to_string(), r#"{"b":1,"a":[true,null]}"#);
/// # Ok::<(), kyneta_uds_exchange::JsonFault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string. Half of a surrogate pair, which only JavaScript can hold, is U+FFFD.
    String(String),
    /// A list.
    Array(Vec<Self>),
    /// An object.
    Object(Object),
}

impl Json {
    /// The object, if it is one.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// What an object has under a key; `None` when it is no object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// The name of its type, for error texts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean value",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Json {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<Self>> for Json {
    fn from(list: Vec<Self>) -> Self {
        Self::Array(list)
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}
