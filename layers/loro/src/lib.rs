//! Loro documents of kyneta: what the TypeScript package's `loro` binding holds, edits and sends.
//!
//! A [`LoroReplica`] is a [`Replica`](kyneta_uds_exchange::Replica) by the library Loro. It lays a document out as
//! the reference does, so that both edit the same text, list and counter, and each sees what the other wrote.
//!
//! ```
//! use kyneta_uds_core::{DocId, WireVersion};
//! use kyneta_uds_exchange::{Edit, Json, Replica, Take};
//! use kyneta_uds_loro::LoroReplica;
//! use kyneta_uds_schema::Schema;
//!
//! let config = Schema::structure([("notes", Schema::text()), ("hits", Schema::counter())])?;
//! // Each replica that is edited needs a Loro peer id of its own: a random one.
//! let (mut here, mut there) = (LoroReplica::open(config.clone(), 1)?, LoroReplica::open(config, 2)?);
//! here.edit(&[Edit::insert("notes", 0, "hello"), Edit::increment("hits", 2.0)])?;
//! there.edit(&[Edit::increment("hits", 3.0)])?;
//!
//! let wire = WireVersion::V3;
//! let payload = here.export(Some(&there.version(wire)), wire).expect("a Loro document always has something to send");
//! there.import(&payload.offer(DocId::new("config")?)?, wire, Take::Merge)?;
//! assert_eq!(there.value().get("notes"), Some(&Json::from("hello")));
//! assert_eq!(there.value().get("hits"), Some(&Json::from(5.0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | values, versions, payloads |
//! | touches | nothing of its own; the library Loro takes random numbers for what this crate then sets |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod claims;
mod container;
mod convert;
mod deep;
mod edit;
mod kind;
mod place;
mod read;
mod replica;
mod write;

pub use kind::LoroKind;
pub use replica::{LoroLimits, LoroReplica};
