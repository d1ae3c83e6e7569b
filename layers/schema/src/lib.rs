//! Schemas and versions of kyneta documents, as values.
//!
//! A document's schema is announced by its hash, so two programs share a document only if they compute the same
//! one. A [`Schema`] is built here or read from JSON, and gives the hashes of both releases of the TypeScript
//! package, the hashes that it supports besides, and the identities of its fields. A [`DocVersion`] compares the
//! versions that peers send.
//!
//! ```
//! use kyneta_uds_core::WireVersion;
//! use kyneta_uds_schema::Schema;
//!
//! let config = Schema::structure([
//!     ("darkMode", Schema::boolean()),
//!     ("hits", Schema::counter()),
//!     ("items", Schema::list(Schema::string())),
//!     ("notes", Schema::text()),
//!     ("peers", Schema::record(Schema::boolean())),
//! ])?;
//! // What Schema.struct({...}) has in TypeScript.
//! let hash = config.hash(WireVersion::V3).expect("no field decays");
//! assert_eq!(hash.as_str(), "029b2ded42203dfd95f2358ae0bc828617");
//! # Ok::<(), kyneta_uds_schema::SchemaError>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | hashes, identities, the order of versions |
//! | touches | nothing: no I/O, no clock, no randomness, no tokio |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod fnv;
pub mod js;
mod order;
mod peer_ids;
mod schema;
mod substrate;
mod version;

pub use peer_ids::{loro_peer_id, yjs_client_id};
pub use schema::{
    Expand, Identities, Kind, Literal, Mark, Migration, Origin, ParseError, Scalar, Schema,
    SchemaError, Struct,
};
pub use substrate::{Substrate, SubstrateError};
pub use version::{
    DocVersion, LoroVersion, PlainVersion, TimestampVersion, VersionError, VersionOrder, YjsVersion,
};
