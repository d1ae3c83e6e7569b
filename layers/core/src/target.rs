//! What a stack is called with: a path to connect to, or an accepted stream.

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
/// assert!(Target::Accepted(()).redial().is_none());
/// # Ok::<(), kyneta_uds_core::SocketPathError>(())
/// ```
#[derive(Debug)]
pub enum Target<Io> {
    /// Connect to this path.
    Connect(SocketPath),
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

impl<Io> Redial for Target<Io> {
    fn redial(&self) -> Option<Self> {
        match self {
            Self::Connect(path) => Some(Self::Connect(path.clone())),
            Self::Accepted(_) => None,
        }
    }
}
