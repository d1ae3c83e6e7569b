//! An error in a piece of JSON: what, and in which field.
//!
//! In: what is wrong, then the names of the fields around it, from the inside. Out: `docs.1.rt: expected a list`.
//! Pure.

use std::{borrow::Cow, fmt};

/// An error, with the path of its field.
#[derive(Debug, PartialEq)]
pub(crate) struct JsonError {
    /// Names of fields with dots between, the outermost first; empty for the whole value.
    path: String,
    what: Cow<'static, str>,
}

impl JsonError {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            path: String::new(),
            what: what.into(),
        }
    }

    /// The same error, seen from the object that contains the field.
    pub(crate) fn under(mut self, field: &str) -> Self {
        self.path = if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{field}.{}", self.path)
        };
        self
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.path, self.what)
        }
    }
}

impl std::error::Error for JsonError {}
