//! Whether a path is still ours, as a pure machine.
//!
//! In: what is at the path, and whether a process listens there. Out: the next step, or the verdict.
//! Touches nothing.

use std::fmt;

/// One step in checking a path.
///
/// ```
/// use kyneta_uds_unix::PathLoss;
/// use kyneta_uds_unix::watch::{Observation, Verdict, WatchStep};
///
/// assert_eq!(WatchStep::FIRST.then(Observation::Ours), Verdict::Do(WatchStep::Look));
/// assert_eq!(WatchStep::Look.then(Observation::Ours), Verdict::Ours);
/// assert_eq!(WatchStep::Look.then(Observation::Nothing), Verdict::Lost(PathLoss::Gone));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchStep {
    /// Take the lock again if its file is not the one that we hold. If that fails (any answer but
    /// [`Observation::Ours`]), the next step follows all the same: the path may still be ours.
    KeepLock,
    /// Look what is at the path: any answer but [`Observation::Alive`].
    Look,
    /// Connect to the socket there: [`Observation::Nothing`], [`Observation::Alive`] or
    /// [`Observation::Other`].
    Probe,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observation {
    /// The file there is ours.
    Ours,
    /// No file is there, or no process listens there.
    Nothing,
    /// Another socket.
    Socket,
    /// Another process listens there, whether it accepts or not.
    Alive,
    /// A file that is not a socket, or one that cannot be looked at.
    Other,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This step.
    Do(WatchStep),
    /// The end: the path is ours.
    Ours,
    /// The end: it is not.
    Lost(PathLoss),
}

/// How a path was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathLoss {
    /// No file is there any more.
    Gone,
    /// Another socket is there, and no process listens at it.
    Stale,
    /// A file that is not a socket is there, or the path cannot be looked at.
    Blocked,
    /// Another process listens there and owns the path now.
    Taken,
}

impl fmt::Display for PathLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "no file is there",
            Self::Stale => "another socket is there, at which no process listens",
            Self::Blocked => "a file that is not a socket is there",
            Self::Taken => "another process listens there",
        })
    }
}

impl WatchStep {
    /// The first step.
    pub const FIRST: Self = Self::KeepLock;

    /// What follows an answer.
    pub fn then(self, seen: Observation) -> Verdict {
        match (self, seen) {
            (Self::KeepLock, _) => Verdict::Do(Self::Look),
            (_, Observation::Ours) => Verdict::Ours,
            (Self::Look, Observation::Socket) => Verdict::Do(Self::Probe),
            (Self::Look, Observation::Nothing) => Verdict::Lost(PathLoss::Gone),
            (Self::Probe, Observation::Nothing) => Verdict::Lost(PathLoss::Stale),
            (Self::Probe, Observation::Alive) => Verdict::Lost(PathLoss::Taken),
            (_, Observation::Other | Observation::Alive | Observation::Socket) => {
                Verdict::Lost(PathLoss::Blocked)
            }
        }
    }
}
