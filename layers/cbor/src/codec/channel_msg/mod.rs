//! The codec of [`ChannelMsg`]: straight between message and payload, with aliasing (wire sections 4 to 6).
//!
//! In: messages and payloads, in the order in which they pass. Out: the same. State: the aliases of
//! one connection, in both directions.
//!
//! Reading tries [`fast`] first: keys in the order that every sender uses, read once from the front.
//! Whatever it does not expect goes to [`general`], which takes any order and says what is wrong.

mod alias;
mod decode;
mod encode;
mod limits;

use kyneta_uds_core::{
    ChannelMsg, DocId, Lineage, Payload, PayloadWriter, Rejection, SchemaHash, TextTooLong,
};

use self::{
    alias::{inbound::Aliases, outbound::Announced},
    decode::{fast, general},
};
use super::Codec;
use crate::EncodeError;

pub use self::limits::DecodeLimits;

/// The protocol's own codec: byte-identical to the reference when writing, strict and bounded when
/// reading. A clone of a fresh one is a fresh one.
///
/// ```
/// use bytes::Bytes;
/// use kyneta_uds_cbor::{ChannelCodec, Codec};
/// use kyneta_uds_core::{ChannelMsg, Payload, WriteBuf};
///
/// let mut buf = WriteBuf::default();
/// ChannelCodec::new().encode(&ChannelMsg::Depart, &mut buf.writer())?;
/// assert_eq!(buf.front(), b"\xa1\x61t\x02");
///
/// let wire = Bytes::from_static(b"\xa1\x61t\x02");
/// let msg = ChannelCodec::new().decode(Payload::new(&wire, 0..4))?;
/// assert_eq!(msg, ChannelMsg::Depart);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ChannelCodec {
    limits: DecodeLimits,
    outbound: Outbound,
    inbound: Inbound,
}

/// What this side has announced.
#[derive(Debug, Clone, Default)]
struct Outbound {
    docs: Announced<DocId>,
    schemas: Announced<SchemaHash>,
    /// The last establish sent has said that this side takes aliases.
    takes_aliases: bool,
    /// What the last encoding changed.
    last: Change,
}

/// How to take back what the last encoding changed.
#[derive(Debug, Clone, Copy, Default)]
enum Change {
    #[default]
    Nothing,
    /// An establish: what was true before.
    TakesAliases(bool),
    /// A present: how many were announced before.
    Announced { docs: usize, schemas: usize },
}

/// What the peer has announced.
#[derive(Debug, Clone, Default)]
struct Inbound {
    docs: Aliases<DocId>,
    schemas: Aliases<SchemaHash>,
    /// The peer's last establish has said that it takes aliases.
    takes_aliases: bool,
    /// The document that was last named in full, so that naming it again allocates nothing.
    last_doc: Option<DocId>,
    /// The lineage that an offer had last: those of one peer hardly ever change.
    last_lineage: Option<Lineage>,
}

/// The longest lineage that is kept for the next offer, bytes.
const KEPT_LINEAGE: usize = 1 << 10;

impl ChannelCodec {
    /// A codec for a fresh connection, with default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// With other limits.
    pub const fn limits(mut self, limits: DecodeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Both sides have said that they take aliases.
    #[inline]
    const fn mutual(&self) -> bool {
        self.outbound.takes_aliases && self.inbound.takes_aliases
    }
}

impl Codec for ChannelCodec {
    type Message = ChannelMsg;

    #[inline]
    fn encode(&mut self, msg: &ChannelMsg, out: &mut PayloadWriter<'_>) -> Result<(), EncodeError> {
        let mutual = self.mutual();
        encode::message(msg, &mut self.outbound, mutual, &self.limits, out);
        Ok(())
    }

    fn decode(&mut self, payload: Payload<'_>) -> Result<ChannelMsg, Rejection> {
        self.decode_then(payload, |decoded| decoded)
    }

    #[inline(always)]
    fn decode_then<R>(
        &mut self,
        payload: Payload<'_>,
        done: impl Fn(Result<ChannelMsg, Rejection>) -> R,
    ) -> R {
        let Self {
            inbound, limits, ..
        } = self;
        if let Some(offer) = fast::offer(&payload, inbound) {
            return done(Ok(ChannelMsg::Offer(offer)));
        }
        match fast::message(&payload, inbound, limits) {
            Some(decoded) => done(decoded),
            None => done(general::message(payload, inbound, limits)),
        }
    }

    fn not_sent(&mut self) {
        match std::mem::take(&mut self.outbound.last) {
            Change::Nothing => {}
            Change::TakesAliases(before) => self.outbound.takes_aliases = before,
            Change::Announced { docs, schemas } => {
                self.outbound.docs.truncate(docs);
                self.outbound.schemas.truncate(schemas);
            }
        }
    }
}

impl Inbound {
    /// A document named in full.
    fn doc(&mut self, text: &str) -> Result<DocId, TextTooLong> {
        if let Some(last) = &self.last_doc
            && last.as_str() == text
        {
            return Ok(last.clone());
        }
        let doc = DocId::new(text)?;
        self.last_doc = Some(doc.clone());
        Ok(doc)
    }

    fn lineage(&mut self, text: &str) -> Result<Lineage, TextTooLong> {
        if let Some(last) = &self.last_lineage
            && last.as_str() == text
        {
            return Ok(last.clone());
        }
        let lineage = Lineage::new(text)?;
        self.last_lineage = (text.len() <= KEPT_LINEAGE).then(|| lineage.clone());
        Ok(lineage)
    }
}
