//! What all layers of kyneta-uds share: the messages, the identities, the socket path, and the two traits that
//! connect the layers.
//!
//! ```
//! use kyneta_uds_core::{ChannelMsg, DocId, Interest};
//!
//! let doc = DocId::new("settings")?;
//! let msg = ChannelMsg::from(Interest::new(doc).reciprocate(true));
//! assert_eq!(msg.kind(), "interest");
//! # Ok::<(), kyneta_uds_core::TextTooLong>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | types; [`Frames`], the trait below the CBOR layer, and [`Channel`], the trait above it |
//! | touches | nothing: no I/O, no clock, no randomness, no tokio |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod chain;
mod channel;
mod disconnect;
mod frames;
mod half_closed;
mod identity;
mod look;
mod message;
mod notice;
mod panic_text;
mod path;
mod poison;
mod rate_limit;
mod rejection;
mod saved;
mod target;
mod text;
mod token_bucket;
mod wire;
mod write_buf;

pub use bytes::Bytes;
pub use bytestring::ByteString;

pub use admission::{Admission, AdmissionError};
pub use chain::Chain;
pub use channel::{Channel, Inbound, Run};
pub use disconnect::{BoxError, DisconnectReason, SharedError};
pub use frames::{Frame, Frames, Payload};
pub use half_closed::{HalfClose, HalfClosed, HalfClosedEnd};
pub use identity::{Features, Identity, PeerType, ProtocolVersion, ProtocolVersionError};
pub use look::Look;
pub use message::{
    ByReference, ChannelMsg, Data, DataRef, DocEntry, Encoding, Establish, Interest, Message,
    MessageRef, Observe, Offer, OfferRef, PayloadKind, ReplicaType, SmallOffer, SmallOffers,
    SyncMode,
};
pub use notice::Notice;
pub use panic_text::{panic_text, panicked, undisturbed};
pub use path::{SocketPath, SocketPathError};
pub use poison::ignore_poison;
pub use rate_limit::RateLimit;
pub use rejection::{AliasFault, FrameFault, Rejection};
pub use saved::{AHEAD, Resume, Save, Saved, SavedBytes, SavedError, SavedValue};
pub use target::{Redial, Target};
pub use text::{
    BoundedRef, BoundedStr, DocId, Lineage, Name, PeerId, ReplicaName, SchemaHash, TextTooLong,
    Version, VersionRef,
};
pub use token_bucket::TokenBucket;
pub use wire::{ConnectionInfo, Credentials, WireVersion};
pub use write_buf::{Checkpoint, PayloadWriter, WriteBuf};
