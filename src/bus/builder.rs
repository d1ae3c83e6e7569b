//! The settings of a bus, and how it is joined.

use std::{marker::PhantomData, num::NonZeroU32, time::Duration};

use kyneta_uds_bus::{Incarnation, MemberConfig, SlowPolicy};
use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{BoxError, Identity, SharedError, SocketPath, SocketPathError};
use kyneta_uds_framing::FramingLayer;
use kyneta_uds_negotiate::{NegotiateLayer, Role};
use kyneta_uds_queue::queue;
use kyneta_uds_unix::{AuthorizeLayer, ListenerOptions, UnixConnector};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

use super::{
    accept::{BusAcceptHandler, config, inputs},
    codec::BusCodec,
    deliver::deliver,
    event::{BusEventReader, BusEvents},
    handle::Bus,
    incoming::BusIncoming,
    info::MemberInfo,
    make::MakeBusChannel,
    refusal::NotAdmittedToBus,
    shared::{Settings, Shared},
    wire::Wire,
};
use crate::{builder::anonymous, waiting::Waiting};

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
    identity: Identity,
    protocols: Vec<String>,
    listener: ListenerOptions,
    delivery: Delivery,
    slow: SlowPolicy,
    regroup: Duration,
    stall: Duration,
    window: usize,
    max_bytes: usize,
    max_message: usize,
    join_timeout: Option<Duration>,
    events: BusEvents,
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
    #[error("{path} cannot be joined")]
    InTheWay {
        /// The path.
        path: SocketPath,
        /// The obstacle.
        source: SharedError,
    },
    /// There was no role within the [`join_timeout`](BusBuilder::join_timeout).
    #[error("{path} could not be joined within {waited:?}{}", because(why.as_ref()))]
    TimedOut {
        /// The path.
        path: SocketPath,
        /// How long it was tried.
        waited: Duration,
        /// The last reason; absent when the time was less than a second.
        why: Option<Waiting>,
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
            identity: anonymous(),
            protocols: Vec::new(),
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
            message: PhantomData,
        }
    }

    /// Its id, name and type. A service with a generated id by default.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
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
    /// has [missed](super::BusEvent::Missed).
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
    /// a larger message waits alone.
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

    /// The events from the start on.
    pub fn events(&self) -> BusEventReader {
        self.events.subscribe()
    }
}

impl<M: Serialize + DeserializeOwned + Send + 'static> BusBuilder<M> {
    /// Joins the bus at the path; ready when this member is there, and has met those that are there already (it waits
    /// for them for a second at most). `handler` is called with one message after the other.
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
        let bus = self.join_lazy(handler)?;
        let joined = match limit {
            Some(limit) => timeout(limit, bus.joined()).await,
            None => Ok(bus.joined().await),
        };
        match joined {
            Ok(joined) => joined.map(|()| bus),
            Err(_) => Err(BusJoinError::TimedOut {
                path: bus.path().clone(),
                waited: limit.unwrap_or_default(),
                why: bus.waiting(),
            }),
        }
    }

    /// As [`join`](Self::join), without waiting: [`Bus::joined`] waits. A message that is published before goes to the
    /// members that are listed then: to none.
    ///
    /// # Errors
    /// [`BusJoinError::Path`]: no socket can have this path.
    pub fn join_lazy<H>(mut self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let path = self.path?;
        if self.protocols.is_empty() {
            self.protocols.push("bus/1".to_owned());
        }
        let member = MemberConfig::default()
            .slow(self.slow)
            .max_messages(usize::MAX)
            .max_bytes(usize::MAX);
        let settings = Settings {
            me: MemberInfo::of_this_process(&self.identity, incarnation()),
            protocols: self.protocols,
            member,
            window: self.window,
            max_bytes: self.max_bytes,
            max_message: self.max_message,
            regroup: self.regroup,
            stall: self.stall,
            fast: self.delivery == Delivery::Fast,
        };
        let shared = Shared::new(settings, self.events);
        let allow = self.listener.allows().clone();
        let accept_handler = BusAcceptHandler {
            shared: shared.clone(),
        };
        let negotiate = NegotiateLayer::<_, Wire>::with_accept_handler(accept_handler)
            .listener(self.listener)
            .allow_listener(allow.clone())
            .regroup(Duration::ZERO);
        let roles = negotiate.role_watch();
        // Room for what a frame holds beside the message.
        let frames = FramingLayer::new().max_frame(self.max_message.saturating_add(1024));
        let stack = AuthorizeLayer::new(allow)
            .layer(CborLayer::with_codec(BusCodec).layer(frames.layer(UnixConnector::new())));
        let make = MakeBusChannel::new(stack, shared.clone());
        let mut negotiate = negotiate.layer(make);
        let (handle, driver) = queue(config(&shared));
        let inputs = inputs(shared.clone());
        let bus = Bus::new(shared.clone(), handle, roles, path.clone());
        tokio::spawn(deliver(shared.clone(), handler));
        tokio::spawn(async move {
            let Ok(channel) = (&mut negotiate).oneshot(path).await;
            driver.drive(channel, inputs).await;
            shared.role(Role::Disposed);
            shared.over();
        });
        Ok(bus)
    }
}

impl<M> Bus<M> {
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
            match refused.wait_for(Option::is_some).await {
                Ok(why) => (*why).clone(),
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
                    // A welcome with nobody there changes no list.
                    let _ = timeout(Duration::from_millis(5), present.changed()).await;
                }
            };
            let _ = timeout(MEETING, all).await;
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
