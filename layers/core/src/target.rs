//! What a stack is asked for: a place to connect to, or a stream that somebody has accepted.

use crate::path::SocketPath;

/// One request to a maker of connections.
///
/// A listener has no second stack: what it accepts goes through the same layers, as a target that
/// the connector hands back as it stands.
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

/// A target that may be asked for a second time.
pub trait Redial: Sized {
    /// The same target once more; `None` when it was accepted, not connected to. This is also how
    /// a layer knows which side it is on.
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
