//! Documents above the channel: replicas that peers keep equal, as a TypeScript `Exchange` does.
//!
//! An [`Exchange`] joins a path, connects or listens. A [`Document`] of it is read and edited at once, with peers or
//! without; what peers lack is sent to them, and what they have comes by itself. Peers of both releases of the TypeScript
//! package take part.
//!
//! | | |
//! |---|---|
//! | needs below | a role, or a channel of [`ChannelMsg`](crate::ChannelMsg) |
//! | gives above | documents: values, changes, edits; events |
//! | touches | the role; a task of tokio's for the exchange and one for each channel; with a store a thread; the system's clock and random numbers |
//!
//! Plain JSON and ephemeral documents are built in. A CRDT library is a [`DocKind`] of another crate.

mod attach;
mod builder;
mod cell;
mod document;
mod engine;
mod event;
mod exchange;
#[cfg(test)]
mod future;
mod journal;
mod line;
mod outgoing;
mod room;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod sessions;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod succession;
mod table;
mod task;
mod typed_document;
mod versions;

pub use builder::ExchangeBuilder;
pub use document::{Changed, Changes, Document, DocumentError, DocumentGone, NotStored};
pub use event::{ExchangeCounts, ExchangeEvent, ExchangeEvents};
pub use exchange::Exchange;
#[doc(no_inline)]
pub use kyneta_uds_exchange::line::{LineTopic, LineTopicError};
#[doc(no_inline)]
pub use kyneta_uds_exchange::typed;
#[doc(no_inline)]
pub use kyneta_uds_exchange::{
    DocKind, DocLimits, DocReplica, Edit, EditError, EphemeralKind, Json, JsonKind, Moment,
};
#[doc(no_inline)]
pub use kyneta_uds_schema::{
    DocVersion, Kind, ParseError, Schema, SchemaError, Substrate, VersionOrder,
};
#[cfg(feature = "store")]
#[cfg_attr(docsrs, doc(cfg(feature = "store")))]
#[doc(no_inline)]
pub use kyneta_uds_store::{AwaitedRedb, Redb};
#[doc(no_inline)]
pub use kyneta_uds_store::{MemoryStore, Store, StoreError, StoreLimits};
#[doc(no_inline)]
pub use kyneta_uds_sync::{
    Answer, Diagnostic, DocEvent, LimitScope, Mismatch, PeerChange, Policy, Resolve, SchemaTexts,
    SyncLimits,
};
pub use line::{
    Acknowledged, Line, LineError, LineOptions, LineReceiver, LineSender, Lines, OpenLineError,
    ReceiveError,
};
pub use room::DocumentsFull;
pub use table::OpenError;
pub use typed_document::{OpenTypedError, TypedDocument};
