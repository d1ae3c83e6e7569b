//! The settings of a bus, and how it is joined.
//!
//! In: a path, settings, a handler. Out: a [`Bus`](crate::Bus). May touch: what the stack touches, the path, and two tasks of
//! tokio's.

use std::{marker::PhantomData, num::NonZeroU32, sync::Arc, time::Duration};

use kyneta_uds_bus::{Incarnation, MemberConfig, SlowPolicy, max_frame};
use kyneta_uds_cbor::{CborChannel, CborLayer};
use kyneta_uds_core::{BoxError, Frames, Identity, SharedError, SocketPath, SocketPathError};
use kyneta_uds_framing::{Framing, FramingLayer};
use kyneta_uds_negotiate::{NegotiateLayer, Only, Role};
use kyneta_uds_queue::queue;
use kyneta_uds_unix::{AuthorizeLayer, Listener, ListenerOptions, UnixConnector, UnixTarget};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

use super::{
    accept::{BusAcceptHandler, config, inputs},
    channel::{SaveFn, save},
    codec::BusCodec,
    deliver::deliver,
    event::{BusEventReader, BusEvents},
    handle::Bus,
    handlers::{Handlers, One},
    handoff::TakenBus,
    incoming::BusIncoming,
    info::MemberInfo,
    make::MakeBusChannel,
    refusal::NotAdmittedToBus,
    shared::{Settings, Shared},
    wire::Wire,
};
use crate::{HandoffPolicy, builder::anonymous, subject::Subject, waiting::Waiting};
#[cfg(target_os = "linux")]
use crate::{bus::handoff::BusHandoffs, handoff::WhileListening as _};

/// What the future of a message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// Each receiver has it, or has left and is named.
    #[default]
    Once,
    /// Nothing: it is ready at once. The message is kept and arrives all the same.
    Fast,
}

/// The settings of a [`Bus`], before it is joined.
#[must_use = "a builder does nothing until it joins"]
#[derive(Debug)]
pub struct BusBuilder<M> {
    path: Result<SocketPath, SocketPathError>,
    identity: Option<Identity>,
    protocols: Vec<String>,
    pub(super) handoff: Option<HandoffPolicy>,
    pub(super) listener: ListenerOptions,
    delivery: Delivery,
    slow: SlowPolicy,
    regroup: Duration,
    stall: Duration,
    window: usize,
    max_bytes: usize,
    max_message: usize,
    pub(super) join_timeout: Option<Duration>,
    pub(super) events: BusEvents,
    /// The one role that it takes; of a listener, one that is bound already.
    pub(super) only: Option<Only>,
    pub(super) bound: Option<Listener>,
    #[cfg(feature = "machines")]
    machines: Option<crate::machines::Machines>,
    message: PhantomData<fn(M)>,
}

/// Why a bus could not be joined.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BusJoinError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// The listener does not admit this member.
    #[error("{path} cannot be joined: {why}")]
    NotAdmitted {
        /// The path.
        path: SocketPath,
        /// Why.
        why: NotAdmittedToBus,
    },
    /// There is an obstacle at the path that needs an operator.
    #[error("{} cannot be joined", Subject(path, Some(source)))]
    InTheWay {
        /// The path.
        path: SocketPath,
        /// The obstacle.
        source: SharedError,
    },
    /// There was no role within the [`join_timeout`](BusBuilder::join_timeout).
    #[error(
        "{} could not be joined within {waited:?}{}",
        Subject(path, why.as_ref().map(Waiting::why)),
        because(why.as_ref())
    )]
    TimedOut {
        /// The path.
        path: SocketPath,
        /// How long it was tried.
        waited: Duration,
        /// The last reason; absent when the time was less than a second.
        why: Option<Waiting>,
    },
    /// The process that listens, or this one, has refused a handoff. The former listens on.
    #[error("{path} could not be taken over")]
    NotTakenOver {
        /// The path.
        path: SocketPath,
        /// Why.
        source: SharedError,
    },
    /// It ended before it had joined: its runtime has ended.
    #[error("the member of {path} ended before it had joined")]
    Ended {
        /// The path.
        path: SocketPath,
    },
}

fn because(why: Option<&Waiting>) -> String {
    why.map_or_else(String::new, |waiting| format!(": {}", waiting.why()))
}

/// How long a new member waits to meet all others.
const MEETING: Duration = Duration::from_secs(1);

impl<M> BusBuilder<M> {
    pub(super) fn new(path: Result<SocketPath, SocketPathError>) -> Self {
        Self {
            path,
            identity: None,
            protocols: Vec::new(),
            handoff: None,
            listener: ListenerOptions::new(),
            delivery: Delivery::Once,
            slow: SlowPolicy::Wait,
            regroup: Duration::from_secs(5),
            stall: Duration::from_secs(5),
            window: 4096,
            max_bytes: 16 << 20,
            max_message: 64 << 20,
            join_timeout: Some(Duration::from_secs(30)),
            events: BusEvents::new(),
            only: None,
            bound: None,
            #[cfg(feature = "machines")]
            machines: None,
            message: PhantomData,
        }
    }

    /// Its id, name and type. A service with a generated id by default.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The protocol of the messages, such as `shop/1`. A member with another one is refused, with both names. May be
    /// called several times, the preferred one first: two members need one in common, so that a bus can be upgraded
    /// member by member. `bus/1` by default.
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// The mode of the socket file, which processes may connect, and how many. [`ListenerOptions::new`] by default.
    pub fn listener(mut self, options: ListenerOptions) -> Self {
        self.listener = options;
        self
    }

    /// What the future of a message waits for. [`Delivery::Once`] by default.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// When this member is too slow, the others wait for it, until the [stall limit](Self::stall_limit). The default.
    pub fn when_slow_wait(mut self) -> Self {
        self.slow = SlowPolicy::Wait;
        self
    }

    /// When this member is too slow, it gets the newest `count` of the messages to all, and is told how many it
    /// has [missed](super::BusEvent::Missed). So many wait at the listener, and so many and a quarter for its handler.
    pub fn when_slow_keep_newest(mut self, count: NonZeroU32) -> Self {
        self.slow = SlowPolicy::Newest(count);
        self
    }

    /// When this member is too slow, it is disconnected.
    pub fn when_slow_disconnect(mut self) -> Self {
        self.slow = SlowPolicy::Disconnect;
        self
    }

    /// How long a member that is gone without a word is expected back, and how long a new listener waits for the
    /// members of the former one. 5 s by default.
    pub fn regroup(mut self, regroup: Duration) -> Self {
        self.regroup = regroup;
        self
    }

    /// As the listener: how long a member may acknowledge nothing while messages wait for it. Then it is disconnected,
    /// and counts as left. 5 s by default.
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.stall = limit;
        self
    }

    /// How many messages of this member may wait for acknowledgements, and their bytes. 4,096 and 16 MiB by default;
    /// a larger message waits alone. A handle that goes on sending holds up to 16 places for its next messages, as long as
    /// half of them is free.
    ///
    /// As the listener it trusts no window of others: a member that has 16 times as much on the way to one other member, and
    /// [one message](Self::max_message) more, is [disconnected](super::BusEvent::BeyondWindow). So give the members of a
    /// bus windows of the same order.
    pub fn window(mut self, messages: usize, bytes: usize) -> Self {
        self.window = messages.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self.max_bytes = bytes;
        self
    }

    /// The largest message, encoded, bytes. 64 MiB by default.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// How long [`join`](Self::join) may take. 30 s by default; `None` waits for ever.
    pub fn join_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.join_timeout = timeout.into();
        self
    }

    /// Links to other machines, while this member listens: the members of all machines are on one bus, with the same
    /// promise. None by default. See [`machines`](crate::machines).
    #[cfg(feature = "machines")]
    pub fn machines(mut self, machines: crate::machines::Machines) -> Self {
        self.machines = Some(machines);
        self
    }

    /// The events from the start on.
    pub fn events(&self) -> BusEventReader {
        self.events.subscribe()
    }
}

impl<M: Serialize + DeserializeOwned + Send + 'static> BusBuilder<M> {
    /// Joins the bus at the path; ready when this member is there, and has met those that are there already. It waits for
    /// them for a second at most: nothing is owed to one that does not answer until it does, which is a warning in the log.
    /// `handler` is called with one message after the other.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`BusJoinError`], with the path.
    pub async fn join<H>(self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let limit = self.join_timeout;
        self.join_lazy(handler)?.join_within(limit).await
    }

    /// As [`join`](Self::join), without waiting: [`Bus::joined`] waits. A message that is published before goes to the
    /// members that are listed then: to none.
    ///
    /// # Errors
    /// [`BusJoinError::Path`]: no socket can have this path.
    pub fn join_lazy<H>(self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        self.start_default(One(handler))
    }

    /// Joins over the default stack.
    pub(super) fn start_default(self, handlers: impl Handlers<M>) -> Result<Bus<M>, BusJoinError> {
        let frames = self.default_frames();
        self.start(frames, Some(save), handlers, None)
    }

    /// Joins over what `frames` makes, whose connections give their state by `save`.
    pub(super) fn start<S, H>(
        mut self,
        frames: S,
        save: Option<SaveFn<CborChannel<S::Response, BusCodec>>>,
        handlers: H,
        taken: Option<TakenBus<CborChannel<S::Response, BusCodec>>>,
    ) -> Result<Bus<M>, BusJoinError>
    where
        S: Service<UnixTarget, Error: Into<BoxError> + Send + 'static, Future: Send>
            + Clone
            + Send
            + 'static,
        S::Response: Frames<Error: Send> + Send + 'static,
        H: Handlers<M>,
    {
        let path = self.path()?;
        let settings = self.settings();
        let resumed = taken.as_ref().and_then(|taken| taken.shared());
        let shared = resumed.unwrap_or_else(|| Shared::new(settings, self.events));
        let allow = self.listener.allows().clone();
        let accept_handler = BusAcceptHandler {
            shared: shared.clone(),
        };
        let negotiate = NegotiateLayer::<_, Wire>::with_accept_handler(accept_handler)
            .listener(self.listener)
            .allow_listener(allow.clone())
            .regroup(Duration::ZERO);
        let negotiate = match self.only {
            Some(only) => negotiate.only(only),
            None => negotiate,
        };
        let roles = negotiate.role_watch();
        #[cfg(feature = "machines")]
        let links = self.machines.map(|machines| {
            let side = crate::machines::Side::Bus(shared.clone());
            machines.start(side, roles.clone())
        });
        let stack = AuthorizeLayer::new(allow).layer(CborLayer::with_codec(BusCodec).layer(frames));
        let make = MakeBusChannel::new(stack, save, shared.clone());
        let mut negotiate = negotiate.layer(make);
        let (handle, driver) = queue(config(&shared));
        let inputs = inputs(shared.clone());
        let bus = Bus::new(shared.clone(), handle.clone(), roles.clone(), path.clone());
        #[cfg(feature = "machines")]
        let bus = bus.with_links(links.clone());
        let taken = taken.map(|taken| taken.go_on(&shared));
        let bound = self.bound.map(|listener| (listener, None, Vec::new()));
        let (channel, offering) = match taken.or(bound) {
            Some((listener, offering, members)) => {
                let channel = negotiate.resume(path.clone(), listener, members);
                (Some(channel), offering)
            }
            None => (None, None),
        };
        #[cfg(target_os = "linux")]
        BusHandoffs {
            shared: shared.clone(),
            path: path.clone(),
            roles,
            handle,
        }
        .start(self.handoff, offering);
        #[cfg(not(target_os = "linux"))]
        let _ = (self.handoff, offering, roles, handle);
        tokio::spawn(deliver(shared.clone(), handlers));
        tokio::spawn(async move {
            let _over = OverOnDrop(shared.clone());
            let channel = match channel {
                Some(channel) => channel,
                None => {
                    let Ok(channel) = (&mut negotiate).oneshot(path).await;
                    channel
                }
            };
            driver.drive(channel, inputs).await;
            shared.role(Role::Disposed);
            #[cfg(feature = "machines")]
            if let Some(links) = links {
                links.finished().await;
            }
        });
        Ok(bus)
    }
}

/// Ends what waits for the bus, also where its task is dropped with the runtime.
struct OverOnDrop(Arc<Shared>);

impl Drop for OverOnDrop {
    fn drop(&mut self) {
        self.0.over();
    }
}

impl<M> BusBuilder<M> {
    /// What makes the frames of a bus, unless it is [another stack](Self::frames).
    pub(super) fn default_frames(&self) -> Framing<UnixConnector> {
        let frames = FramingLayer::new().max_frame(max_frame(self.max_message));
        frames.layer(UnixConnector::new())
    }

    pub(super) fn path(&self) -> Result<SocketPath, BusJoinError> {
        Ok(self.path.clone()?)
    }

    /// True where the id was chosen.
    pub(super) const fn is_named(&self) -> bool {
        self.identity.is_some()
    }

    pub(super) fn settings(&mut self) -> Settings {
        if self.protocols.is_empty() {
            self.protocols.push("bus/1".to_owned());
        }
        let identity = self.identity.get_or_insert_with(anonymous);
        let member = MemberConfig::default()
            .slow(self.slow)
            .max_messages(usize::MAX)
            .max_bytes(usize::MAX);
        Settings {
            me: MemberInfo::of_this_process(identity, incarnation()),
            protocols: self.protocols.clone(),
            member,
            slow: self.slow,
            window: self.window,
            max_bytes: self.max_bytes,
            max_message: self.max_message,
            regroup: self.regroup,
            stall: self.stall,
            fast: self.delivery == Delivery::Fast,
        }
    }
}

impl<M> Bus<M> {
    /// The member, when it is there.
    pub(super) async fn join_within(self, limit: Option<Duration>) -> Result<Self, BusJoinError> {
        let joined = match limit {
            Some(limit) => timeout(limit, self.joined()).await,
            None => Ok(self.joined().await),
        };
        match joined {
            Ok(joined) => joined.map(|()| self),
            Err(_) => Err(BusJoinError::TimedOut {
                path: self.path().clone(),
                waited: limit.unwrap_or_default(),
                why: self.waiting(),
            }),
        }
    }

    /// Waits until this member is there, as [`BusBuilder::join`] does, for as long as that takes.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`BusBuilder::join`], but for the time.
    pub async fn joined(&self) -> Result<(), BusJoinError> {
        let path = || self.path().clone();
        let mut refused = self.shared().refused.subscribe();
        let not_admitted = async {
            // Not in the match: its guard would be held for as long as it waits.
            let why = refused.wait_for(Option::is_some).await;
            match why.map(|why| (*why).clone()) {
                Ok(why) => why,
                Err(_) => std::future::pending().await,
            }
        };
        let met = async {
            match self.roles().joined().await {
                Ok(Role::Disposed) => return Err(BusJoinError::Ended { path: path() }),
                Ok(_) => {}
                Err(source) => {
                    return Err(BusJoinError::InTheWay {
                        path: path(),
                        source,
                    });
                }
            }
            let mut present = self.shared().present.subscribe();
            let all = async {
                while !self.shared().has_met_all() {
                    // A welcome where no other member is there changes no list.
                    let _ = timeout(Duration::from_millis(5), present.changed()).await;
                }
            };
            if timeout(MEETING, all).await.is_err() {
                let path = self.path();
                tracing::warn!(%path, "joined without having met all members: one does not answer");
            }
            Ok(())
        };
        tokio::select! {
            biased;
            why = not_admitted => match why {
                Some(why) => Err(BusJoinError::NotAdmitted { path: path(), why }),
                None => Err(BusJoinError::Ended { path: path() }),
            },
            met = met => met,
        }
    }
}

/// Nanoseconds since boot: of two processes, and of two members in one, the later one has the larger number.
fn incarnation() -> Incarnation {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let now = clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Incarnation(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
