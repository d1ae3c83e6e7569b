//! The successor: goes on as the member of the process that it replaces.
//!
//! In: a builder. Out: the bus, as that of another process or as always. May touch: what the predecessor gives; no byte of
//! a connection before it is this process's.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kyneta_uds_cbor::{Cbor, CborChannel, CborLayer};
use kyneta_uds_core::{BoxError, Channel, Frames, Resume, Save, SharedError};
use kyneta_uds_framing::Framing;
use kyneta_uds_handoff::Refusal;
use kyneta_uds_negotiate::Role;
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::{ConnectionPermit, Listener, UnixConnector, UnixTarget};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;
use tower_layer::Layer as _;
use tower_service::Service;

use super::BUS;
use crate::{
    bus::{
        accept::spawn,
        builder::{BusBuilder, BusJoinError},
        channel::{BusChannel, save},
        codec::BusCodec,
        event::{BusEvent, BusEvents},
        handle::Bus,
        handlers::One,
        incoming::BusIncoming,
        own_stack::BusOverFrames,
        shared::{Resumed, Settings, Shared, whose},
        wire::Wire,
    },
    handoff::{HandoffPolicy, Offering, Received, TakenOver, take_over},
};

/// The bus of another process, over channels of the type `C`.
pub(crate) type TakenBus<C> = TakenOver<TakenMembers<C>>;

/// The state of a bus, decoded and registered.
pub(crate) struct TakenMembers<C: Channel<Wire>> {
    pub(crate) resumed: Resumed,
    /// In the order of the resumed ones.
    pub(crate) channels: Vec<(BusChannel<C>, ConnectionPermit)>,
}

/// What decodes the state of a bus, whose frames are made by `S`.
struct Prepare<S> {
    stack: Cbor<S, BusCodec>,
    settings: Settings,
    /// Whether the id is this process's choice, and not any.
    is_named: bool,
    events: BusEvents,
    /// Set where the process that listens is another member.
    is_another: Arc<AtomicBool>,
}

impl<M> BusBuilder<M> {
    /// Offers processes of this user to take over while this member listens: a [`take_over`](Self::take_over) of another
    /// one gets the listener, all connections and this member itself, and this process ends with
    /// [`BusEvent::HandedOver`](crate::bus::BusEvent::HandedOver). No other member sees it. The name `PATH.handoff` is
    /// bound for it. Off by default. A stack of your own ([`frames`](Self::frames)) comes first, and has the same two
    /// methods. See [the guide](crate::guide::deploying).
    pub fn offer_handoff(mut self, policy: HandoffPolicy) -> Self {
        self.handoff = Some(policy);
        self
    }

    /// Takes over from the process that listens at the path, if it [offers](Self::offer_handoff) that and its member has
    /// this id, or if this process was given none. It offers the same. Else it joins as always, and
    /// [`BusEvent::NotTakenOver`](crate::bus::BusEvent::NotTakenOver) says why.
    ///
    /// ```
    /// use kyneta_uds::{Bus, BusIncoming, Identity};
    /// use tower::service_fn;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, std::convert::Infallible>(()));
    /// let builder = |id| Ok::<_, kyneta_uds::TextTooLong>(Bus::<String>::builder(&path).identity(Identity::service(id)?));
    /// let former = builder("shop")?.take_over().join(ignore).await?; // the first one listens
    /// let till = builder("till")?.join(ignore).await?;
    /// let shop = builder("shop")?.take_over().join(ignore).await?; // in another process
    /// former.closed().await;
    /// till.member("shop")?.send("hello".into()).await?; // the same member as before
    /// # till.dispose().await;
    /// # shop.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_over(mut self) -> BusTakeOver<M> {
        self.handoff.get_or_insert_default();
        let frames = self.default_frames();
        BusTakeOver {
            builder: self,
            frames,
        }
    }
}

// The bounds are those of the methods, as of the other roles.
impl<M, S: Service<UnixTarget>> BusOverFrames<M, S> {
    /// As [`BusBuilder::offer_handoff`]. A stack with a layer that does not give its state, or does not take one, does not
    /// compile.
    pub fn offer_handoff(mut self, policy: HandoffPolicy) -> Self
    where
        S: Resume<UnixStream, Resumed = <S as Service<UnixTarget>>::Response>,
        <S as Service<UnixTarget>>::Response: Frames + Save<Io = UnixStream>,
    {
        self.builder.handoff = Some(policy);
        self.save = Some(save);
        self
    }

    /// As [`BusBuilder::take_over`].
    ///
    /// ```
    /// use kyneta_uds::{Bus, BusIncoming, FramingLayer, Identity, UnixConnector};
    /// use tower::{ServiceBuilder, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, std::convert::Infallible>(()));
    /// let builder = || Bus::<String>::builder(&path).frames(
    ///     ServiceBuilder::new()
    ///         .layer(FramingLayer::new().max_frame(1 << 20))
    ///         .service(UnixConnector::new()),
    /// );
    /// let former = builder().take_over().join(ignore).await?; // the first one listens
    /// let bus = builder().take_over().join(ignore).await?; // in another process
    /// former.closed().await;
    /// # bus.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_over(mut self) -> BusTakeOver<M, S>
    where
        S: Resume<UnixStream, Resumed = <S as Service<UnixTarget>>::Response>,
        <S as Service<UnixTarget>>::Response: Frames + Save<Io = UnixStream>,
    {
        self.builder.handoff.get_or_insert_default();
        BusTakeOver {
            builder: self.builder,
            frames: self.frames,
        }
    }
}

/// A bus that takes over, over frames that `S` makes. See [`BusBuilder::take_over`].
#[derive(Debug)]
#[must_use = "nothing is taken over before it joins"]
pub struct BusTakeOver<M, S = Framing<UnixConnector>> {
    builder: BusBuilder<M>,
    frames: S,
}

impl<M, S> BusTakeOver<M, S>
where
    M: Serialize + DeserializeOwned + Send + 'static,
    S: Service<UnixTarget, Error: Into<BoxError> + Send + 'static, Future: Send>
        + Resume<UnixStream, Resumed = <S as Service<UnixTarget>>::Response>
        + Clone
        + Send
        + 'static,
    <S as Service<UnixTarget>>::Response:
        Frames<Error: Send> + Save<Io = UnixStream> + Send + 'static,
{
    /// Takes over, or joins as [`BusBuilder::join`] does.
    ///
    /// # Errors
    /// As of [`BusBuilder::join`], and [`BusJoinError::NotTakenOver`].
    pub async fn join<H>(self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let limit = self.builder.join_timeout;
        self.join_lazy(handler).await?.join_within(limit).await
    }

    /// Takes over, or begins to join as [`BusBuilder::join_lazy`] does.
    ///
    /// # Errors
    /// [`BusJoinError::Path`] and [`BusJoinError::NotTakenOver`].
    pub async fn join_lazy<H>(self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let (mut builder, frames) = (self.builder, self.frames);
        let path = builder.path()?;
        let (listener, policy) = (builder.listener.clone(), builder.handoff);
        let prepare = Prepare {
            stack: CborLayer::with_codec(BusCodec).layer(frames.clone()),
            is_named: builder.is_named(),
            settings: builder.settings(),
            events: builder.events.clone(),
            is_another: Arc::default(),
        };
        let is_another = prepare.is_another.clone();
        let policy = policy.unwrap_or_default();
        let taken = take_over(&path, listener, policy, move |listener, received| {
            prepare.prepare(listener, received)
        });
        let events = builder.events.clone();
        let not_taken_over =
            move |error: SharedError| events.send(BusEvent::NotTakenOver { error });
        match taken.await {
            Ok(Some(taken)) => builder.start(frames, Some(save), One(handler), Some(taken)),
            Ok(None) => {
                let bus = builder.start(frames, Some(save), One(handler), None)?;
                let roles = bus.roles().clone();
                tokio::spawn(async move {
                    if let Ok(Role::Connector) = roles.joined().await {
                        not_taken_over(SharedError::new(NotOffered));
                    }
                });
                Ok(bus)
            }
            Err(error) if is_another.load(Ordering::Acquire) => {
                not_taken_over(SharedError::new(error));
                builder.start(frames, Some(save), One(handler), None)
            }
            Err(error) => {
                let source = SharedError::new(error);
                Err(BusJoinError::NotTakenOver { path, source })
            }
        }
    }
}

/// Why nothing is taken over.
#[derive(Debug, thiserror::Error)]
#[error("the process that listens offers no handoff")]
struct NotOffered;

impl<C> TakenBus<C>
where
    C: Channel<Wire, In = Wire, Future: Send, Error: Send> + Send + 'static,
{
    /// Absent for a member that is a new one.
    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        let members = self.prepared.as_ref();
        members.map(|members| members.resumed.shared.clone())
    }

    /// Goes on with the connections. What the listener of a member begins with.
    pub(crate) fn go_on(
        self,
        shared: &Arc<Shared>,
    ) -> (Listener, Option<Offering>, Vec<Handle<Wire>>) {
        let mut handles = Vec::new();
        let (mut resumed, channels) = match self.prepared {
            Some(TakenMembers { resumed, channels }) => (Some(resumed), channels),
            None => (None, Vec::new()),
        };
        let pause = self.frozen.until_now();
        tracing::info!(pid = self.pid, ?pause, "took over");
        let took_over = BusEvent::TookOver {
            pid: self.pid,
            connections: channels.len(),
            pause,
        };
        let connections = resumed.as_mut().map(Resumed::take_connections);
        let connections = connections.unwrap_or_default().into_iter();
        for (of, (channel, permit)) in connections.zip(channels) {
            handles.push(of.handle);
            spawn(shared, of.key, of.driver, channel, permit);
        }
        if let Some(resumed) = resumed {
            resumed.go_on();
        }
        // After the events of many members, which a reader may miss.
        shared.events.send(took_over);
        (self.listener, self.offering, handles)
    }
}

impl<S> Prepare<S>
where
    S: Resume<UnixStream>,
    S::Resumed: Frames + Save<Io = UnixStream>,
{
    fn prepare(
        mut self,
        listener: &Listener,
        received: Received,
    ) -> Result<TakenMembers<CborChannel<S::Resumed, BusCodec>>, Refusal> {
        let unusable = |error: &dyn std::fmt::Display| Refusal::Other(error.to_string());
        let saved = received
            .process
            .part(BUS)
            .map_err(|error| unusable(&error))?;
        let whose = whose(saved).map_err(|error| unusable(&error))?;
        if self.is_named && whose.id != self.settings.me.id {
            let (theirs, ours) = (whose.id.as_str(), self.settings.me.id.as_str());
            self.is_another.store(true, Ordering::Release);
            let why = format!(
                "it is another member of the bus: {theirs:?}, and this process is {ours:?}"
            );
            return Err(Refusal::Other(why));
        }
        self.settings.me.continues(&whose);
        // The bus bounds what waits for a member, so nothing goes ahead.
        let connections = received.connections;
        let mut inner = Vec::with_capacity(connections.len());
        let mut states = Vec::with_capacity(connections.len());
        for (stream, saved) in connections {
            let saved = saved.decode().map_err(|error| unusable(&error))?;
            let permit = listener.readmit(&stream);
            let channel = self.stack.resume(stream, &saved);
            let channel = channel.map_err(|error| unusable(&error))?;
            inner.push((channel, permit));
            states.push(saved);
        }
        let credentials = inner.iter().map(|(of, _)| of.connection().credentials);
        let known: Vec<_> = credentials.zip(&states).collect();
        let resumed = Shared::resume(self.settings, self.events, saved, &known);
        let resumed = resumed.map_err(|error| unusable(&error))?;
        let mut channels = Vec::with_capacity(inner.len());
        for (((channel, permit), of), saved) in
            inner.into_iter().zip(&resumed.connections).zip(&states)
        {
            let shared = resumed.shared.clone();
            let channel =
                BusChannel::resumed(channel, save, shared, of.key, of.outbox.clone(), saved);
            channels.push((channel.map_err(|error| unusable(&error))?, permit));
        }
        Ok(TakenMembers { resumed, channels })
    }
}
