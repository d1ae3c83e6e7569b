//! The successor: goes on with the listener of the process that it replaces.
//!
//! In: a path, and what decodes the connections. Out: the listener, with what was decoded. May touch: what the
//! predecessor gives; no byte of a connection before it is this process's.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::Path,
    time::{Duration, Instant},
};

use kyneta_uds_core::{Bytes, Saved, SavedBytes, SocketPath, SocketPathError};
use kyneta_uds_handoff::{
    Memory, Received as ReceivedAll, Refusal, TakeOver, TakeOverError, take_over as ask,
};
use kyneta_uds_unix::{BindError, Listener, ListenerOptions};
use tokio::{net::UnixStream, runtime, task::spawn_blocking};

use super::{HandoffPolicy, LISTENER, Offering, VERSION, registered::registered};

/// What this process has taken over.
pub(crate) struct TakenOver<T> {
    pub(crate) listener: Listener,
    /// Absent where the predecessor's has died with it: it is to be bound anew.
    pub(crate) offering: Option<Offering>,
    /// What was decoded of the connections. Absent where the predecessor died before its state had come.
    pub(crate) prepared: Option<T>,
    pub(crate) pid: u32,
    pub(crate) frozen: Pause,
}

/// What a process gives to the one that takes over, beside its listener.
pub(crate) struct Received {
    /// What belongs to no one connection.
    pub(crate) process: Saved,
    /// Registered at the runtime, with their states.
    pub(crate) connections: Vec<(UnixStream, SavedBytes)>,
    /// Bytes of some of them.
    pub(crate) ahead: Vec<Bytes>,
}

/// How long connections are frozen, and what is kept until they are served.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Absent where none were.
    since: Option<Instant>,
    _memory: Memory,
}

impl Pause {
    /// If the first connection is served again now.
    pub(crate) fn until_now(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Why a process that was to take over does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A process listens at the path and offers no handoff.
    #[error("{path} is served by a process that offers no handoff")]
    NotOffered {
        /// The path.
        path: SocketPath,
    },
    /// The process that listens, or this one, has refused. The former serves on.
    #[error("{path} could not be taken over")]
    NotTakenOver {
        /// The path.
        path: SocketPath,
        /// Why.
        source: TakeOverError,
    },
    /// The path cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It was taken over, and the kernel does not let this process go on.
    #[error("{path} was taken over, and cannot be served")]
    NotServed {
        /// The path.
        path: SocketPath,
        /// What the kernel says.
        source: io::Error,
    },
}

impl From<SocketPathError> for ListenError {
    fn from(error: SocketPathError) -> Self {
        Self::Bind(error.into())
    }
}

/// Takes over from the process that listens at `path`; `None` if none offers it. `prepare` is called on a thread that may
/// block, with the listener and what else was received. What it makes must close without a
/// shutdown when it is dropped: the predecessor may have given up meanwhile.
pub(crate) async fn take_over<T: Send + 'static>(
    path: &SocketPath,
    options: ListenerOptions,
    policy: HandoffPolicy,
    prepare: impl FnOnce(&Listener, Received) -> Result<T, Refusal> + Send + 'static,
) -> Result<Option<TakenOver<T>>, ListenError> {
    let Some(at) = path.as_pathname() else {
        return Ok(None); // an abstract name has no lock that could be handed over
    };
    let not_served = |source| ListenError::NotServed {
        path: path.clone(),
        source,
    };
    let resuming = Resuming {
        options,
        path: path.clone(),
        runtime: runtime::Handle::current(),
    };
    let asking = spawn_blocking({
        let at = at.to_owned();
        move || {
            let taken = ask(&at, policy.limits, |received| {
                resuming.prepare(received, prepare)
            });
            (taken, resuming)
        }
    });
    let (taken, resuming) = asking.await.map_err(|error| not_served(error.into()))?;
    let taken = taken.map_err(|source| ListenError::NotTakenOver {
        path: path.clone(),
        source,
    })?;
    let taken = match taken {
        TakeOver::All {
            prepared: (mut listener, offer, prepared),
            pid,
            since,
            memory,
        } => TakenOver {
            listener: listener.taken().map_err(not_served)?,
            offering: Some(Offering::resume(offer, at, policy).map_err(not_served)?),
            prepared: Some(prepared),
            pid,
            frozen: Pause {
                since: Some(since),
                _memory: memory,
            },
        },
        TakeOver::Listener { shared, pid } => TakenOver {
            listener: resuming.listener(shared, at).map_err(not_served)?,
            offering: None,
            prepared: None,
            pid,
            frozen: Pause::default(),
        },
        _ => return Ok(None),
    };
    taken.listener.listen_again().map_err(not_served)?;
    Ok(Some(taken))
}

/// A listener that the predecessor may still serve. Dropped, it removes no file and gives up no lock.
struct Unserved(Option<Listener>);

impl Unserved {
    /// It is this process's now.
    fn taken(&mut self) -> io::Result<Listener> {
        self.0.take().ok_or_else(|| io::Error::other("no listener"))
    }
}

impl Drop for Unserved {
    fn drop(&mut self) {
        if let Some(listener) = self.0.take() {
            listener.leave();
        }
    }
}

/// How a listener is gone on with.
struct Resuming {
    options: ListenerOptions,
    path: SocketPath,
    runtime: runtime::Handle,
}

impl Resuming {
    fn prepare<T>(
        &self,
        mut received: ReceivedAll,
        prepare: impl FnOnce(&Listener, Received) -> Result<T, Refusal>,
    ) -> Result<(Unserved, OwnedFd, T), Refusal> {
        let _inside = self.runtime.enter();
        let unusable = |error: &dyn std::fmt::Display| Refusal::Other(error.to_string());
        let state = &received.process;
        state
            .check("the process", 1..=VERSION)
            .map_err(|error| unusable(&error))?;
        let saved = state.part(LISTENER).map_err(|error| unusable(&error))?;
        let offer = received.shared.pop();
        let offer = offer.ok_or(Refusal::Unexpected("shared"))?;
        let listener = self
            .options
            .clone()
            .resume(self.path.clone(), received.shared, saved);
        let listener = Unserved(Some(listener.map_err(|error| unusable(&error))?));
        let of = listener.0.as_ref().ok_or(Refusal::Unexpected("shared"))?;
        let (descriptors, states): (Vec<_>, Vec<_>) = received.connections.into_iter().unzip();
        let streams = registered(&self.runtime, descriptors).map_err(|error| unusable(&error))?;
        let received = Received {
            process: received.process,
            connections: streams.into_iter().zip(states).collect(),
            ahead: received.ahead,
        };
        let prepared = prepare(of, received)?;
        Ok((listener, offer, prepared))
    }

    /// The listener of a predecessor that died before its state had come: one socket, its lock, and its offer.
    fn listener(&self, mut shared: Vec<OwnedFd>, at: &Path) -> io::Result<Listener> {
        let _offer = shared.pop(); // bound anew
        let file = fs::symlink_metadata(at)?;
        let lock = shared.len() > 1;
        let saved = Saved::new(1, 1)
            .with("sockets", (shared.len() - usize::from(lock)) as u64)
            .with("lock", lock)
            .with("device", file.dev())
            .with("inode", file.ino());
        self.options
            .clone()
            .resume(self.path.clone(), shared, &saved)
    }
}
