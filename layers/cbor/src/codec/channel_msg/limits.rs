//! What one connection may make us remember, and how odd a payload may be.

/// Bounds on what a peer's messages may cost.
///
/// ```
/// let limits = kyneta_uds_cbor::DecodeLimits::default();
/// assert_eq!(limits.max_aliases, 262_144);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Aliases remembered in each table: documents and schema hashes, inbound and outbound, make
    /// four. Default 262,144. An inbound message beyond it is rejected
    /// ([`AliasFault::TableFull`](kyneta_uds_core::AliasFault::TableFull)); an outbound document
    /// beyond it gets no alias.
    pub max_aliases: usize,
    /// Bytes of text remembered in each of those tables. Default 16 MiB.
    pub max_alias_bytes: usize,
    /// Documents and supported schema hashes, taken together, in one `present`. Default 65,536.
    pub max_docs: usize,
    /// How deep a payload may be nested. Default 1,024.
    pub max_depth: usize,
    /// Keys in all the maps that are open at any one point of a payload whose keys are not in the
    /// usual order. Default 65,536.
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
