//! Routing between the members of a listener: documents pass through a hub that holds none of them.
//!
//! The hub needs no replica and no CRDT. It reads of each message which document it is about and which
//! version it carries, and passes payloads on as bytes. The [`Switch`] is a pure machine: members that come
//! and go and their messages go in, messages to members come out.
//!
//! ```
//! use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, ReplicaType, SchemaHash, WireVersion};
//! use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch, SwitchConfig};
//!
//! let mut switch = Switch::new(SwitchConfig::default());
//! let mut effects = Vec::new();
//! let (a, b) = (MemberKey(1), MemberKey(2));
//! switch.established(a, MemberFacts::local(WireVersion::V3), &mut effects);
//! switch.established(b, MemberFacts::local(WireVersion::V3), &mut effects);
//!
//! let loro = ReplicaType::new("loro", 1.0, 0.0)?;
//! let entry = DocEntry::new(DocId::new("settings")?, loro, SchemaHash::new("02ab")?);
//! let present = ChannelMsg::Present(vec![entry]);
//! switch.received(a, present.clone(), &mut effects);
//! assert_eq!(effects, [Effect::send(b, present)]); // b learns of the document
//! # Ok::<(), kyneta_uds_core::TextTooLong>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | effects: messages to members, diagnostics |
//! | touches | nothing: no I/O, no clock, no randomness, no tokio |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod effect;
mod gate;
mod member;
mod router;
mod switch;

pub use config::SwitchConfig;
pub use effect::{Diagnostic, Effect};
pub use gate::{Access, Gate};
pub use member::{KeyHasher, MemberFacts, MemberKey, MemberMap};
pub use router::{Holdings, Router, RouterCounts};
pub use switch::Switch;
