//! Limits on what the messages of one connection may cost.

/// Limits on what a peer's messages may cost.
///
/// ```
/// let limits = kyneta_uds_cbor::DecodeLimits::default();
/// assert_eq!(limits.max_aliases, 262_144);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Aliases in each of the four tables: documents and schema hashes, inbound and outbound. Default 262,144.
    /// An inbound message that exceeds it is rejected
    /// ([`AliasFault::TableFull`](kyneta_uds_core::AliasFault::TableFull)); an outbound document gets no alias.
    pub max_aliases: usize,
    /// Bytes of text in each of these tables. Default 16 MiB.
    pub max_alias_bytes: usize,
    /// Documents plus supported schema hashes in one `present`. Default 65,536.
    pub max_docs: usize,
    /// How deeply a payload may be nested. Default 1,024.
    pub max_depth: usize,
    /// Keys in all maps that are open at one point of a payload. Default 65,536. Payloads with keys in the usual
    /// order are not checked for it.
    pub max_keys: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_aliases: 262_144,
            max_alias_bytes: 16 << 20,
            max_docs: 65_536,
            max_depth: 1_024,
            max_keys: 65_536,
        }
    }
}
