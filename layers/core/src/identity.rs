//! Who a peer is and what it supports: the contents of its `establish` (wire section 4).
//!
//! In: texts and numbers of any size. Out: values that `establish` can carry, or what is too long. Pure.

use crate::text::{Name, PeerId, TextTooLong};

/// What a peer is.
///
/// ```
/// use kyneta_uds_core::PeerType;
/// assert_eq!(PeerType::from_name("bot"), Some(PeerType::Bot));
/// assert_eq!(PeerType::Service.name(), "service");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerType {
    /// Acts for a person.
    User,
    /// Acts for itself.
    Bot,
    /// Infrastructure.
    Service,
}

impl PeerType {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Bot => "bot",
            Self::Service => "service",
        }
    }

    /// The type with this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        let types = [Self::User, Self::Bot, Self::Service];
        types.into_iter().find(|known| known.name() == name)
    }
}

/// Who a peer is: its id on the bus, a name for display, a type.
///
/// ```
/// use kyneta_uds_core::Identity;
/// let me = Identity::service("billing-1")?.named("Billing")?;
/// assert_eq!(me.peer_id.as_str(), "billing-1");
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The id; two peers with the same id are "duplicates" (wire section 3.9).
    pub peer_id: PeerId,
    /// For display; absent by default.
    pub name: Option<Name>,
    /// What the peer is.
    pub peer_type: PeerType,
}

impl Identity {
    /// An identity without a name.
    pub const fn new(peer_id: PeerId, peer_type: PeerType) -> Self {
        Self {
            peer_id,
            name: None,
            peer_type,
        }
    }

    /// A service.
    ///
    /// # Errors
    /// [`TextTooLong`] when the id has more than [`PeerId::MAX`] bytes.
    pub fn service(id: impl AsRef<str>) -> Result<Self, TextTooLong> {
        Ok(Self::new(PeerId::new(id)?, PeerType::Service))
    }

    /// A user.
    ///
    /// # Errors
    /// [`TextTooLong`] when the id has more than [`PeerId::MAX`] bytes.
    pub fn user(id: impl AsRef<str>) -> Result<Self, TextTooLong> {
        Ok(Self::new(PeerId::new(id)?, PeerType::User))
    }

    /// A bot.
    ///
    /// # Errors
    /// [`TextTooLong`] when the id has more than [`PeerId::MAX`] bytes.
    pub fn bot(id: impl AsRef<str>) -> Result<Self, TextTooLong> {
        Ok(Self::new(PeerId::new(id)?, PeerType::Bot))
    }

    /// Sets the name for display.
    ///
    /// # Errors
    /// [`TextTooLong`] when the name has more than [`Name::MAX`] bytes.
    pub fn named(
        mut self,
        name: impl AsRef<str> + Into<bytestring::ByteString>,
    ) -> Result<Self, TextTooLong> {
        self.name = Some(Name::new(name)?);
        Ok(self)
    }
}

/// What a peer supports. Absent means false; the two are kept apart.
///
/// ```
/// use kyneta_uds_core::Features;
/// assert_eq!(Features::aliasing().alias, Some(true));
/// assert_eq!(Features::default().alias, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features {
    /// Accepts aliases in place of document ids and schema hashes (wire section 6).
    pub alias: Option<bool>,
    /// Part of the general protocol; not used on Unix sockets.
    pub streamed: Option<bool>,
    /// Part of the general protocol; not used on Unix sockets.
    pub datagram: Option<bool>,
}

impl Features {
    /// With `alias` true and the others absent, as in the reference.
    pub const fn aliasing() -> Self {
        Self {
            alias: Some(true),
            streamed: None,
            datagram: None,
        }
    }
}

/// The channel protocol's version, `[major, minor]`; 1.0 by default.
///
/// ```
/// use kyneta_uds_core::ProtocolVersion;
/// assert_eq!(ProtocolVersion::default(), ProtocolVersion::new(1, 0).unwrap());
/// assert!(ProtocolVersion::new(0, 1).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolVersion {
    major: u64,
    minor: u64,
}

/// A protocol version is outside `major >= 1`, both at most 2^53-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("protocol version {major}.{minor}: major must be at least 1, both at most 2^53-1")]
pub struct ProtocolVersionError {
    /// As given.
    pub major: u64,
    /// As given.
    pub minor: u64,
}

impl ProtocolVersion {
    const MAX_SAFE: u64 = (1 << 53) - 1;

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ProtocolVersionError`] when major is 0 or either exceeds 2^53-1.
    pub const fn new(major: u64, minor: u64) -> Result<Self, ProtocolVersionError> {
        if major == 0 || major > Self::MAX_SAFE || minor > Self::MAX_SAFE {
            return Err(ProtocolVersionError { major, minor });
        }
        Ok(Self { major, minor })
    }

    /// Incompatible changes.
    pub const fn major(self) -> u64 {
        self.major
    }

    /// Compatible changes.
    pub const fn minor(self) -> u64 {
        self.minor
    }
}

impl Default for ProtocolVersion {
    fn default() -> Self {
        Self { major: 1, minor: 0 }
    }
}
