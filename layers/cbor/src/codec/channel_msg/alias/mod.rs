//! Aliases: numbers that stand for document ids and schema hashes on one connection (wire section 6).
//!
//! [`InboundAliases`] resolves those of the peer, [`OutboundAliases`] assigns those of this side.

mod inbound;
mod outbound;

use std::hash::Hash;

use kyneta_uds_core::{AliasFault, DocId, SchemaHash, TextTooLong};

use super::{DecodeLimits, saved::text};

pub(super) use self::{
    inbound::{InboundAliases, Meaning, canonical},
    outbound::{Announcement, OutboundAliases},
};

/// A text that can have an alias.
pub(super) trait Aliased: Clone + Eq + Hash {
    fn new(text: &str) -> Result<Self, TextTooLong>;
    fn text(&self) -> &str;
    fn same(&self, other: &Self) -> bool;
    /// The fault of a text of `len` bytes, over the limit.
    fn too_long(len: usize) -> AliasFault;
}

macro_rules! aliased {
    ($text:ty, $too_long:ident) => {
        impl Aliased for $text {
            fn new(text: &str) -> Result<Self, TextTooLong> {
                Self::new(text)
            }

            #[inline]
            fn text(&self) -> &str {
                self.as_str()
            }

            #[inline]
            fn same(&self, other: &Self) -> bool {
                self.same(other)
            }

            fn too_long(len: usize) -> AliasFault {
                AliasFault::$too_long {
                    len,
                    limit: Self::MAX,
                }
            }
        }
    };
}
aliased!(DocId, DocIdTooLong);
aliased!(SchemaHash, SchemaHashTooLong);
