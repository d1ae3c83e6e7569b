//! The layer and its settings.

use std::{fmt, sync::Arc, time::Duration};

use kyneta_uds_core::{Establish, Features, Identity};
use tower_layer::Layer;

use crate::{channel::PeerInfo, service::Handshake};

/// How a side introduces itself, how long it waits, and whom it deals with.
#[derive(Clone)]
pub(crate) struct HandshakeConfig {
    pub(crate) introduction: Establish,
    pub(crate) timeout: Duration,
    pub(crate) fallback: Duration,
    pub(crate) max_strays: u32,
    pub(crate) admit: Option<Admit>,
}

type Admit = Arc<dyn Fn(&PeerInfo) -> bool + Send + Sync>;

/// Makes channels whose peer is known out of channels.
///
/// See the [crate](crate) for an example.
#[derive(Debug, Clone)]
pub struct HandshakeLayer {
    config: HandshakeConfig,
}

impl HandshakeLayer {
    /// Introduces itself as `identity`, with aliasing on.
    pub fn new(identity: Identity) -> Self {
        Self {
            config: HandshakeConfig {
                introduction: Establish::new(identity).features(Features::aliasing()),
                timeout: Duration::from_secs(5),
                fallback: Duration::from_millis(500),
                max_strays: 1000,
                admit: None,
            },
        }
    }

    /// How this side introduces itself.
    pub fn introduction(&self) -> &Establish {
        &self.config.introduction
    }

    /// Introduces itself as `identity` from now on; every other setting stays.
    ///
    /// ```
    /// use kyneta_uds_core::{Features, Identity};
    /// use kyneta_uds_handshake::HandshakeLayer;
    ///
    /// let plain = HandshakeLayer::new(Identity::service("template")?).features(Features::default());
    /// let layer = plain.clone().identity(Identity::service("billing-1")?);
    /// assert_eq!(layer.introduction().identity.peer_id.as_str(), "billing-1");
    /// assert_eq!(layer.introduction().features, plain.introduction().features);
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    pub fn identity(mut self, identity: Identity) -> Self {
        self.config.introduction.identity = identity;
        self
    }

    /// Which features to announce. Aliasing by default.
    pub fn features(mut self, features: Features) -> Self {
        self.config.introduction.features = Some(features);
        self
    }

    /// How long a peer may take to introduce itself, from the connection on. 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// How long the connecting side waits for an answer on one wire version before it comes again
    /// with the other, when the wire is `auto` (wire section 2: a listener of the other version
    /// says nothing). After both it tries them again with twice the patience, and so on until the
    /// [`timeout`](Self::timeout). 500 ms by default.
    pub fn wire_fallback(mut self, fallback: Duration) -> Self {
        self.config.fallback = fallback;
        self
    }

    /// How many frames and messages before its introduction a peer may send, all of which are ignored
    /// (wire section 3). 1,000 by default; one more is [`HandshakeError::TooManyStrays`].
    ///
    /// [`HandshakeError::TooManyStrays`]: crate::HandshakeError::TooManyStrays
    pub fn max_strays(mut self, strays: u32) -> Self {
        self.config.max_strays = strays;
        self
    }

    /// Whom to deal with, by what they say of themselves and what the kernel says of them
    /// ([`PeerInfo::credentials`]). Asked once a peer has introduced itself, on either side, before it
    /// is answered: be quick. Who is not admitted is hung up on, without a word.
    /// Everybody by default.
    ///
    /// What a peer says of itself it may have made up: a rule about names is worth as much as whom
    /// the credentials let in.
    ///
    /// ```
    /// use kyneta_uds_core::Identity;
    /// use kyneta_uds_handshake::HandshakeLayer;
    ///
    /// // Root's services alone may call themselves so.
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

impl HandshakeConfig {
    pub(crate) fn admits(&self, peer: &PeerInfo) -> bool {
        self.admit.as_ref().is_none_or(|admit| admit(peer))
    }
}

impl fmt::Debug for HandshakeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeConfig")
            .field("introduction", &self.introduction)
            .field("timeout", &self.timeout)
            .field("wire_fallback", &self.fallback)
            .field("max_strays", &self.max_strays)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for HandshakeLayer {
    type Service = Handshake<S>;

    fn layer(&self, inner: S) -> Handshake<S> {
        Handshake::new(inner, self.config.clone())
    }
}
