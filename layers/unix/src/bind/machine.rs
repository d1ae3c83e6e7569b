//! How a path is bound, as a pure machine: which step follows which.
//!
//! In: the answer to the last step. Out: the next step, or the result. Touches nothing.
//!
//! ```text
//! look -> lock -> look again -> probe -> look once more -> remove the stale file
//!                     |                                       |
//!                     +-> remove what a crash left <----------+
//!                         -> bind a temporary name -> listen -> link -> remove the temporary name
//! ```
//!
//! The first look comes before the lock, so that a path that cannot be bound gets no lock file; the
//! second comes under the lock, because the path may have changed. Only a socket file at which no
//! process listens is removed. The path appears by a link, with its listener ready, or not at all
//! because another process was faster.

pub use crate::socket_file::FileId;

/// One step in binding a path.
///
/// ```
/// use kyneta_uds_unix::bind::{Answer, BindStep, Next};
///
/// let answers = [Answer::Nothing, Answer::Done, Answer::Nothing];
/// let mut step = BindStep::FIRST;
/// for answer in answers {
///     let Next::Do(next) = step.then(answer, true) else { break };
///     step = next;
/// }
/// assert_eq!(step, BindStep::RemoveLeftover);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindStep {
    /// Look what is at the path: [`Answer::Nothing`] or [`Answer::Socket`].
    Look,
    /// Take the lock beside it: [`Answer::Done`] or [`Answer::InUse`].
    Lock,
    /// As [`BindStep::Look`].
    LookUnderLock,
    /// Connect to the socket that was seen: [`Answer::Nothing`] when no process listens there,
    /// [`Answer::NotYetListening`], [`Answer::InUse`] or [`Answer::Busy`].
    Probe(FileId),
    /// As [`BindStep::Look`]: is it still the file that was probed?
    LookOnceMore(FileId),
    /// Remove it: [`Answer::Done`].
    RemoveStale,
    /// Remove a socket at the temporary name, left by a holder of the lock that crashed:
    /// [`Answer::Done`].
    RemoveLeftover,
    /// Bind a socket to the temporary name, and set its mode: [`Answer::Done`].
    BindTemporary,
    /// Listen on it: [`Answer::Done`].
    Listen,
    /// Link it to the path: [`Answer::Done`], or [`Answer::InUse`] when a file is there.
    Link,
    /// Remove the temporary name: [`Answer::Done`].
    RemoveTemporary {
        /// The path is ours.
        linked: bool,
    },
}

/// The result of a step. A step that fails in another way ends the binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The step is done.
    Done,
    /// No file is there, or no process listens there.
    Nothing,
    /// A socket is there.
    Socket(FileId),
    /// Another process has it.
    InUse,
    /// Another process listens there, but its backlog is full.
    Busy,
    /// No process listens there, but the socket is so new that its process may be about to listen.
    NotYetListening,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// This step.
    Do(BindStep),
    /// The end: the path is ours.
    Ours,
    /// The end: another process has it.
    InUse(InUseReason),
    /// The end: a stale file is there, and must not be removed.
    Stale,
}

/// How we know that another process has the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InUseReason {
    /// The lock is held.
    Locked,
    /// A connection was established.
    Alive,
    /// The backlog is full.
    Busy,
    /// Its socket was just bound; within milliseconds it is alive or stale.
    NotYetListening,
    /// The path was free or stale, and a socket has appeared since.
    JustBound,
}

impl BindStep {
    /// The first step.
    pub const FIRST: Self = Self::Look;

    /// The first step when the lock is already held.
    pub const UNDER_LOCK: Self = Self::LookUnderLock;

    /// What follows an answer. `cleanup` says whether a stale file may be removed. An answer that does
    /// not belong to the step repeats the step.
    pub fn then(self, answer: Answer, cleanup: bool) -> Next {
        let next = match (self, answer) {
            (Self::Look, Answer::Nothing | Answer::Socket(_)) => Self::Lock,
            (Self::Lock, Answer::InUse) => return Next::InUse(InUseReason::Locked),
            (Self::Lock, Answer::Done) => Self::LookUnderLock,
            (Self::LookUnderLock, Answer::Nothing) => Self::RemoveLeftover,
            (Self::LookUnderLock, Answer::Socket(seen)) => Self::Probe(seen),
            (Self::Probe(_), Answer::InUse) => return Next::InUse(InUseReason::Alive),
            (Self::Probe(_), Answer::Busy) => return Next::InUse(InUseReason::Busy),
            (Self::Probe(_), Answer::NotYetListening) => {
                return Next::InUse(InUseReason::NotYetListening);
            }
            (Self::Probe(_), Answer::Nothing) if !cleanup => return Next::Stale,
            (Self::Probe(seen), Answer::Nothing) => Self::LookOnceMore(seen),
            // A process that does not use the lock may have bound it since the probe.
            (Self::LookOnceMore(seen), Answer::Socket(there)) if seen != there => {
                return Next::InUse(InUseReason::JustBound);
            }
            (Self::LookOnceMore(_), Answer::Socket(_)) => Self::RemoveStale,
            (Self::LookOnceMore(_), Answer::Nothing) | (Self::RemoveStale, Answer::Done) => {
                Self::RemoveLeftover
            }
            (Self::RemoveLeftover, Answer::Done) => Self::BindTemporary,
            (Self::BindTemporary, Answer::Done) => Self::Listen,
            (Self::Listen, Answer::Done) => Self::Link,
            (Self::Link, Answer::Done) => Self::RemoveTemporary { linked: true },
            (Self::Link, Answer::InUse) => Self::RemoveTemporary { linked: false },
            (Self::RemoveTemporary { linked: true }, Answer::Done) => return Next::Ours,
            (Self::RemoveTemporary { linked: false }, Answer::Done) => {
                return Next::InUse(InUseReason::JustBound);
            }
            (step, _) => step,
        };
        Next::Do(next)
    }
}
