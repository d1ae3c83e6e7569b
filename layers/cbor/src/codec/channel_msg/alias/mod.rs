//! Aliases: numbers that stand for document ids and schema hashes on one connection (wire section 6).

pub(super) mod inbound;
pub(super) mod outbound;
