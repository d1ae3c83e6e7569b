//! `offer`: a document's state.
//!
//! In: bytes or text of any size, shared with whatever they were read into. Out: one offer, whole unless it says that
//! it is a delta. Copies nothing, and touches nothing.

use bytes::Bytes;
use bytestring::ByteString;

use crate::text::{DocId, Lineage, Version};

/// Whether an offer is a whole document or the changes since a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// All of it.
    Entirety,
    /// The changes since a version.
    Since,
}

/// How to read an offer's data. Either encoding may come as text or as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON.
    Json,
    /// Opaque bytes.
    Binary,
}

/// An offer's data. Inbound data is a range of the read buffer; large outbound data is not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A CBOR text.
    Text(ByteString),
    /// A CBOR byte string.
    Bytes(Bytes),
}

impl Data {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// True when it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, whichever form they have.
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
    /// All of it, or the changes.
    pub kind: PayloadKind,
    /// How to read the data.
    pub encoding: Encoding,
    /// The data.
    pub data: Data,
    /// The version that the receiver has afterwards.
    pub version: Version,
    /// Asks the receiver to answer with its own state. Absent and false are kept apart.
    pub reciprocate: Option<bool>,
    /// Where the payload comes from (wire version 3 peers; 1.8.0 ignores it).
    pub lineage: Option<Lineage>,
    /// Over a link between two hubs: the version that the payload starts from. Other receivers ignore it.
    pub base: Option<Box<Version>>,
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
            base: None,
        }
    }

    /// Makes it the changes since a version.
    pub const fn delta(mut self) -> Self {
        self.kind = PayloadKind::Since;
        self
    }

    /// Sets `r`, which is then written, true or false.
    pub const fn reciprocate(mut self, reciprocate: bool) -> Self {
        self.reciprocate = Some(reciprocate);
        self
    }

    /// Sets where the payload comes from.
    pub fn lineage(mut self, lineage: Lineage) -> Self {
        self.lineage = Some(lineage);
        self
    }

    /// Sets the version that the payload starts from, for a link.
    pub fn since(mut self, base: Version) -> Self {
        self.base = Some(Box::new(base));
        self
    }
}
