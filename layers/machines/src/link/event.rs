//! What a link is told, what it answers, and why there is none.
//!
//! Touches nothing.

use std::{fmt, time::Duration};

/// A connection, as the shell numbers it. No number is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

/// Which process of a machine: a random number that each process makes when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// Which part this side has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has the smaller key: it dials.
    Dials,
    /// It has the larger key: it answers, and knocks when it has no link.
    Answers,
}

/// What a dial begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Which process dials.
    pub by: Incarnation,
    /// Its number; each further one of the process is larger.
    pub attempt: u64,
}

/// A process without a link asks the other machine to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Knock {
    /// Which process asks.
    pub by: Incarnation,
    /// The newest dial that it has accepted.
    pub seen: Option<Hello>,
}

/// What happens to a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// This side begins.
    Start,
    /// The time of the last [`Effect::Timer`] has passed.
    TimerFired,
    /// A dial was welcomed.
    Dialed {
        /// Which dial.
        attempt: u64,
        /// The connection.
        conn: Conn,
        /// The process that has welcomed it.
        other: Incarnation,
    },
    /// A knock was heard.
    KnockHeard {
        /// Which knock.
        attempt: u64,
    },
    /// A dial or a knock has failed, or was refused.
    Failed {
        /// Which.
        attempt: u64,
        /// Why.
        reason: Reason,
    },
    /// The other machine dials, and is what its key says.
    Accepted {
        /// The connection.
        conn: Conn,
        /// What it began with.
        hello: Hello,
    },
    /// The other machine knocks.
    Knocked {
        /// What it said.
        knock: Knock,
    },
    /// A connection has ended.
    Ended {
        /// Which.
        conn: Conn,
        /// Why.
        reason: DownReason,
    },
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Open a connection that is to be the link.
    Dial {
        /// Its number.
        attempt: u64,
    },
    /// Open a connection and ask to be dialed.
    Knock {
        /// Its number.
        attempt: u64,
        /// What to say.
        knock: Knock,
    },
    /// Answer a dial: this is the link.
    Welcome {
        /// The connection.
        conn: Conn,
    },
    /// Answer a dial with a refusal, and close it.
    Refuse {
        /// The connection.
        conn: Conn,
        /// Why.
        refusal: Refusal,
    },
    /// Close a connection. Nothing more is read from it.
    Close {
        /// Which.
        conn: Conn,
    },
    /// Tell [`Input::TimerFired`] after this time. It takes the place of a timer before it.
    Timer {
        /// The time.
        after: Duration,
    },
    /// The link is up: payload passes.
    Up {
        /// Over which connection.
        conn: Conn,
    },
    /// The link is down.
    Down {
        /// Over which connection it was.
        conn: Conn,
        /// Why.
        reason: DownReason,
    },
    /// A newer link takes the place of this one.
    Replaced {
        /// Over which connection it was.
        conn: Conn,
    },
    /// A process of the other machine does not get a link: another one has its key, or its address.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// There is no link, and why. Each reason once in a row.
    Absent {
        /// Why.
        reason: Reason,
    },
}

/// Why a machine refuses another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its key is not named there.
    #[error("the key is not one of those that are named there")]
    UnknownKey,
    /// It calls itself otherwise than it is called there.
    #[error("the key has another name there")]
    OtherName,
    /// Another process with the same key has taken its place.
    #[error("another process uses the same key")]
    KeyUsedTwice,
    /// A newer link of the same process was accepted before.
    #[error("a newer link was accepted before")]
    Outdated,
    /// The machine with the larger key has dialed.
    #[error("the machine with the smaller key dials")]
    WrongDirection,
}

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The other machine cannot be reached; what the engine says.
    Unreachable(String),
    /// It did not answer in time.
    Timeout,
    /// It refuses this one.
    Refused(Refusal),
    /// What it says is not of this protocol, or of another version.
    Protocol(String),
    /// It calls itself otherwise than it is called here.
    OtherName(String),
    /// It has heard that it is to dial, and does not.
    NotDialed,
    /// A connection was opened, and has ended before both sides had said what they pass over it.
    EndedEarly(String),
}

/// Why a link that was up is down.
///
/// ```
/// use kyneta_uds_machines::DownReason;
/// let reason = DownReason::IdleTimeout("timed out".into());
/// assert_eq!(reason.to_string(), "nothing came from the other machine for too long: timed out");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// The other machine gave no sign of life for the engine's idle timeout: it is gone, or the way to it is cut.
    #[error("nothing came from the other machine for too long: {0}")]
    IdleTimeout(String),
    /// The other machine has ended it in good order: its listener ends, or gives this link up.
    #[error("the other machine has ended it in good order")]
    Finished,
    /// The other machine has closed or reset it, and what it says.
    #[error("the other machine has closed it: {0}")]
    Closed(String),
    /// The other machine asks for a new link: it has lost this one, or another process listens there.
    #[error("the other machine has lost it, or has a new listener, and asks for a new one")]
    Knocked,
    /// A newer link has taken its place. In a status alone: the event is [`LinkEvent::Replaced`](crate::LinkEvent::Replaced).
    #[error("a newer link has taken its place")]
    Replaced,
    /// This machine has ended it, and why.
    #[error("this machine has ended it: {0}")]
    EndedHere(String),
    /// The engine's stream has failed.
    #[error("its stream has failed: {0}")]
    Failed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "it cannot be reached: {error}"),
            Self::Timeout => f.write_str("it did not answer in time"),
            Self::Refused(refusal) => write!(f, "it refuses this machine: {refusal}"),
            Self::Protocol(error) => write!(f, "what it says cannot be read: {error}"),
            Self::OtherName(name) => write!(f, "it calls itself {name:?}"),
            Self::EndedEarly(why) => write!(f, "what was opened has ended at its first words: {why}"),
            Self::NotDialed => f.write_str(
                "it was asked to dial and does not: its configuration may lack this machine's address, or another process has its key",
            ),
        }
    }
}
