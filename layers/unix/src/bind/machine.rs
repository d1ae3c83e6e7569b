//! How a path is taken, as a pure machine: which step follows from which.
//!
//! In: what came of the step before. Out: the next one, or how it ended. Touches nothing.
//!
//! ```text
//! look -> lock -> look again -> probe -> look once more -> remove the stale one
//!                     |                                       |
//!                     +-> remove what a crash left <----------+
//!                         -> bind a temporary name -> listen -> link -> remove the temporary name
//! ```
//!
//! The path is looked at before the lock is, so that one that cannot be had leaves no lock file
//! behind; and again under the lock, because it may have changed. Only a socket behind which nobody
//! listens is removed. The path appears by a link, with somebody listening behind it, or not at all
//! because somebody was faster.

/// Which file it is.
///
/// The time of the last change is part of it: a file system may give the number of a removed file to
/// the next one at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// When its status last changed: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
}

impl FileId {
    /// True for one file, whatever has been changed about it. Tells for sure only while the file is
    /// held open, as a bound socket holds its own.
    pub const fn is_file(self, other: Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// One step in taking a path.
///
/// ```
/// use kyneta_uds_unix::claim::{Answer, Claim, Next};
///
/// let answers = [Answer::Nothing, Answer::Done, Answer::Nothing];
/// let mut step = Claim::FIRST;
/// for answer in answers {
///     let Next::Do(next) = step.then(answer, true) else { break };
///     step = next;
/// }
/// assert_eq!(step, Claim::RemoveLeftover);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// See what is at the path: [`Answer::Nothing`] or [`Answer::Socket`].
    Look,
    /// Take the lock beside it: [`Answer::Done`] or [`Answer::InUse`].
    Lock,
    /// As [`Claim::Look`].
    LookUnderLock,
    /// Connect to the socket that was seen: [`Answer::Nothing`] when nobody listens there, else
    /// [`Answer::InUse`] or [`Answer::Busy`].
    Probe(FileId),
    /// As [`Claim::Look`]: is it still the one that was probed?
    LookOnceMore(FileId),
    /// Remove it: [`Answer::Done`].
    RemoveStale,
    /// Remove a socket at the temporary name, which is that of a crashed holder of the lock:
    /// [`Answer::Done`].
    RemoveLeftover,
    /// Bind a socket to the temporary name, and set its mode: [`Answer::Done`].
    BindTemporary,
    /// Listen on it: [`Answer::Done`].
    Listen,
    /// Link it to the path: [`Answer::Done`], or [`Answer::InUse`] when something is there.
    Link,
    /// Remove the temporary name: [`Answer::Done`].
    RemoveTemporary {
        /// The path is ours.
        linked: bool,
    },
}

/// What came of a step. A step that fails otherwise ends the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// Nothing, or nobody, is there.
    Nothing,
    /// A socket is there.
    Socket(FileId),
    /// Somebody else has it.
    InUse,
    /// Somebody else has it and has not accepted for long: the backlog is full.
    Busy,
    /// Nobody is there yet, but the socket is so new that somebody may be about to listen.
    Newborn,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// This step.
    Do(Claim),
    /// The end: the path is ours.
    Ours,
    /// The end: it is somebody else's.
    InUse(Because),
    /// The end: a stale file is there, and may not be removed.
    Stale,
}

/// How we know that a path is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Because {
    /// The lock is held.
    Locked,
    /// A connection was taken.
    Alive,
    /// A connection was put off.
    Busy,
    /// Its socket is newly bound: in a moment it is alive, or stale.
    Newborn,
    /// The path was empty, or stale, and is not any more.
    JustBound,
}

impl Claim {
    /// The first step.
    pub const FIRST: Self = Self::Look;

    /// The first step of one who holds the lock already.
    pub const UNDER_LOCK: Self = Self::LookUnderLock;

    /// What follows from an answer. `cleanup` says whether a stale file may be removed. An answer
    /// that does not belong to the step asks for the step again.
    pub fn then(self, answer: Answer, cleanup: bool) -> Next {
        let next = match (self, answer) {
            (Self::Look, Answer::Nothing | Answer::Socket(_)) => Self::Lock,
            (Self::Lock, Answer::InUse) => return Next::InUse(Because::Locked),
            (Self::Lock, Answer::Done) => Self::LookUnderLock,
            (Self::LookUnderLock, Answer::Nothing) => Self::RemoveLeftover,
            (Self::LookUnderLock, Answer::Socket(seen)) => Self::Probe(seen),
            (Self::Probe(_), Answer::InUse) => return Next::InUse(Because::Alive),
            (Self::Probe(_), Answer::Busy) => return Next::InUse(Because::Busy),
            (Self::Probe(_), Answer::Newborn) => return Next::InUse(Because::Newborn),
            (Self::Probe(_), Answer::Nothing) if !cleanup => return Next::Stale,
            (Self::Probe(seen), Answer::Nothing) => Self::LookOnceMore(seen),
            // Somebody who keeps no lock may have bound it since it was probed.
            (Self::LookOnceMore(seen), Answer::Socket(there)) if seen != there => {
                return Next::InUse(Because::JustBound);
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
                return Next::InUse(Because::JustBound);
            }
            (step, _) => step,
        };
        Next::Do(next)
    }
}
