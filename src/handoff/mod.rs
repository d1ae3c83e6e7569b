//! A restart that no peer sees: a process that listens hands its listener and its connections to the process that replaces it.
//!
//! In: a role that listens, or the path of one. Out: the same role in another process. May touch: `PATH.handoff`, descriptors, a
//! blocking thread of tokio's.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod halts;
#[cfg(target_os = "linux")]
mod hand_over;
#[cfg(target_os = "linux")]
mod in_parallel;
#[cfg(target_os = "linux")]
mod members;
#[cfg(target_os = "linux")]
mod offering;
#[cfg(target_os = "linux")]
mod peer;
#[cfg(target_os = "linux")]
mod registered;
#[cfg(target_os = "linux")]
mod served;
#[cfg(target_os = "linux")]
mod take_over;
#[cfg(target_os = "linux")]
mod taking_over;
#[cfg(target_os = "linux")]
mod while_listening;

use std::{
    any::Any,
    fmt, io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use kyneta_uds_core::{AHEAD, BoxError, Bytes, Save, Saved, SavedBytes, SharedError};
use kyneta_uds_handoff::Limits;
use kyneta_uds_handshake::Established;
use kyneta_uds_relay::MemberKey;
use tokio::net::UnixStream;

use crate::{event::Event, event_sender::EventSender};

#[cfg(not(target_os = "linux"))]
pub(crate) use self::elsewhere::{Handoffs, Offering, Taken, TakenRole};
#[cfg(target_os = "linux")]
pub(crate) use self::{
    halts::Halts,
    hand_over::{Freeze, Handover, State as FrozenState},
    members::{Members, TakenMembers},
    offering::Offering,
    peer::{PeerHandoffs, TakenRole},
    served::{Handoffs, Taken},
    take_over::{Received, TakenOver, take_over},
    while_listening::WhileListening,
};
#[cfg(target_os = "linux")]
pub use self::{take_over::ListenError, taking_over::TakingOver};

/// Of the parts of a process's state.
const VERSION: u32 = 1;
const LISTENER: &str = "listener";
/// For how long the predecessor leaves the processor to its successor, before it takes its connections apart.
#[cfg(target_os = "linux")]
const YIELD: Duration = Duration::from_millis(20);
const RELAY: &str = "relay";
/// Of a connection: its key in the relay.
const MEMBER: &str = "member";

/// How long a handoff may take.
///
/// ```
/// use kyneta_uds::{HandoffPolicy, Server};
/// use std::time::Duration;
///
/// let policy = HandoffPolicy::default().handlers(Duration::from_secs(2));
/// let server = Server::builder("/run/app/bus.sock").offer_handoff(policy);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandoffPolicy {
    limits: Limits,
    pub(crate) handlers: Duration,
}

impl Default for HandoffPolicy {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            handlers: Duration::from_millis(500),
        }
    }
}

impl HandoffPolicy {
    /// The longest pause that peers see when the successor hangs, 1 s by default. Then this process serves on.
    pub fn frozen(mut self, limit: Duration) -> Self {
        self.limits.frozen = limit;
        self
    }

    /// How long handlers may be at work on what was read, and handshakes may take, before the handoff, 500 ms by default.
    /// With one that takes longer nothing is handed over, and this process serves on.
    pub fn handlers(mut self, limit: Duration) -> Self {
        self.handlers = limit;
        self
    }
}

/// How the channels of a role give their state.
pub(crate) struct SaveFns<C> {
    /// The state of a connection, with a copy of its stream. By its key a relay knows it. Some of its bytes may have gone
    /// ahead.
    pub(crate) save: SaveFn<C>,
    pub(crate) save_ahead: fn(&mut Established<C>) -> Vec<Bytes>,
}

type SaveFn<C> = fn(&Established<C>, Option<MemberKey>, Option<u64>) -> io::Result<Aside>;

/// A copy of the stream of a connection, and its state.
type Aside = (OwnedFd, SavedBytes);

impl<C> Clone for SaveFns<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for SaveFns<C> {}

impl<C> fmt::Debug for SaveFns<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveFns").finish_non_exhaustive()
    }
}

/// That a role offers a handoff. The type of its channels is known where the offer was made.
#[derive(Clone)]
pub(crate) struct Handoff {
    pub(crate) policy: HandoffPolicy,
    save: Arc<dyn Any + Send + Sync>,
}

impl Handoff {
    fn new<C: Save<Io = UnixStream> + 'static>(policy: HandoffPolicy) -> Self {
        let save: SaveFns<C> = SaveFns {
            save,
            save_ahead: Save::save_ahead,
        };
        Self {
            policy,
            save: Arc::new(save),
        }
    }

    /// `None` for a stack that was chosen after the offer.
    pub(crate) fn save<C: 'static>(&self) -> Option<SaveFns<C>> {
        self.save.downcast_ref().copied()
    }
}

impl fmt::Debug for Handoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handoff")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

pub(crate) fn not_handed_over(events: &EventSender, error: impl Into<BoxError>) {
    let error = SharedError::new(error);
    tracing::warn!(%error, "not handed over");
    events.send(Event::NotHandedOver { error });
}

/// In the connection's own task: those of many connections are encoded by all threads of the runtime.
fn save<C: Save<Io = UnixStream>>(
    channel: &Established<C>,
    member: Option<MemberKey>,
    is_ahead: Option<u64>,
) -> io::Result<Aside> {
    let copy = channel.stream().as_fd().try_clone_to_owned()?;
    let mut saved = Saved::new(VERSION, 1);
    if let Some(number) = is_ahead {
        saved = saved.with(AHEAD, number);
    }
    let mut saved = channel.save(saved);
    if let Some(key) = member {
        saved = saved.with(MEMBER, key.0);
    }
    Ok((copy, SavedBytes::from(&saved)))
}
