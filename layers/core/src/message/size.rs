//! The size of a message in memory, by which queues are bounded.
//!
//! In: a message, by value or by reference. Out: bytes, the same for both. What several messages share counts in
//! each, so the sum is never too small. Pure.

use bytes::Bytes;
use bytestring::ByteString;

use super::{ChannelMsg, DocEntry, OfferRef, SmallOffer};
use crate::{
    identity::Identity,
    text::{Lineage, SchemaHash},
};

/// A type that queues can hold: it knows its size, so that a queue can be bounded in bytes.
///
/// For a type that implements serde's `Serialize`, `kyneta_uds_cbor::encoded_size(self)` is a good estimate if
/// most of its content is texts and bytes. Small values take several times their encoded size in memory (a
/// `0_u64` eight bytes instead of one): for a collection of them, multiply the count by `size_of`.
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
    /// Bytes of memory that the message holds, including what it points to. A queue calls this once for each
    /// message. If the result is too small, the queue holds more than its bound.
    fn size(&self) -> usize;
}

/// Types that point to nothing.
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

/// Types that point to bytes.
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

impl Message for ChannelMsg {
    #[inline]
    fn size(&self) -> usize {
        let held = match self {
            Self::Offer(offer) => return OfferRef::from(offer).size(),
            other => other.text_bytes(),
        };
        size_of::<Self>() + held
    }
}

impl OfferRef<'_> {
    /// The [size](Message::size) of its message by value.
    #[inline]
    pub fn size(&self) -> usize {
        let lineage = |lineage: &Lineage| LINEAGE + lineage.as_str().len();
        size_of::<ChannelMsg>()
            + self.data.as_slice().len()
            + self.version.as_bytes().len()
            + shared_text(self.doc.as_str())
            + self.lineage.map_or(0, lineage)
            + self.base.map_or(0, |base| base.as_bytes().len())
    }
}

impl SmallOffer<'_> {
    /// The [size](Message::size) of its message by value.
    #[inline]
    pub fn size(&self) -> usize {
        let doc = shared_text(self.doc.as_str());
        size_of::<ChannelMsg>() + self.data.len() + self.version.len() + doc
    }
}

impl ChannelMsg {
    /// What the texts of any message but an offer hold. Not inlined: most messages are offers.
    #[inline(never)]
    fn text_bytes(&self) -> usize {
        match self {
            Self::Interest(interest) => {
                shared_text(interest.doc.as_str())
                    + interest.version.as_ref().map_or(0, |v| v.as_bytes().len())
            }
            Self::Present(docs) => docs.iter().map(DocEntry::size).sum(),
            Self::Establish(establish) => {
                let Identity { peer_id, name, .. } = &establish.identity;
                shared_text(peer_id.as_str())
                    + name.as_ref().map_or(0, |name| name.as_bytes().len())
            }
            Self::Dismiss(doc) | Self::Vacant(doc) => shared_text(doc.as_str()),
            Self::Offer(_) | Self::Depart => 0,
        }
    }
}

/// What a lineage holds beside its text.
const LINEAGE: usize = 4 * size_of::<usize>();

/// Bytes that a reference-counted text holds. Each message counts them all, shared or not.
#[inline]
const fn shared_text(text: &str) -> usize {
    2 * size_of::<usize>() + text.len()
}

impl DocEntry {
    fn size(&self) -> usize {
        let supported = self.supported.iter().flatten();
        let hash = |hash: &SchemaHash| size_of::<SchemaHash>() + shared_text(hash.as_str());
        size_of::<Self>()
            + shared_text(self.doc.as_str())
            + self.replica.name.as_bytes().len()
            + shared_text(self.schema.as_str())
            + supported.map(hash).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DocId, Interest, ReplicaType, TextTooLong};

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
