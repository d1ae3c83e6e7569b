//! Documents as Rust types: a struct says the schema, is what a document is read as, and its handles make edits.
//!
//! [`Schema`](derive@Schema) derives all of it. A type has the same hash as the schema in TypeScript that has its names
//! and types. Names are those that serde writes: `rename`, `rename_all` and `rename_all_fields` count.
//!
//! ```
//! use kyneta_uds_core::{Lineage, WireVersion};
//! use kyneta_uds_exchange::{Json, PlainReplica, typed::{self, Counter, Described, List, Schema, Text}};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Schema, Serialize, Deserialize)]
//! #[serde(rename_all = "camelCase")]
//! struct Config {
//!     dark_mode: bool,
//!     log_level: String,
//!     items: List<String>,
//!     hits: Counter,
//!     notes: Text,
//! }
//!
//! let schema = Config::schema()?;
//! let mut replica = PlainReplica::open(schema)?;
//! let edits = typed::edits::<Config>(|c| {
//!     c.dark_mode.set(true);
//!     c.items.push("a".to_owned());
//!     c.hits.add(1.0);
//!     c.notes.insert(0, "hello");
//! })?;
//! replica.edit(&edits, || Lineage::new("0011223344556677").expect("it is short"))?; // one batch
//!
//! let config: Config = typed::read(&Json::Object(replica.value().clone()))?;
//! assert!(config.dark_mode);
//! assert_eq!((config.items.as_slice(), config.notes.as_str()), (&["a".to_owned()][..], "hello"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | Rust | schema |
//! |---|---|
//! | `bool`, `String`, `f64` and the other numbers | boolean, string, number |
//! | [`Text`], [`Counter`] | text, counter |
//! | [`List<T>`](List) or `Vec<T>`, [`Movable<T>`](Movable) | list, movable list |
//! | [`Record<T>`](Record), or a map from `String` | record |
//! | `Option<T>` | nullable |
//! | a struct | struct; one with a single field and no names is that field |
//! | an enum of names | string with allowed values, in the order of the variants |
//! | an enum with `#[serde(tag = "type")]` | tagged union |
//! | an enum with `#[serde(untagged)]` | union |
//! | `serde_json::Value` | any |
//! | a field or a struct with `#[schema(json)]` | the same, as a plain JSON value: a CRDT writes it as a whole |
//!
//! `#[schema(crate = "path")]` on a type says where this module is, for a program that has it under another name.

mod described;
mod handles;
mod kinds;
mod types;

use std::cell::RefCell;

use serde::{Serialize, de::DeserializeOwned};

pub use described::{Depth, Described};
pub use handles::{At, CounterHandle, ListHandle, RecordHandle, TextHandle, Value};
pub use kinds::{Ephemeral, Loro, Plain, Typed, Yjs};
pub use kyneta_uds_derive::Schema;
pub use kyneta_uds_schema::{Schema, SchemaError};
pub use types::{Counter, List, Movable, Record, Text};

use crate::{
    json::Json,
    plain::{Edit, EditError},
};

/// The edits that a closure makes on the handles of a type, in their order: one batch.
///
/// # Errors
/// [`EditError::Refused`] when a value cannot be written as JSON, such as a map whose keys are no strings.
pub fn edits<T: Described>(make: impl FnOnce(T::Handle<'_>)) -> Result<Vec<Edit>, EditError> {
    let batch = RefCell::new(Ok(Vec::new()));
    make(T::handle(At::root(&batch)));
    batch.into_inner()
}

/// A document's value as a type.
///
/// # Errors
/// [`ReadError`], when a peer has written what the type cannot be.
pub fn read<T: DeserializeOwned>(value: &Json) -> Result<T, ReadError> {
    serde_json::from_str(&value.to_string()).map_err(|error| ReadError(error.to_string()))
}

/// A value of a type, as documents hold it.
///
/// # Errors
/// [`WriteError`], for a map whose keys are no strings, for one.
///
/// ```
/// use kyneta_uds_exchange::typed;
///
/// assert_eq!(typed::write(&("a", 1.5))?.to_string(), r#"["a",1.5]"#);
/// # Ok::<(), typed::WriteError>(())
/// ```
pub fn write(value: &impl Serialize) -> Result<Json, WriteError> {
    let text = serde_json::to_string(value).map_err(|error| WriteError(error.to_string()))?;
    Json::parse(&text).map_err(|error| WriteError(error.to_string()))
}

/// A value that no document can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be written as JSON: {0}")]
pub struct WriteError(pub(crate) String);

/// A value that is none of the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document cannot be read as this type: {0}")]
pub struct ReadError(String);
