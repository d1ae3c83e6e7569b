//! The codec's state as a value, and a codec from it: the aliases of both directions.
//!
//! In: a codec, or its saved state. Out: the same, the other way round. Pure.

use kyneta_uds_core::{Saved, SavedError, SavedValue};

use super::{
    ChannelCodec,
    alias::{Aliased, InboundAliases, OutboundAliases},
};
use crate::SaveCodec;

const WHAT: &str = "the aliases";
const VERSION: u32 = 1;

impl SaveCodec for ChannelCodec {
    fn save(&self) -> Saved {
        let Self {
            outbound, inbound, ..
        } = self;
        Saved::new(VERSION, 1)
            .with("we-accept-aliases", outbound.accepts_aliases)
            .with("our-docs", outbound.docs.save())
            .with("our-schemas", outbound.schemas.save())
            .with("peer-accepts-aliases", inbound.accepts_aliases)
            .with("peer-docs", inbound.docs.save())
            .with("peer-schemas", inbound.schemas.save())
    }

    fn resume(&self, saved: &Saved) -> Result<Self, SavedError> {
        saved.check(WHAT, 1..=VERSION)?;
        let mut codec = Self::new().limits(self.limits);
        codec.outbound.accepts_aliases = saved.flag("we-accept-aliases")?;
        codec.outbound.docs = OutboundAliases::restore(saved.list("our-docs")?)?;
        codec.outbound.schemas = OutboundAliases::restore(saved.list("our-schemas")?)?;
        codec.inbound.accepts_aliases = saved.flag("peer-accepts-aliases")?;
        codec.inbound.docs = InboundAliases::restore(saved.part("peer-docs")?)?;
        codec.inbound.schemas = InboundAliases::restore(saved.part("peer-schemas")?)?;
        Ok(codec)
    }
}

/// A text of a list of aliases.
pub(super) fn text<T: Aliased>(value: &SavedValue) -> Result<T, SavedError> {
    let text = match value {
        SavedValue::Text(text) => T::new(text).ok(),
        _ => None,
    };
    text.ok_or(SavedError::Value {
        name: "aliases",
        why: "no text, or one over its limit",
    })
}

#[cfg(test)]
mod tests;
