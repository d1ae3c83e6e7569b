//! Why a peer did not become known.

use std::{error::Error, fmt, io, time::Duration};

use kyneta_uds_core::{BoxError, WireVersion};

/// Why a peer did not become known. The connection is closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EstablishError {
    /// The layers below could not make a connection.
    #[error("{0}")]
    Make(#[source] BoxError),
    /// The connection broke during the handshake.
    #[error("the connection broke before the peer introduced itself: {0}")]
    Channel(#[source] BoxError),
    /// The peer closed without a word. On the accepting side that is a probe and part of normal
    /// life (wire section 3.7).
    #[error("the peer closed the connection before it introduced itself")]
    Closed,
    /// The peer is there and says nothing.
    #[error("no answer to establish{} within {}", Tried(tried), Took(*waited))]
    Unanswered {
        /// The wire versions that were tried, in the order they were; empty on the accepting side.
        tried: Vec<WireVersion>,
        /// How long in all.
        waited: Duration,
    },
}

impl EstablishError {
    /// A broken pipe says no more than that the peer has closed.
    pub(crate) fn closed_if_gone(self) -> Self {
        let mut next: Option<&(dyn Error + 'static)> = match &self {
            Self::Channel(error) => Some(&**error),
            _ => None,
        };
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>()
                && matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                )
            {
                return Self::Closed;
            }
            next = error.source();
        }
        self
    }
}

struct Tried<'a>(&'a [WireVersion]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, wire) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { " on wire version " } else { " or " })?;
            wire.fmt(f)?;
        }
        Ok(())
    }
}

struct Took(Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_millis(self.0.as_millis() as u64))
    }
}
