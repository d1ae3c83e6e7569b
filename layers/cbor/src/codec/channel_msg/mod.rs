//! The codec of [`ChannelMsg`]: directly between message and payload, with aliases (wire sections 4 to 6).
//!
//! In: messages to [`encode`] and payloads to [`decode`], in order. Out: payloads and messages. State: the
//! aliases of one connection, in both directions.

mod alias;
mod decode;
mod encode;
mod limits;
mod saved;

use kyneta_uds_core::{
    ChannelMsg, DocId, Lineage, MessageRef, Payload, PayloadWriter, Rejection, SchemaHash,
    SmallOffer, TextTooLong,
};

use self::alias::{InboundAliases, OutboundAliases};
use super::{Codec, Looked};
use crate::EncodeError;

pub use self::limits::DecodeLimits;

/// The codec of the protocol's messages: it writes the same bytes as the reference, and reads strictly and with
/// limits. A clone of a new codec is a new codec.
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
    outbound: OutboundState,
    inbound: InboundState,
}

/// What this side has announced.
#[derive(Debug, Clone, Default)]
struct OutboundState {
    docs: OutboundAliases<DocId>,
    schemas: OutboundAliases<SchemaHash>,
    /// The last establish sent says that this side accepts aliases.
    accepts_aliases: bool,
    /// How to undo what the last encoding changed.
    undo: Undo,
}

/// How to undo what the last encoding changed.
#[derive(Debug, Clone, Copy, Default)]
enum Undo {
    #[default]
    Nothing,
    /// Of an establish: the value before.
    AcceptsAliases(bool),
    /// Of a present: the numbers of aliases before.
    Announced { docs: usize, schemas: usize },
}

/// What the peer has announced.
#[derive(Debug, Clone, Default)]
struct InboundState {
    docs: InboundAliases<DocId>,
    schemas: InboundAliases<SchemaHash>,
    /// The peer's last establish says that it accepts aliases.
    accepts_aliases: bool,
    /// The last document named in full, so that naming it again allocates nothing.
    last_doc: Option<DocId>,
    /// The lineage of the last offer: the lineage of one peer rarely changes.
    last_lineage: Option<Lineage>,
}

/// The longest lineage that is kept for the next offer, bytes.
const MAX_KEPT_LINEAGE: usize = 1 << 10;

impl ChannelCodec {
    /// A codec for a new connection, with default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the limits. [`DecodeLimits::default`] unless said otherwise.
    pub const fn limits(mut self, limits: DecodeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Both sides accept aliases.
    #[inline]
    const fn uses_aliases(&self) -> bool {
        self.outbound.accepts_aliases && self.inbound.accepts_aliases
    }
}

impl Codec for ChannelCodec {
    type Message = ChannelMsg;

    #[inline]
    fn encode(&mut self, msg: &ChannelMsg, out: &mut PayloadWriter<'_>) -> Result<(), EncodeError> {
        let aliases = self.uses_aliases();
        encode::message(msg, &mut self.outbound, aliases, &self.limits, out);
        Ok(())
    }

    const ENCODES_OFFERS: bool = true;

    #[inline(always)]
    fn encode_offer<'a>(
        &mut self,
        offer: &'a SmallOffer<'a>,
    ) -> (usize, impl FnOnce(&mut PayloadWriter<'_>) + use<'a>) {
        let aliases = self.uses_aliases();
        encode::by_ref::offer(offer, &mut self.outbound, aliases)
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
        decode::message(payload, inbound, limits, done)
    }

    #[inline(always)]
    fn look(
        &mut self,
        payload: Payload<'_>,
        look: impl FnOnce(MessageRef<'_>),
    ) -> Looked<ChannelMsg> {
        let Self {
            inbound, limits, ..
        } = self;
        decode::look(payload, inbound, limits, look)
    }

    fn not_sent(&mut self) {
        match std::mem::take(&mut self.outbound.undo) {
            Undo::Nothing => {}
            Undo::AcceptsAliases(before) => self.outbound.accepts_aliases = before,
            Undo::Announced { docs, schemas } => {
                self.outbound.docs.truncate(docs);
                self.outbound.schemas.truncate(schemas);
            }
        }
    }
}

impl InboundState {
    /// The id of a document that is named in full.
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
        self.last_lineage = (text.len() <= MAX_KEPT_LINEAGE).then(|| lineage.clone());
        Ok(lineage)
    }
}
