//! How long each side waits.

use std::time::Duration;

/// How long each side waits for the other.
///
/// ```
/// use kyneta_uds_handoff::Limits;
/// assert_eq!(Limits::default().frozen.as_secs(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// For one answer while the predecessor serves, 2 s by default.
    pub answer: Duration,
    /// For everything from the freeze to `Taken`, 1 s by default: the longest pause that a peer sees when the
    /// successor hangs.
    pub frozen: Duration,
    /// How long a successor waits for the predecessor, 5 s by default. Longer than the two others, so that a
    /// predecessor that gives up is heard.
    pub successor: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(2),
            frozen: Duration::from_secs(1),
            successor: Duration::from_secs(5),
        }
    }
}
