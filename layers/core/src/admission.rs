//! The first frame on a connection without a handshake: the listener admits the connection.

/// A side's part in the admission. See [`Channel::poll_admission`](crate::Channel::poll_admission).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Admission {
    /// On the accepting side: send the admission frame.
    Grant,
    /// On the connecting side: wait for the admission frame.
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
    /// The listener closed the connection: it rejects this process, has no capacity left, or is stopping.
    #[error("the listener closed the connection before it admitted it")]
    Closed,
    /// The listener's first frame is a message. Other programs, and releases before this one, do not send an
    /// admission frame.
    #[error("the listener speaks kyneta's protocol, or is a program of another kind")]
    Foreign,
}
