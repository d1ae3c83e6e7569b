//! What is wrong with a piece of JSON, and where.

use std::{borrow::Cow, fmt};

/// One fault, with the fields that lead to it.
#[derive(Debug, PartialEq)]
pub(crate) struct JsonError {
    /// Dotted, from the outside in; empty for the whole.
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

    /// The same fault, seen from one level further out.
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
