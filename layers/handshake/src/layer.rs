//! The layer: settings in, a [`Handshake`] service out.
//!
//! In: an identity and limits; the make service below. Out: a make service of established channels. Clones share the
//! settings. Touches nothing.

use std::{sync::Arc, time::Duration};

use kyneta_uds_core::{Establish, Features, Identity, Observe};
use tower_layer::Layer;

use crate::{config::HandshakeConfig, peer_info::PeerInfo, service::Handshake};

/// Turns a make service of channels into one of [`Established`](crate::Established) channels.
///
/// ```
/// use std::time::Duration;
///
/// use kyneta_uds_core::Identity;
/// use kyneta_uds_handshake::HandshakeLayer;
///
/// let layer = HandshakeLayer::new(Identity::service("billing-1")?)
///     .timeout(Duration::from_secs(2))
///     .admit(|peer| peer.identity().peer_id.as_str().starts_with("billing-"));
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone)]
pub struct HandshakeLayer {
    config: HandshakeConfig,
}

impl HandshakeLayer {
    /// Sends `identity`, with aliasing on.
    pub fn new(identity: Identity) -> Self {
        Self {
            config: HandshakeConfig {
                establish: Establish::new(identity).features(Features::aliasing()),
                timeout: Duration::from_secs(5),
                wire_fallback: Duration::from_millis(500),
                max_early_messages: 1000,
                admit: None,
                observable: false,
            },
        }
    }

    /// The `establish` that this side sends.
    pub fn establish(&self) -> &Establish {
        &self.config.establish
    }

    /// Changes the identity; all other settings stay.
    ///
    /// ```
    /// use kyneta_uds_core::{Features, Identity};
    /// use kyneta_uds_handshake::HandshakeLayer;
    ///
    /// let plain = HandshakeLayer::new(Identity::service("template")?).features(Features::default());
    /// let layer = plain.clone().identity(Identity::service("billing-1")?);
    /// assert_eq!(layer.establish().identity.peer_id.as_str(), "billing-1");
    /// assert_eq!(layer.establish().features, plain.establish().features);
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    pub fn identity(mut self, identity: Identity) -> Self {
        self.config.establish.identity = identity;
        self
    }

    /// Sets the features to send. Default: aliasing.
    pub fn features(mut self, features: Features) -> Self {
        self.config.establish.features = Some(features);
        self
    }

    /// The connecting side only looks on: it is no peer of a listener that [lets it](Self::observable), which says so
    /// in its answer.
    ///
    /// ```
    /// use kyneta_uds_core::{Identity, Observe};
    /// use kyneta_uds_handshake::HandshakeLayer;
    ///
    /// let layer = HandshakeLayer::new(Identity::service("monitor")?).observe(Observe::Members);
    /// assert_eq!(layer.establish().observe, Some(Observe::Members));
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    pub fn observe(mut self, what: Observe) -> Self {
        self.config.establish.observe = Some(what);
        self
    }

    /// The accepting side answers a connection that only looks on with the same
    /// [`observe`](kyneta_uds_core::Establish::observe), and what takes the channel has to serve it as such. Default:
    /// such a connection is a peer like any other.
    pub fn observable(mut self) -> Self {
        self.config.observable = true;
        self
    }

    /// Sets how long the handshake may take. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Sets how long the connecting side waits for an answer on one wire version before it connects again with the
    /// other, if the wire version is `Auto` (wire section 2: a listener of the other version does not answer).
    /// After both, it tries them again for twice as long, and so on until the [`timeout`](Self::timeout).
    /// Default: 500 ms, and at least 1 ms.
    pub fn wire_fallback(mut self, fallback: Duration) -> Self {
        self.config.wire_fallback = fallback;
        self
    }

    /// Sets how many frames and messages a peer may send before its `establish`. They are ignored (wire section
    /// 3); one more is [`HandshakeError::TooManyEarlyMessages`]. Default: 1,000.
    ///
    /// [`HandshakeError::TooManyEarlyMessages`]: crate::HandshakeError::TooManyEarlyMessages
    pub fn max_early_messages(mut self, limit: u32) -> Self {
        self.config.max_early_messages = limit;
        self
    }

    /// Sets which peers to admit, by what they send and by their credentials ([`PeerInfo::credentials`]). Called on
    /// both sides when the peer's `establish` has arrived, before it is answered; it must not block. If it returns
    /// false, or panics, the connection is closed without an answer. Default: all peers.
    ///
    /// A peer can send any identity. A rule about identities is only as good as the rule about credentials that
    /// goes with it.
    ///
    /// ```
    /// use kyneta_uds_core::Identity;
    /// use kyneta_uds_handshake::HandshakeLayer;
    ///
    /// // Only processes of root may use these names.
    /// let layer = HandshakeLayer::new(Identity::service("billing-1")?).admit(|peer| {
    ///     let is_root = peer.credentials().is_some_and(|of| of.uid == 0);
    ///     is_root || !peer.identity().peer_id.as_str().starts_with("system-")
    /// });
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    pub fn admit(mut self, admit: impl Fn(&PeerInfo) -> bool + Send + Sync + 'static) -> Self {
        self.config.admit = Some(Arc::new(admit));
        self
    }
}

impl<S> Layer<S> for HandshakeLayer {
    type Service = Handshake<S>;

    fn layer(&self, inner: S) -> Handshake<S> {
        Handshake::new(inner, self.config.clone())
    }
}
