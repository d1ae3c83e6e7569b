//! What the switch knows of a member.
//!
//! In: what the hub, the handshake and the kernel say of a connection. Out: facts that do not change while it lasts.
//! Pure.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use kyneta_uds_core::{Credentials, Identity, PeerId, WireVersion};

/// Which member. A peer that comes back may have the same key or another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey(pub u64);

/// What is kept for each member, by its key. A key is a number that a hub has given, not what a peer says: it needs no
/// hash that resists attacks.
///
/// ```
/// use kyneta_uds_relay::{MemberKey, MemberMap};
///
/// let mut members = MemberMap::default();
/// members.insert(MemberKey(7), "dashboard");
/// assert_eq!(members.get(&MemberKey(7)), Some(&"dashboard"));
/// ```
pub type MemberMap<V> = HashMap<MemberKey, V, BuildHasherDefault<KeyHasher>>;

/// Spreads the bits of a number by a multiplication.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyHasher(u64);

/// An odd number near 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for KeyHasher {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        let spread = (self.0 ^ number).wrapping_mul(SPREAD);
        // A table uses the low bits and the seven highest.
        self.0 = spread ^ (spread >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// What routing and a [`Gate`](crate::Gate) depend on, of a member.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MemberFacts {
    /// The wire version of its connection. Wire version 2 has no `vacant`.
    pub wire: WireVersion,
    /// True for a link to another hub: nothing passes from one link to another.
    pub link: bool,
    /// As the handshake says; absent for a member without one.
    pub identity: Option<Identity>,
    /// As the kernel says; absent for a member inside this process, or where the kernel says nothing.
    pub credentials: Option<Credentials>,
}

impl MemberFacts {
    /// A member that is no link.
    pub const fn local(wire: WireVersion) -> Self {
        Self {
            wire,
            link: false,
            identity: None,
            credentials: None,
        }
    }

    /// A link to another hub.
    pub fn link(wire: WireVersion) -> Self {
        Self {
            link: true,
            ..Self::local(wire)
        }
    }

    /// With what the handshake has said.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// With what the kernel has said.
    pub const fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The peer's id, if it has one.
    pub fn peer_id(&self) -> Option<&str> {
        let id: Option<&PeerId> = self.identity.as_ref().map(|identity| &identity.peer_id);
        id.map(PeerId::as_str)
    }
}
