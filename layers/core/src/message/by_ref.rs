//! A message by reference: where its parts are, without a copy or a reference count.
//!
//! In: a message, or parts of a payload. Out: a view that is valid while they are. Touches nothing.

use bytes::Bytes;
use bytestring::ByteString;

use super::{ChannelMsg, Data, DocEntry, Encoding, Establish, Interest, Offer, PayloadKind};
use crate::text::{DocId, Lineage, Version, VersionRef};

/// A type of messages that can be looked at where they are: by a handler that takes no ownership, with
/// [`Look`](crate::Look).
///
/// ```
/// use kyneta_uds_core::ByReference;
///
/// struct Said(String);
///
/// impl ByReference for Said {
///     type Ref<'a> = &'a str;
///     fn reference(&self) -> &str {
///         &self.0
///     }
/// }
/// assert_eq!(Said("hello".into()).reference(), "hello");
/// ```
pub trait ByReference {
    /// What a look is shown.
    type Ref<'a>
    where
        Self: 'a;

    /// A view of the message.
    fn reference(&self) -> Self::Ref<'_>;
}

impl ByReference for ChannelMsg {
    type Ref<'a> = MessageRef<'a>;

    #[inline]
    fn reference(&self) -> MessageRef<'_> {
        self.into()
    }
}

impl ByReference for String {
    type Ref<'a> = &'a str;

    #[inline]
    fn reference(&self) -> &str {
        self
    }
}

impl ByReference for Bytes {
    type Ref<'a> = &'a [u8];

    #[inline]
    fn reference(&self) -> &[u8] {
        self
    }
}

/// A [`ChannelMsg`] by reference. An offer, the most frequent message, is read without being built.
///
/// ```
/// use kyneta_uds_core::{ChannelMsg, DocId, MessageRef, Offer, Version};
///
/// let msg = ChannelMsg::from(Offer::binary(DocId::new("d")?, Version::new("1")?, &b"state"[..]));
/// let MessageRef::Offer(offer) = MessageRef::from(&msg) else { unreachable!() };
/// assert_eq!((offer.version.as_str(), offer.data.as_slice()), ("1", &b"state"[..]));
/// assert_eq!(MessageRef::Offer(offer).to_message(), msg); // a copy of the data
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MessageRef<'a> {
    /// See [`ChannelMsg::Establish`].
    Establish(&'a Establish),
    /// See [`ChannelMsg::Depart`].
    Depart,
    /// See [`ChannelMsg::Present`].
    Present(&'a [DocEntry]),
    /// See [`ChannelMsg::Interest`].
    Interest(&'a Interest),
    /// See [`ChannelMsg::Offer`].
    Offer(OfferRef<'a>),
    /// See [`ChannelMsg::Dismiss`].
    Dismiss(&'a DocId),
    /// See [`ChannelMsg::Vacant`].
    Vacant(&'a DocId),
}

impl<'a> MessageRef<'a> {
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
    pub const fn doc(&self) -> Option<&'a DocId> {
        match self {
            Self::Interest(interest) => Some(&interest.doc),
            Self::Offer(offer) => Some(offer.doc),
            Self::Dismiss(doc) | Self::Vacant(doc) => Some(doc),
            Self::Establish(_) | Self::Depart | Self::Present(_) => None,
        }
    }

    /// The message by value: a copy that does not keep the read buffer alive.
    pub fn to_message(&self) -> ChannelMsg {
        match *self {
            Self::Establish(establish) => ChannelMsg::Establish(establish.clone()),
            Self::Depart => ChannelMsg::Depart,
            Self::Present(docs) => ChannelMsg::Present(docs.to_vec()),
            Self::Interest(interest) => ChannelMsg::Interest(interest.clone()),
            Self::Offer(offer) => ChannelMsg::Offer(offer.to_offer()),
            Self::Dismiss(doc) => ChannelMsg::Dismiss(doc.clone()),
            Self::Vacant(doc) => ChannelMsg::Vacant(doc.clone()),
        }
    }
}

impl<'a> From<&'a ChannelMsg> for MessageRef<'a> {
    #[inline]
    fn from(msg: &'a ChannelMsg) -> Self {
        match msg {
            ChannelMsg::Establish(establish) => Self::Establish(establish),
            ChannelMsg::Depart => Self::Depart,
            ChannelMsg::Present(docs) => Self::Present(docs),
            ChannelMsg::Interest(interest) => Self::Interest(interest),
            ChannelMsg::Offer(offer) => Self::Offer(offer.into()),
            ChannelMsg::Dismiss(doc) => Self::Dismiss(doc),
            ChannelMsg::Vacant(doc) => Self::Vacant(doc),
        }
    }
}

impl<'a> From<OfferRef<'a>> for MessageRef<'a> {
    #[inline]
    fn from(offer: OfferRef<'a>) -> Self {
        Self::Offer(offer)
    }
}

/// An [`Offer`] by reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferRef<'a> {
    /// Which document.
    pub doc: &'a DocId,
    /// All of it, or the changes.
    pub kind: PayloadKind,
    /// How to read the data.
    pub encoding: Encoding,
    /// The data.
    pub data: DataRef<'a>,
    /// The version that the receiver has afterwards.
    pub version: VersionRef<'a>,
    /// Asks the receiver to answer with its own state. Absent and false are kept apart.
    pub reciprocate: Option<bool>,
    /// Where the payload comes from.
    pub lineage: Option<&'a Lineage>,
    /// Over a link between two hubs: the version that the payload starts from.
    pub base: Option<&'a Version>,
}

impl OfferRef<'_> {
    /// The offer by value: a copy that does not keep the read buffer alive.
    pub fn to_offer(&self) -> Offer {
        Offer {
            doc: self.doc.clone(),
            kind: self.kind,
            encoding: self.encoding,
            data: self.data.to_data(),
            version: self.version.to_bounded_str(),
            reciprocate: self.reciprocate,
            lineage: self.lineage.cloned(),
            base: self.base.cloned().map(Box::new),
        }
    }
}

impl<'a> From<&'a Offer> for OfferRef<'a> {
    #[inline]
    fn from(offer: &'a Offer) -> Self {
        Self {
            doc: &offer.doc,
            kind: offer.kind,
            encoding: offer.encoding,
            data: (&offer.data).into(),
            version: (&offer.version).into(),
            reciprocate: offer.reciprocate,
            lineage: offer.lineage.as_ref(),
            base: offer.base.as_deref(),
        }
    }
}

/// An offer's [`Data`] by reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataRef<'a> {
    /// A CBOR text.
    Text(&'a str),
    /// A CBOR byte string.
    Bytes(&'a [u8]),
}

impl<'a> DataRef<'a> {
    /// The bytes, whichever form they have.
    pub const fn as_slice(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The data by value: a copy.
    pub fn to_data(&self) -> Data {
        match *self {
            Self::Text(text) => Data::Text(ByteString::from(text)),
            Self::Bytes(bytes) => Data::Bytes(Bytes::copy_from_slice(bytes)),
        }
    }
}

impl<'a> From<&'a Data> for DataRef<'a> {
    #[inline]
    fn from(data: &'a Data) -> Self {
        match data {
            Data::Text(text) => Self::Text(text),
            Data::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}
