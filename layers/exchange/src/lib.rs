//! Replicas of kyneta documents: what a document holds, and what peers are offered of it.
//!
//! A [`Replica`] has a version, makes payloads of what a peer lacks, and takes the offers of peers. Plain JSON and
//! ephemeral documents are here; both give and take what a TypeScript peer takes and gives.
//!
//! ```
//! use kyneta_uds_core::{DocId, Lineage, WireVersion};
//! use kyneta_uds_exchange::{Edit, Json, PlainReplica, Replica, Take};
//! use kyneta_uds_schema::Schema;
//!
//! let config = Schema::structure([("mode", Schema::string()), ("hits", Schema::counter())])?;
//! let (mut here, mut there) = (PlainReplica::open(config.clone())?, PlainReplica::open(config)?);
//! // The first edit of a document needs a random lineage.
//! let fresh = || Lineage::new("0011223344556677").expect("it is short");
//! here.edit(&[Edit::set("mode", "auto"), Edit::increment("hits", 2.0)], fresh)?;
//!
//! let wire = WireVersion::V3;
//! let payload = here.export(Some(&there.version(wire)), wire).expect("there is something newer");
//! there.import(&payload.offer(DocId::new("config")?)?, wire, Take::Merge)?;
//! assert_eq!(there.value().get("mode"), Some(&Json::from("auto")));
//! assert_eq!(there.version(wire).to_string(), "0011223344556677:1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | values, versions, payloads |
//! | touches | nothing: no I/O, no clock, no randomness, no tokio |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod ephemeral;
mod json;
mod kind;
pub mod library;
pub mod line;
mod plain;
mod replica;
pub mod typed;
pub mod values;

pub use ephemeral::EphemeralReplica;
pub use json::{Json, JsonFault, Object};
pub use kind::{DocKind, DocLimits, DocReplica, EphemeralKind, JsonKind, Moment};
pub use plain::{Action, Edit, EditError, PlainLimits, PlainReplica};
pub use replica::{ImportError, Imported, Payload, Replica, Take};
