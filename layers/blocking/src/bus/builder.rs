//! The settings of a member.
//!
//! In: the setters. Out: a member. Touches nothing but by `connect`.

use std::{marker::PhantomData, time::Duration};

use kyneta_uds_core::{Identity, SocketPath};
use serde::{Serialize, de::DeserializeOwned};

use super::{BusError, member::BusMember};

/// How to join a bus. Made by [`BusMember::builder`].
///
/// ```
/// use std::time::Duration;
/// use kyneta_uds_blocking::BusMember;
/// use kyneta_uds_core::{Identity, SocketPath};
///
/// let path = SocketPath::new("/run/no-such-app/bus.sock")?;
/// let member = BusMember::<String>::builder(path, Identity::service("till")?)
///     .protocol("shop/1")
///     .max_message(1 << 20)
///     .timeout(Duration::from_millis(20))
///     .connect();
/// assert_eq!(member.unwrap_err().to_string(), "cannot connect to /run/no-such-app/bus.sock");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it does nothing until `connect`"]
pub struct BusBuilder<M> {
    pub(super) path: SocketPath,
    pub(super) identity: Identity,
    pub(super) protocols: Vec<String>,
    pub(super) max_message: usize,
    pub(super) timeout: Duration,
    message: PhantomData<fn(M) -> M>,
}

impl<M> BusBuilder<M> {
    pub(super) const fn new(path: SocketPath, identity: Identity) -> Self {
        Self {
            path,
            identity,
            protocols: Vec::new(),
            max_message: 64 << 20,
            timeout: Duration::from_secs(5),
            message: PhantomData,
        }
    }

    /// The protocol of the messages; `bus/1` unless said otherwise. May be called several times, the preferred one first:
    /// the listener needs one of them.
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// The largest message, encoded, bytes. 64 MiB unless said otherwise.
    pub const fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// How long [`connect`](Self::connect) may take. 5 s unless said otherwise.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<M: Serialize + DeserializeOwned> BusBuilder<M> {
    /// Joins the bus, and meets the members that are there, for a second at most. Waits until a process listens.
    ///
    /// # Errors
    /// [`BusError::Connection`]: no process has listened, or answered, in time. [`BusError::NotAdmitted`].
    pub fn connect(mut self) -> Result<BusMember<M>, BusError> {
        if self.protocols.is_empty() {
            self.protocols.push("bus/1".to_owned());
        }
        BusMember::join(self)
    }
}
