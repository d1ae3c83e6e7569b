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
}

impl Establish {
    /// Without features, protocol 1.0.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            features: None,
            protocol: ProtocolVersion::default(),
        }
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
