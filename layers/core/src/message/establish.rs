//! `establish`: the message of the handshake.

use crate::identity::{Features, Identity, ProtocolVersion};

/// `establish`: the sender's identity and what it supports.
///
/// ```
/// use kyneta_uds_core::{Establish, Features, Identity};
/// let establish = Establish::new(Identity::service("a")?).features(Features::aliasing());
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Establish {
    /// Who the sender is.
    pub identity: Identity,
    /// What it supports; absent means nothing.
    pub features: Option<Features>,
    /// Its protocol version; 1.0 is not written.
    pub protocol: ProtocolVersion,
    /// It is no peer: it only looks on. In an answer: the listener lets it. Peers that do not know this ignore it.
    pub observe: Option<Observe>,
}

/// What a connection wants that only looks on at a listener.
///
/// ```
/// use kyneta_uds_core::{Establish, Identity, Observe};
/// let establish = Establish::new(Identity::service("a")?).observe(Observe::Members);
/// assert_eq!(establish.observe, Some(Observe::Members));
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observe {
    /// The members that are present, once.
    Members,
    /// These, and each message that passes from then on.
    Messages,
    /// The members, and the documents that each of them holds, once.
    Documents,
}

impl Establish {
    /// Without features, protocol 1.0.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            features: None,
            protocol: ProtocolVersion::default(),
            observe: None,
        }
    }

    /// Of a connection that only looks on.
    pub fn observe(mut self, what: Observe) -> Self {
        self.observe = Some(what);
        self
    }

    /// With features.
    pub fn features(mut self, features: Features) -> Self {
        self.features = Some(features);
        self
    }

    /// True when the sender accepts aliases.
    pub fn aliases(&self) -> bool {
        self.features
            .and_then(|features| features.alias)
            .unwrap_or(false)
    }
}
