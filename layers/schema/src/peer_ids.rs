//! What CRDT libraries call a peer, as the reference derives it from the peer's id.
//!
//! Nothing on the wire needs these numbers. A process that restarts without a store must not take them again: the
//! operations that it makes would have the ids of those that it has forgotten.

use kyneta_uds_core::PeerId;

use crate::fnv;

/// The Loro peer id, below 2^53.
///
/// ```
/// use kyneta_uds_core::PeerId;
/// let alice = PeerId::new("alice")?;
/// assert_eq!(kyneta_uds_schema::loro_peer_id(&alice), 3_143_209_096_067_335);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
pub fn loro_peer_id(peer: &PeerId) -> u64 {
    fnv::units_64(peer.as_str()) & ((1 << 53) - 1)
}

/// The Yjs client id, never 0.
///
/// ```
/// use kyneta_uds_core::PeerId;
/// let alice = PeerId::new("alice")?;
/// assert_eq!(kyneta_uds_schema::yjs_client_id(&alice), 2_267_157_479);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
pub fn yjs_client_id(peer: &PeerId) -> u32 {
    fnv::units_32(peer.as_str()).max(1)
}
