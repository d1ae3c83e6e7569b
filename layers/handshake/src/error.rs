//! Why a peer did not become known.

use std::{error::Error, fmt, io, time::Duration};

use kyneta_uds_core::{BoxError, Credentials, PeerId, WireVersion};

/// Why a peer did not become known. The connection is closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The layers below could not make a connection. The source says why.
    #[error("no connection")]
    Make(#[source] BoxError),
    /// The connection broke during the handshake.
    #[error("the connection broke before the peer introduced itself")]
    Channel(#[source] BoxError),
    /// The peer closed without a word. On the accepting side that is a probe and part of normal
    /// life (wire section 3.7).
    #[error("the peer closed the connection before it introduced itself")]
    Closed,
    /// The peer has introduced itself, and is none to deal with.
    #[error("the peer {peer:?}{} is not admitted", Of(*credentials))]
    NotAdmitted {
        /// Who it says it is.
        peer: PeerId,
        /// Who the kernel says it is.
        credentials: Option<Credentials>,
        /// Of the kind [`PermissionDenied`](io::ErrorKind::PermissionDenied), for those who look for
        /// the kind of an error.
        source: io::Error,
    },
    /// The peer has sent much, and has not introduced itself.
    #[error("the peer has not introduced itself in more than {limit} frames or messages")]
    TooManyStrays {
        /// How many may be.
        limit: u32,
    },
    /// The peer is there and says nothing.
    #[error("no answer to establish{} within {}", Tried(tried), Took(*waited))]
    Unanswered {
        /// The wire versions that were tried, in the order they were; empty on the accepting side.
        tried: Vec<WireVersion>,
        /// How long in all.
        waited: Duration,
    },
}

impl HandshakeError {
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

struct Of(Option<Credentials>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(credentials) => write!(f, " of {credentials}"),
            None => Ok(()),
        }
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
