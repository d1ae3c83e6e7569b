//! The settings of a handshake.
//!
//! In: the setters of the layer. Out: the same, for each connection. Touches nothing.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use kyneta_uds_core::Establish;

use crate::peer_info::PeerInfo;

#[derive(Clone)]
pub(crate) struct HandshakeConfig {
    pub(crate) establish: Establish,
    pub(crate) timeout: Duration,
    pub(crate) wire_fallback: Duration,
    pub(crate) max_early_messages: u32,
    pub(crate) admit: Option<Admit>,
    /// The answer to an observer says that it is one.
    pub(crate) observable: bool,
}

type Admit = Arc<dyn Fn(&PeerInfo) -> bool + Send + Sync>;

impl HandshakeConfig {
    /// The answer to a peer.
    pub(crate) fn answer(&self, peer: &PeerInfo) -> Establish {
        Establish {
            observe: peer.establish().observe.filter(|_| self.observable),
            ..self.establish.clone()
        }
    }

    pub(crate) fn admits(&self, peer: &PeerInfo) -> bool {
        let ask = |admit: &Admit| catch_unwind(AssertUnwindSafe(|| admit(peer))).unwrap_or(false);
        self.admit.as_ref().is_none_or(ask)
    }
}

impl fmt::Debug for HandshakeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeConfig")
            .field("establish", &self.establish)
            .field("timeout", &self.timeout)
            .field("wire_fallback", &self.wire_fallback)
            .field("max_early_messages", &self.max_early_messages)
            .finish_non_exhaustive()
    }
}
