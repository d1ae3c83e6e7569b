//! Whether a path is still ours, as a pure machine.
//!
//! In: what is at the path, and whether anybody listens there. Out: the next step, or the verdict.
//! Touches nothing.

/// One step in looking after a path.
///
/// ```
/// use kyneta_uds_unix::Lost;
/// use kyneta_uds_unix::watch::machine::{Seen, Verdict, Watch};
///
/// assert_eq!(Watch::FIRST.then(Seen::Ours), Verdict::Do(Watch::Look));
/// assert_eq!(Watch::Look.then(Seen::Ours), Verdict::Ours);
/// assert_eq!(Watch::Look.then(Seen::Nothing), Verdict::Lost(Lost::Gone));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watch {
    /// Take the lock again if its file is not the one that we hold. Who could not (it is not
    /// [`Seen::Ours`]) looks on: the path may be ours all the same.
    KeepLock,
    /// See what is at the path: any answer but [`Seen::Alive`].
    Look,
    /// Connect to the socket there: [`Seen::Nothing`], [`Seen::Alive`] or [`Seen::Other`].
    Probe,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// What is there is ours.
    Ours,
    /// Nothing, or nobody, is there.
    Nothing,
    /// Another socket.
    Socket,
    /// Somebody listens, whether accepting or not.
    Alive,
    /// What is no socket, or cannot be looked at.
    Other,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This step.
    Do(Watch),
    /// The end: the path is ours.
    Ours,
    /// The end: it is not.
    Lost(Lost),
}

/// What has become of a path that was ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// Nothing is there any more.
    Gone,
    /// Another socket is there, and nobody listens behind it.
    Stale,
    /// A file that is no socket is there, or the path cannot be looked at.
    Blocked,
    /// Another socket is there, and somebody listens behind it: the path is theirs.
    Taken,
}

impl Watch {
    /// The first step.
    pub const FIRST: Self = Self::KeepLock;

    /// What follows from an answer.
    pub fn then(self, seen: Seen) -> Verdict {
        match (self, seen) {
            (Self::KeepLock, _) => Verdict::Do(Self::Look),
            (_, Seen::Ours) => Verdict::Ours,
            (Self::Look, Seen::Socket) => Verdict::Do(Self::Probe),
            (Self::Look, Seen::Nothing) => Verdict::Lost(Lost::Gone),
            (Self::Probe, Seen::Nothing) => Verdict::Lost(Lost::Stale),
            (Self::Probe, Seen::Alive) => Verdict::Lost(Lost::Taken),
            (_, Seen::Other | Seen::Alive | Seen::Socket) => Verdict::Lost(Lost::Blocked),
        }
    }
}
