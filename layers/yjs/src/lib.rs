//! Yjs documents of kyneta: what the TypeScript package's `yjs` binding holds, edits and sends.
//!
//! A [`YjsReplica`] is a [`Replica`](kyneta_uds_exchange::Replica) by the library yrs. It lays a document out as the
//! reference does, so that both edit the same text and list, and each sees what the other wrote.
//!
//! ```
//! use kyneta_uds_core::{DocId, WireVersion};
//! use kyneta_uds_exchange::{Edit, Json, Replica, Take};
//! use kyneta_uds_schema::Schema;
//! use kyneta_uds_yjs::YjsReplica;
//!
//! let pad = Schema::structure([("text", Schema::text()), ("title", Schema::string())])?;
//! // Each replica that is edited needs a client id of its own: a random one.
//! let (mut here, mut there) = (YjsReplica::open(pad.clone(), 1)?, YjsReplica::open(pad, 2)?);
//! here.edit(&[Edit::insert("text", 0, "hello")])?;
//!
//! let wire = WireVersion::V3;
//! let payload = here.export(Some(&there.version(wire)), wire).expect("a Yjs document always has something to send");
//! there.import(&payload.offer(DocId::new("pad")?)?, wire, Take::Merge)?;
//! assert_eq!(there.value().get("text"), Some(&Json::from("hello")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | values, versions, payloads |
//! | touches | a thread for the time of a call, where containers may be nested too deep for the stack; the library yrs takes random numbers for what this crate then sets |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod claims;
mod convert;
mod deep;
mod edit;
mod kind;
mod place;
mod read;
mod replica;
mod version;
mod write;

pub use kind::YjsKind;
pub use replica::{YjsLimits, YjsReplica};
