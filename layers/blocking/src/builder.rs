//! The settings of a client.
//!
//! In: the setters. Out: a client. Touches nothing but by `connect`.

use std::time::Duration;

use kyneta_uds_core::{Establish, Features, Identity, SocketPath};
use kyneta_uds_framing::FramingConfig;

use crate::{client::Client, error::Error, handshake};

/// How to connect. Made by [`Client::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use kyneta_uds_blocking::Client;
/// use kyneta_uds_core::{Identity, SocketPath};
///
/// let path = SocketPath::new("/run/no-such-app/bus.sock")?;
/// let client = Client::builder(path, Identity::service("reader")?)
///     .timeout(Duration::from_secs(1))
///     .wire_fallback(Duration::from_millis(200))
///     .connect();
/// assert_eq!(client.unwrap_err().to_string(), "cannot connect to /run/no-such-app/bus.sock");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until `connect`"]
pub struct Builder {
    pub(crate) path: SocketPath,
    pub(crate) establish: Establish,
    pub(crate) timeout: Duration,
    pub(crate) wire_fallback: Duration,
    pub(crate) framing: FramingConfig,
}

impl Builder {
    pub(crate) fn new(path: SocketPath, identity: Identity) -> Self {
        Self {
            path,
            establish: Establish::new(identity).features(Features::aliasing()),
            timeout: Duration::from_secs(5),
            wire_fallback: Duration::from_millis(500),
            framing: FramingConfig::new(),
        }
    }

    /// How long connecting and the handshake may take together. 5 s unless said otherwise; zero fails at once.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long to wait for an answer on one wire version before the other one is tried. 500 ms unless said
    /// otherwise, and at least 1 ms; each further pair of attempts waits twice as long.
    pub const fn wire_fallback(mut self, fallback: Duration) -> Self {
        self.wire_fallback = fallback;
        self
    }

    /// The wire version, and the largest frame in bytes. Both versions, and the limit of [`FramingConfig`], unless
    /// said otherwise. An inbound budget is not used: there is one connection.
    pub fn framing(mut self, framing: FramingConfig) -> Self {
        self.framing = framing;
        self
    }

    /// Connects, and performs the handshake.
    ///
    /// # Errors
    /// [`Error`]: no connection, no answer, or a peer that does not keep to the protocol.
    pub fn connect(self) -> Result<Client, Error> {
        handshake::connect(&self).map(Client::new)
    }
}
