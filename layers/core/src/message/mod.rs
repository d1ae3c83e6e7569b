//! The seven messages of the channel protocol (wire section 4), absent and false kept apart.
//!
//! Whatever can be built here can be sent: limits are in the types of the parts.

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    identity::{Features, Identity, ProtocolVersion},
    text::{DocId, Lineage, ReplicaName, SchemaHash, TextTooLong, Version},
};

/// What a queue must know of a message to bound itself in bytes.
///
/// For a type that serde can write, `kyneta_uds_cbor::encoded_size(self)` is close where texts and bytes make
/// up most of it. A collection of small values holds several times as much as it takes encoded (a `0_u64`
/// eight bytes, and one): count its elements by their `size_of`.
///
/// ```
/// use kyneta_uds_core::Message;
///
/// struct Said {
///     what: String,
/// }
/// impl Message for Said {
///     fn size(&self) -> usize {
///         self.what.size()
///     }
/// }
/// assert_eq!(Said { what: "hello".into() }.size(), size_of::<String>() + 5);
/// ```
pub trait Message: Send + 'static {
    /// How many bytes of memory the message holds while it waits, what it points to included. A queue
    /// asks once for each message, and bounds what waits by the answer: one that is too small makes
    /// the bound too large.
    fn size(&self) -> usize;
}

/// Types that hold nothing but themselves.
macro_rules! plain_messages {
    ($($plain:ty),*) => {
        $(impl Message for $plain {
            #[inline]
            fn size(&self) -> usize {
                size_of::<Self>()
            }
        })*
    };
}
plain_messages!(
    (),
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64
);

/// Types that hold a run of bytes.
macro_rules! byte_messages {
    ($($bytes:ty),*) => {
        $(impl Message for $bytes {
            #[inline]
            fn size(&self) -> usize {
                size_of::<Self>() + self.len()
            }
        })*
    };
}
byte_messages!(String, Bytes, ByteString, Box<str>);

impl<M: Message> Message for Vec<M> {
    fn size(&self) -> usize {
        size_of::<Self>() + self.iter().map(M::size).sum::<usize>()
    }
}

impl<M: Message> Message for Box<M> {
    fn size(&self) -> usize {
        size_of::<Self>() + M::size(self)
    }
}

impl<M: Message> Message for Option<M> {
    fn size(&self) -> usize {
        self.as_ref().map_or(size_of::<Self>(), M::size)
    }
}

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
    /// Introduces a peer; the first message in each direction.
    Establish(Establish),
    /// The peer leaves on purpose.
    Depart,
    /// Documents that the sender has.
    Present(Vec<DocEntry>),
    /// Wants a document.
    Interest(Interest),
    /// A document's state, whole or since a version.
    Offer(Offer),
    /// Wants a document no longer.
    Dismiss(DocId),
    /// Has not got a document (wire version 3 peers; 1.8.0 drops it).
    Vacant(DocId),
}

impl ChannelMsg {
    /// The message's name, as people and JSON call it.
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

    /// The document that it is about, where it is about a single one.
    pub const fn doc(&self) -> Option<&DocId> {
        match self {
            Self::Interest(Interest { doc, .. })
            | Self::Offer(Offer { doc, .. })
            | Self::Dismiss(doc)
            | Self::Vacant(doc) => Some(doc),
            Self::Establish(_) | Self::Depart | Self::Present(_) => None,
        }
    }

    /// True for the kinds that speak of documents, false for establish and depart.
    pub const fn is_sync(&self) -> bool {
        !matches!(self, Self::Establish(_) | Self::Depart)
    }
}

impl Message for ChannelMsg {
    #[inline]
    fn size(&self) -> usize {
        let held = match self {
            Self::Offer(offer) => {
                offer.data.len()
                    + offer.version.as_bytes().len()
                    + shared(offer.doc.as_str())
                    + offer
                        .lineage
                        .as_ref()
                        .map_or(0, |lineage| shared(lineage.as_str()))
            }
            other => other.texts(),
        };
        size_of::<Self>() + held
    }
}

impl ChannelMsg {
    /// What the texts of any message but an offer hold. Out of the way of the offers, which most are.
    #[inline(never)]
    fn texts(&self) -> usize {
        match self {
            Self::Interest(interest) => {
                shared(interest.doc.as_str())
                    + interest.version.as_ref().map_or(0, |v| v.as_bytes().len())
            }
            Self::Present(docs) => docs.iter().map(DocEntry::size).sum(),
            Self::Establish(establish) => {
                let Identity { peer_id, name, .. } = &establish.identity;
                shared(peer_id.as_str()) + name.as_ref().map_or(0, |name| name.as_bytes().len())
            }
            Self::Dismiss(doc) | Self::Vacant(doc) => shared(doc.as_str()),
            Self::Offer(_) | Self::Depart => 0,
        }
    }
}

/// What a text with a reference count holds. Each message counts it, whether it shares it or not.
#[inline]
const fn shared(text: &str) -> usize {
    2 * size_of::<usize>() + text.len()
}

/// `establish`: who the sender is and what it can do.
///
/// ```
/// use kyneta_uds_core::{Establish, Features, Identity};
/// let establish = Establish::new(Identity::service("a")?).features(Features::aliasing());
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Establish {
    /// Who the sender is.
    pub identity: Identity,
    /// What it can do; absent counts as nothing.
    pub features: Option<Features>,
    /// Which protocol it speaks; 1.0 is not written.
    pub protocol: ProtocolVersion,
}

impl Establish {
    /// Without features, protocol 1.0.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            features: None,
            protocol: ProtocolVersion::default(),
        }
    }

    /// With features.
    pub fn features(mut self, features: Features) -> Self {
        self.features = Some(features);
        self
    }

    /// True when the sender may be sent aliases.
    pub fn aliases(&self) -> bool {
        self.features
            .and_then(|features| features.alias)
            .unwrap_or(false)
    }
}

/// One document of a `present`.
#[derive(Debug, Clone, PartialEq)]
pub struct DocEntry {
    /// Which document.
    pub doc: DocId,
    /// What replicates it.
    pub replica: ReplicaType,
    /// How it is kept in sync.
    pub mode: SyncMode,
    /// Its schema.
    pub schema: SchemaHash,
    /// Schemas that the sender can read; written only when more than one, absent and empty kept apart.
    pub supported: Option<Vec<SchemaHash>>,
}

impl DocEntry {
    /// A collaborative document.
    pub fn new(doc: DocId, replica: ReplicaType, schema: SchemaHash) -> Self {
        Self {
            doc,
            replica,
            mode: SyncMode::Collaborative,
            schema,
            supported: None,
        }
    }

    fn size(&self) -> usize {
        let supported = self.supported.iter().flatten();
        let hash = |hash: &SchemaHash| size_of::<SchemaHash>() + shared(hash.as_str());
        size_of::<Self>()
            + shared(self.doc.as_str())
            + self.replica.name.as_bytes().len()
            + shared(self.schema.as_str())
            + supported.map(hash).sum::<usize>()
    }
}

/// What replicates a document: a name and two numbers that the transport does not interpret.
///
/// ```
/// let loro = kyneta_uds_core::ReplicaType::new("loro", 1.0, 0.0)?;
/// assert_eq!(loro.major, 1.0);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaType {
    /// For example "loro".
    pub name: ReplicaName,
    /// A JavaScript number: any f64 (wire section 5).
    pub major: f64,
    /// A JavaScript number: any f64.
    pub minor: f64,
}

impl ReplicaType {
    /// Checks the name's length.
    ///
    /// # Errors
    /// [`TextTooLong`] when the name has more than [`ReplicaName::MAX`] bytes.
    pub fn new(
        name: impl AsRef<str> + Into<ByteString>,
        major: f64,
        minor: f64,
    ) -> Result<Self, TextTooLong> {
        Ok(Self {
            name: ReplicaName::new(name)?,
            major,
            minor,
        })
    }
}

/// How a document is kept in sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncMode {
    /// Concurrent writers, deltas, persistent.
    Collaborative,
    /// One writer at a time, deltas, persistent.
    Authoritative,
    /// Concurrent writers, snapshots only, transient.
    Ephemeral,
}

/// `interest`: the sender wants a document, from a version on if it has one.
///
/// ```
/// use kyneta_uds_core::{DocId, Interest, Version};
/// let interest = Interest::new(DocId::new("d")?).since(Version::new("3")?);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Which document.
    pub doc: DocId,
    /// What the sender has.
    pub version: Option<Version>,
    /// Asks the receiver for its interest in turn; absent and false differ.
    pub reciprocate: Option<bool>,
}

impl Interest {
    /// Without version.
    pub const fn new(doc: DocId) -> Self {
        Self {
            doc,
            version: None,
            reciprocate: None,
        }
    }

    /// With what the sender has.
    pub fn since(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// With `r` written, true or false.
    pub const fn reciprocate(mut self, reciprocate: bool) -> Self {
        self.reciprocate = Some(reciprocate);
        self
    }
}

/// Whether an offer is a whole document or what came since a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// All of it.
    Entirety,
    /// What came since.
    Since,
}

/// How an offer's data are to be read; the wire carries text or bytes with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON.
    Json,
    /// Opaque bytes.
    Binary,
}

/// An offer's data. Inbound ones are ranges of the read buffer, outbound ones are never copied
/// when large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A CBOR text.
    Text(ByteString),
    /// A CBOR byte string.
    Bytes(Bytes),
}

impl Data {
    /// Bytes of data, or of UTF-8.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, of either form.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<ByteString> for Data {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

/// `offer`: a document's state.
///
/// ```
/// use bytes::Bytes;
/// use kyneta_uds_core::{DocId, Offer, Version};
///
/// let whole = Offer::binary(DocId::new("d")?, Version::new("1")?, Bytes::from_static(b"state"));
/// let delta = Offer::binary(DocId::new("d")?, Version::new("2")?, Bytes::from_static(b"+")).delta();
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which document.
    pub doc: DocId,
    /// Whole or since.
    pub kind: PayloadKind,
    /// How to read the data.
    pub encoding: Encoding,
    /// The data.
    pub data: Data,
    /// Which version the receiver has after it.
    pub version: Version,
    /// Asks the receiver for its state in turn; absent and false differ.
    pub reciprocate: Option<bool>,
    /// Where the payload comes from (wire version 3 peers; 1.8.0 ignores it).
    pub lineage: Option<Lineage>,
}

impl Offer {
    /// A whole document in bytes.
    pub fn binary(doc: DocId, version: Version, data: impl Into<Bytes>) -> Self {
        Self::new(doc, version, Encoding::Binary, Data::Bytes(data.into()))
    }

    /// A whole document in JSON.
    pub fn json(doc: DocId, version: Version, data: impl Into<ByteString>) -> Self {
        Self::new(doc, version, Encoding::Json, Data::Text(data.into()))
    }

    fn new(doc: DocId, version: Version, encoding: Encoding, data: Data) -> Self {
        Self {
            doc,
            kind: PayloadKind::Entirety,
            encoding,
            data,
            version,
            reciprocate: None,
            lineage: None,
        }
    }

    /// What came since a version, not the whole.
    pub const fn delta(mut self) -> Self {
        self.kind = PayloadKind::Since;
        self
    }

    /// With `r` written, true or false.
    pub const fn reciprocate(mut self, reciprocate: bool) -> Self {
        self.reciprocate = Some(reciprocate);
        self
    }

    /// With where the payload comes from.
    pub fn lineage(mut self, lineage: Lineage) -> Self {
        self.lineage = Some(lineage);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_all_of_its_texts() -> Result<(), TextTooLong> {
        let doc = DocId::new("d".repeat(500))?;
        let hash = |n: usize| SchemaHash::new(format!("{n:0256}"));
        let mut entry = DocEntry::new(
            doc.clone(),
            ReplicaType::new("r".repeat(1_000), 1.0, 0.0)?,
            hash(0)?,
        );
        entry.supported = Some((1..=10).map(hash).collect::<Result<_, _>>()?);
        let table = [
            (ChannelMsg::Dismiss(doc.clone()), 500),
            (ChannelMsg::Vacant(doc.clone()), 500),
            (ChannelMsg::Interest(Interest::new(doc)), 500),
            (ChannelMsg::Present(vec![entry]), 500 + 1_000 + 11 * 256),
        ];
        for (msg, texts) in table {
            assert!(msg.size() > texts, "{}: {}", msg.kind(), msg.size());
        }
        Ok(())
    }
}
