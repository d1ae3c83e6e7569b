//! The seven messages of the channel protocol (wire section 4). Absent and false are kept apart.
//!
//! Every value of these types can be sent: the types of the fields enforce the limits.

mod by_ref;
mod establish;
mod interest;
mod offer;
mod present;
mod size;
mod small;

use crate::text::DocId;

pub use by_ref::{ByReference, DataRef, MessageRef, OfferRef};
pub use establish::{Establish, Observe};
pub use interest::Interest;
pub use offer::{Data, Encoding, Offer, PayloadKind};
pub use present::{DocEntry, ReplicaType, SyncMode};
pub use size::Message;
pub use small::{SmallOffer, SmallOffers};

/// A message of the channel protocol.
///
/// ```
/// use kyneta_uds_core::{ChannelMsg, DocId};
/// let msg = ChannelMsg::Dismiss(DocId::new("settings")?);
/// assert_eq!(msg.kind(), "dismiss");
/// assert_eq!(msg.doc().map(DocId::as_str), Some("settings"));
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelMsg {
    /// Who the sender is; the first message in each direction.
    Establish(Establish),
    /// The sender leaves on purpose.
    Depart,
    /// The documents that the sender has.
    Present(Vec<DocEntry>),
    /// The sender wants a document.
    Interest(Interest),
    /// A document's state: all of it, or the changes since a version.
    Offer(Offer),
    /// The sender no longer wants a document.
    Dismiss(DocId),
    /// The sender does not have a document (wire version 3 peers; 1.8.0 drops it).
    Vacant(DocId),
}

impl ChannelMsg {
    /// The message's name, as in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Establish(_) => "establish",
            Self::Depart => "depart",
            Self::Present(_) => "present",
            Self::Interest(_) => "interest",
            Self::Offer(_) => "offer",
            Self::Dismiss(_) => "dismiss",
            Self::Vacant(_) => "vacant",
        }
    }

    /// The document that it is about, if it is about a single one.
    pub const fn doc(&self) -> Option<&DocId> {
        match self {
            Self::Interest(Interest { doc, .. })
            | Self::Offer(Offer { doc, .. })
            | Self::Dismiss(doc)
            | Self::Vacant(doc) => Some(doc),
            Self::Establish(_) | Self::Depart | Self::Present(_) => None,
        }
    }

    /// True for messages about documents, false for establish and depart.
    pub const fn is_sync(&self) -> bool {
        !matches!(self, Self::Establish(_) | Self::Depart)
    }
}

/// For what takes a message, or something that holds one.
impl AsRef<Self> for ChannelMsg {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl From<Establish> for ChannelMsg {
    fn from(establish: Establish) -> Self {
        Self::Establish(establish)
    }
}

impl From<Interest> for ChannelMsg {
    fn from(interest: Interest) -> Self {
        Self::Interest(interest)
    }
}

impl From<Offer> for ChannelMsg {
    fn from(offer: Offer) -> Self {
        Self::Offer(offer)
    }
}
