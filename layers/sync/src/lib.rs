//! What peers say to one another about documents: a pure machine that holds no document and knows no CRDT.
//!
//! A peer tells others which documents it has (`present`), asks for what it lacks (`interest`), answers and pushes
//! changes (`offer`). The [`SyncMachine`] decides when. Replicas are seen through their versions: what happened to
//! them goes in, what is to be exported and imported comes out.
//!
//! ```
//! use kyneta_uds_core::{
//!     ChannelMsg, DocEntry, DocId, Identity, Interest, ReplicaType, SchemaHash, Version, WireVersion,
//! };
//! use kyneta_uds_sync::{ChannelKey, Effect, Held, Relation, SyncMachine, Versions};
//!
//! struct Counts;
//! impl Versions for Counts {
//!     fn relation(&self, _: &DocEntry, ours: &Version, theirs: &Version) -> Option<Relation> {
//!         Some(if ours == theirs { Relation::Equal } else { Relation::Concurrent })
//!     }
//! }
//!
//! let (mut machine, mut effects) = (SyncMachine::new(Counts), Vec::new());
//! let (bob, channel) = (Identity::user("bob")?, ChannelKey(1));
//! machine.established(channel, bob, WireVersion::V3, &mut effects);
//!
//! let (doc, loro) = (DocId::new("settings")?, ReplicaType::new("loro", 1.0, 0.0)?);
//! let entry = DocEntry::new(doc.clone(), loro, SchemaHash::new("02ab")?);
//! machine.open(entry.clone(), Held::Interpreted, Version::new("0")?, &mut effects);
//! effects.clear(); // a present and an interest went to bob
//!
//! let interest = Interest::new(doc.clone()).since(Version::new("3")?).reciprocate(false);
//! machine.received(channel, interest.into(), &mut effects);
//! let since = Some(Version::new("3")?);
//! assert_eq!(effects, [Effect::Offer { to: vec![channel], doc, since, reciprocate: Some(false) }]);
//! # Ok::<(), kyneta_uds_core::TextTooLong>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | effects: messages to channels, exports and imports of replicas, reports |
//! | touches | nothing: no I/O, no clock, no randomness, no tokio |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod diagnostic;
mod effect;
mod machine;
mod ordered;
mod policy;
pub mod program;
mod registry;
mod versions;

pub use config::SyncLimits;
pub use diagnostic::{Diagnostic, LimitScope, SchemaTexts};
pub use effect::{ChannelKey, Effect, Imported, PeerChange, Take};
pub use machine::{SyncCounts, SyncMachine};
pub use policy::{Answer, Policies, Policy, Resolve};
pub use program::{DocEvent, Held, Mismatch, PeerState};
pub use registry::{Registry, Schema};
pub use versions::{Relation, Versions};
