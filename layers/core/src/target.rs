//! What a stack is called with: an address to connect to, such as a path, or an accepted stream.

use crate::path::SocketPath;

/// One request for a connection.
///
/// A listener uses the same stack as a connector: an accepted stream is a target, too, which the connector
/// returns unchanged.
///
/// ```
/// use kyneta_uds_core::{Redial, SocketPath, Target};
///
/// let target: Target<()> = SocketPath::new("/run/bus.sock")?.into();
/// assert!(target.redial().is_some());
/// let accepted: Target<()> = Target::Accepted(());
/// assert!(accepted.redial().is_none());
/// # Ok::<(), kyneta_uds_core::SocketPathError>(())
/// ```
#[derive(Debug)]
pub enum Target<Io, Address = SocketPath> {
    /// Connect to this address.
    Connect(Address),
    /// Use this stream.
    Accepted(Io),
}

impl<Io> From<SocketPath> for Target<Io> {
    fn from(path: SocketPath) -> Self {
        Self::Connect(path)
    }
}

/// A target that can be connected to again.
pub trait Redial: Sized {
    /// The same target once more; `None` for an accepted stream. A layer learns from this which side it is on.
    fn redial(&self) -> Option<Self>;
}

impl Redial for SocketPath {
    fn redial(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<Io, Address: Clone> Redial for Target<Io, Address> {
    fn redial(&self) -> Option<Self> {
        match self {
            Self::Connect(address) => Some(Self::Connect(address.clone())),
            Self::Accepted(_) => None,
        }
    }
}
