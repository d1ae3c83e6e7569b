//! Looks at a path from outside: its members, and what passes, without joining.
//!
//! In: a path. Out: what its listener says. May touch: up to three connections, one after the other: it is not known
//! beforehand which protocol the listener speaks.

mod bus;
mod holdings;
mod kyneta;

use std::{fmt, time::Duration};

use bytes::Bytes;
use kyneta_uds_core::{BoxError, Credentials, Observe, PeerId, SharedError, SocketPath};
use tokio::time::timeout;

pub use self::holdings::holdings;
use self::{
    bus::{BusLook, Unadmitted},
    kyneta::KynetaLook,
};
use super::{
    info::MemberInfo,
    wire::{Introduction, Kind, Passed as WirePassed},
};
use crate::subject::Subject;

/// The listener of a bus speaks first. After this long it is tried whether the listener is one of kyneta's.
const FIRST_WORD: Duration = Duration::from_millis(200);

/// How long the listener may say nothing at all.
const SILENCE: Duration = Duration::from_secs(3);

/// How long the listener may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a path cannot be looked at.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// No process listens there, or the connection broke.
    #[error("{} cannot be asked", Subject(path, Some(source)))]
    NotConnected {
        /// The path.
        path: SocketPath,
        /// Why.
        source: SharedError,
    },
    /// The listener closed the connection at once.
    #[error(
        "{path} cannot be asked: its listener closes the connection at once, since it does not allow this process, or has no room, or is another program"
    )]
    Rejected {
        /// The path.
        path: SocketPath,
    },
    /// The listener is a peer of kyneta's that does not tell what it was asked for: one of another implementation, or of
    /// an older version, or a stack without a role.
    #[error(
        "{path} cannot be asked: its listener {listener:?} is a kyneta peer that does not tell its members"
    )]
    NotTold {
        /// The path.
        path: SocketPath,
        /// The listener.
        listener: PeerId,
    },
    /// The listener is a bus, or has messages of its own, and was asked for what only one of kyneta's protocol has.
    #[error("{path} has no documents: its listener is a bus, or has messages of its own")]
    OtherProtocol {
        /// The path.
        path: SocketPath,
    },
    /// The process that listens has said nothing for 3 s.
    #[error("{path} cannot be asked: {}", Silent(*listener))]
    Silent {
        /// The path.
        path: SocketPath,
        /// That process, of [`who`] and [`tap`].
        listener: Option<Credentials>,
    },
    /// What listens there speaks neither protocol.
    #[error(
        "{path} cannot be asked: its listener is neither a bus nor a kyneta peer, or has not answered within {ANSWER:?}"
    )]
    NoBus {
        /// The path.
        path: SocketPath,
    },
}

struct Silent(Option<Credentials>);

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its listener")?;
        if let Some(credentials) = self.0 {
            write!(f, ", {credentials},")?;
        }
        write!(
            f,
            " has said nothing within {SILENCE:?}: it is stopped, overloaded, or another program"
        )
    }
}

/// What the listener of a path speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathKind {
    /// It is a [`Bus`](crate::Bus).
    Bus,
    /// It is a [`Server`](crate::Server), or a [`Peer`](crate::Peer) that listens.
    Kyneta,
}

/// A member that is present.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Present {
    /// The member.
    pub member: MemberInfo,
    /// How long the listener has known it; `None` for the listener of a kyneta path itself.
    pub since: Option<Duration>,
    /// How many frames wait for it at the listener.
    pub waits: u64,
}

impl Present {
    fn read(of: &Introduction) -> Option<Self> {
        Some(Self {
            member: MemberInfo::read(of).ok()?,
            since: of.since_ms.map(Duration::from_millis),
            waits: of.waits.unwrap_or(0),
        })
    }
}

/// A message that has passed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Passed {
    /// Its sender.
    pub from: String,
    /// Its receivers; empty for all.
    pub to: Vec<String>,
    /// Its number among the messages of its sender. At a kyneta path: among those that passed since the start.
    pub seq: u64,
    /// How many messages were not shown before it, because this process was too slow.
    pub missed: u64,
    /// `message`, `request`, `answer`, `failure` or `cancel`.
    pub kind: &'static str,
    /// The message as CBOR; of a failure, its text. At a kyneta path: the payload of a frame, without aliases.
    pub data: Bytes,
}

impl From<WirePassed> for Passed {
    fn from(passed: WirePassed) -> Self {
        let kind = match passed.kind {
            Kind::Plain | Kind::Bundle(_) => "message",
            Kind::Request => "request",
            Kind::Answer(_) => "answer",
            Kind::Failure(_) => "failure",
            Kind::Cancel(_) => "cancel",
        };
        Self {
            from: passed.from,
            to: passed.to,
            seq: passed.n,
            missed: passed.missed,
            kind,
            data: passed.data,
        }
    }
}

/// A connection that looks on.
#[derive(Debug)]
pub struct Look {
    path: SocketPath,
    present: Vec<Present>,
    channel: LookChannel,
}

#[derive(Debug)]
enum LookChannel {
    Bus(Box<BusLook>),
    Kyneta(Box<KynetaLook>),
}

/// The members that are present at a path: at the one of a bus, or one whose listener is a [`Server`](crate::Server)
/// or [`Peer`](crate::Peer) of this library.
///
/// ```
/// # use kyneta_uds::{Bus, BusIncoming, SocketPath, bus::{PathKind, who}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// # let ignore = tower::service_fn(async |_: BusIncoming<String>| Ok::<_, std::convert::Infallible>(()));
/// let bus = Bus::<String>::builder(&path).join(ignore).await?;
/// let look = who(SocketPath::new(&path)?).await?;
/// assert_eq!(look.kind(), PathKind::Bus);
/// assert_eq!(look.present().len(), 1);
/// # bus.dispose().await;
/// # Ok(())
/// # }
/// ```
///
/// A listener that says nothing is given up after 3 s, one that answers has 5 s. Cancel safe.
///
/// # Errors
/// [`LookError`]
pub async fn who(path: SocketPath) -> Result<Look, LookError> {
    look(path, false).await
}

/// What passes at a path from now on. The listener never waits for this process: it misses what it is too slow for,
/// beyond 1,024 messages or 16 MiB. Up to 16 processes may look on at a listener.
///
/// At the path of a bus, each message of a member is shown once. At that of a kyneta listener, each message that
/// the listener gets and each one that it sends is.
///
/// Beginning to look takes as long as [`who`]. Cancel safe.
///
/// # Errors
/// [`LookError`]
pub async fn tap(path: SocketPath) -> Result<Look, LookError> {
    look(path, true).await
}

async fn look(path: SocketPath, tap: bool) -> Result<Look, LookError> {
    let mut bus = Unadmitted::new(&path).await?;
    let listener = bus.listener();
    if timeout(FIRST_WORD, bus.is_admitted()).await == Ok(true) {
        return look_at_bus(bus, path, tap).await;
    }
    // A listener may serve one connection after the other.
    drop(bus);
    let observe = match tap {
        true => Observe::Messages,
        false => Observe::Members,
    };
    match KynetaLook::new(&path, observe).await {
        Ok((channel, present)) => Ok(Look {
            path,
            present,
            channel: LookChannel::Kyneta(Box::new(channel)),
        }),
        // A hub that was slow.
        Err(LookError::OtherProtocol { .. }) => {
            let mut bus = Unadmitted::new(&path).await?;
            match timeout(ANSWER, bus.is_admitted()).await {
                Ok(true) => look_at_bus(bus, path, tap).await,
                _ => Err(LookError::NoBus { path }),
            }
        }
        Err(LookError::Silent { path, .. }) => Err(LookError::Silent { path, listener }),
        Err(error) => Err(error),
    }
}

async fn look_at_bus(bus: Unadmitted, path: SocketPath, tap: bool) -> Result<Look, LookError> {
    let (channel, present) = bus.ask(&path, tap).await?;
    let channel = LookChannel::Bus(Box::new(channel));
    Ok(Look {
        path,
        present,
        channel,
    })
}

impl Look {
    /// What the listener speaks.
    pub const fn kind(&self) -> PathKind {
        match self.channel {
            LookChannel::Bus(_) => PathKind::Bus,
            LookChannel::Kyneta(_) => PathKind::Kyneta,
        }
    }

    /// The members that were present when it began; at a kyneta path, the listener first.
    pub fn present(&self) -> &[Present] {
        &self.present
    }

    /// The next message that has passed; `None` when the listener has ended. At once, if it is only asked [`who`] is
    /// there.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LookError::NotConnected`]: the connection is broken.
    pub async fn next(&mut self) -> Result<Option<Passed>, LookError> {
        let next = match &mut self.channel {
            LookChannel::Bus(channel) => channel.next().await,
            LookChannel::Kyneta(channel) => channel.next().await,
        };
        next.map_err(|error| not_connected(&self.path, error))
    }
}

fn not_connected(path: &SocketPath, source: BoxError) -> LookError {
    LookError::NotConnected {
        path: path.clone(),
        source: SharedError::new(source),
    }
}
