//! Why a handshake failed.
//!
//! In: errors of the layers below, and what the exchange has counted. Out: one error: how far the handshake came,
//! with the numbers. Pure.

use std::{error::Error, fmt, io, time::Duration};

use kyneta_uds_core::{BoxError, Credentials, PeerId, WireVersion};

/// Why a handshake failed. The connection is closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The layers below could not make a connection. The source has the details.
    #[error("no connection")]
    Make(#[source] BoxError),
    /// The connection broke during the handshake. The source has the details.
    #[error("the connection broke during the handshake")]
    Channel(#[source] BoxError),
    /// The peer closed the connection. On the accepting side this is normal: other peers connect and close to
    /// find out whether a process listens (wire section 3.7).
    #[error(
        "the peer closed the connection during the handshake{}",
        BeforeAnswer(tried)
    )]
    Closed {
        /// The wire versions that were tried, in order; empty on the accepting side.
        tried: Vec<WireVersion>,
    },
    /// The peer writes in the other wire version, and went on to wait: one that can use both would have connected again.
    /// Of the accepting side, where its wire version is fixed.
    #[error(
        "no establish on wire version {ours} within {}: the peer uses wire version {theirs}",
        Millis(*waited)
    )]
    OtherVersion {
        /// What the peer has written in.
        theirs: WireVersion,
        /// The one of this side.
        ours: WireVersion,
        /// The time waited.
        waited: Duration,
    },
    /// [`HandshakeLayer::admit`](crate::HandshakeLayer::admit) has rejected the peer.
    #[error("the peer {peer:?}{} is not admitted", OfUser(*credentials))]
    NotAdmitted {
        /// The id that the peer has sent.
        peer: PeerId,
        /// The peer's credentials, as reported by the kernel.
        credentials: Option<Credentials>,
        /// Of the kind [`PermissionDenied`](io::ErrorKind::PermissionDenied), for callers that check the kind.
        source: io::Error,
    },
    /// The peer sends the admission frame of a connection without a handshake ([`Channel::poll_admission`]): the path
    /// of one side is kyneta's, and the other side is a bus, or has messages of its own.
    ///
    /// [`Channel::poll_admission`]: kyneta_uds_core::Channel::poll_admission
    #[error(
        "the peer does not speak kyneta's protocol: it is of a bus, or has messages of its own"
    )]
    OtherProtocol,
    /// The peer has sent more frames and messages than allowed before its `establish`.
    #[error("the peer sent more than {limit} frames or messages before establish")]
    TooManyEarlyMessages {
        /// The limit.
        limit: u32,
    },
    /// The peer is connected, but sent no `establish` in time.
    #[error("{} within {}", NoEstablish(tried), Millis(*waited))]
    Unanswered {
        /// The wire versions that were tried, in order; empty on the accepting side.
        tried: Vec<WireVersion>,
        /// The total time waited.
        waited: Duration,
    },
}

impl HandshakeError {
    /// A broken pipe means the same as [`Closed`](Self::Closed): the peer has closed the connection.
    pub(crate) fn closed_if_broken_pipe(self) -> Self {
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
                return Self::Closed { tried: Vec::new() };
            }
            next = error.source();
        }
        self
    }
}

struct OfUser(Option<Credentials>);

impl fmt::Display for OfUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(credentials) => write!(f, " of {credentials}"),
            None => Ok(()),
        }
    }
}

struct NoEstablish<'a>(&'a [WireVersion]);

impl fmt::Display for NoEstablish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            [] => "no establish",
            _ => "no answer to establish",
        })?;
        OnWire(self.0).fmt(f)
    }
}

struct BeforeAnswer<'a>(&'a [WireVersion]);

impl fmt::Display for BeforeAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            f.write_str(", without an answer to establish")?;
        }
        OnWire(self.0).fmt(f)
    }
}

struct OnWire<'a>(&'a [WireVersion]);

impl fmt::Display for OnWire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, wire) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { " on wire version " } else { " or " })?;
            wire.fmt(f)?;
        }
        Ok(())
    }
}

struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_millis(self.0.as_millis() as u64))
    }
}
