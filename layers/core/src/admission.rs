//! The first word on a connection without a handshake: the acceptor's, that the connection is served.
//!
//! In: nothing. Out: which side is meant, and why there was no such word. Touches nothing.

/// Which side's part in the admission a channel is to play. See
/// [`Channel::poll_admission`](crate::Channel::poll_admission).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Admission {
    /// The side that accepted the connection: say that it is served.
    Grant,
    /// The side that connected: wait until the other one has said so.
    Await,
}

/// Why a connection was not admitted. Nothing has been sent on it.
///
/// ```
/// use kyneta_uds_core::AdmissionError;
/// let error = AdmissionError::Closed;
/// assert_eq!(error.to_string(), "the listener closed the connection before it admitted it");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The listener has closed the connection: it refuses this process, has no place left, or ends.
    #[error("the listener closed the connection before it admitted it")]
    Closed,
    /// The first frame of the listener is a message: the listener does not admit, as programs of
    /// another kind, or of a release before this one.
    #[error("the first frame of the listener does not admit: it is a program of another kind")]
    Foreign,
}
