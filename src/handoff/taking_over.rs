//! The settings of a handoff, and a role that takes over.
//!
//! In: a builder. Out: the role, as the one of another process or as always. May touch: what the role touches.

use kyneta_uds_core::{BoxError, ChannelMsg, Resume, Save, SharedError, SocketPath};
use kyneta_uds_unix::BindError;
use tokio::{net::UnixStream, runtime, sync::oneshot};
use tower_layer::Layer as _;

use super::{
    Handoff, HandoffPolicy, ListenError, Offering, Taken, TakenMembers,
    members::PrepareMembers,
    take_over::{TakenOver, take_over},
};
use crate::{
    builder::{Binds, Builder},
    event::Event,
    event_sender::EventSender,
    handler::Handler,
    peer::{JoinError, Peer, PeerOptions},
    server::{Server, ServerOptions},
    stack::MakeChannel,
};

// The bounds are those of the methods: then a stack that cannot be handed over is an error with our sentence, not a
// method that does not exist.
impl<R: Binds, S: MakeChannel<In = ChannelMsg>> Builder<R, S> {
    /// Offers processes of this user to take over, while this one listens: `take_over` of another one gets the listener
    /// and all connections, and this role ends with [`Event::HandedOver`](crate::Event::HandedOver) and
    /// [`DisconnectReason::Intentional`](crate::DisconnectReason::Intentional). No peer sees it. The name `PATH.handoff`
    /// is bound for it. Off by default. It belongs after [`stack`](crate::Builder::stack), and the
    /// documents that members share stay as they are ([`Router::save`](crate::Router::save) of a router of your own).
    /// A [`Peer`](crate::Peer) that is a connector offers nothing: it ends and joins again. See
    /// [the guide](crate::guide::deploying).
    pub fn offer_handoff(mut self, policy: HandoffPolicy) -> Self
    where
        S: Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>,
        <S as MakeChannel>::Channel: Save<Io = UnixStream>,
    {
        self.settings.handoff = Some(Handoff::new::<<S as MakeChannel>::Channel>(policy));
        self
    }

    /// Takes over from the process that listens at the path and [offers](Self::offer_handoff) it. It offers the same.
    /// If no process listens, a server binds the path, and a peer negotiates as always.
    ///
    /// ```
    /// use kyneta_uds::{HandoffPolicy, Incoming, Peer, Role, Server};
    /// use tower::service_fn;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    /// let builder = || Server::builder(&path);
    /// let former = builder().take_over().listen(echo).await?; // the first one binds
    /// let server = builder().take_over().listen(echo).await?; // in another process
    /// former.closed().await;
    /// # server.dispose().await;
    ///
    /// let builder = || Peer::builder(&path);
    /// let former = builder().take_over().join(echo).await?; // the first one listens
    /// let peer = builder().take_over().join(echo).await?; // in another process
    /// assert_eq!(peer.role(), Role::Listener);
    /// former.closed().await;
    /// # peer.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_over(self) -> TakingOver<R, S>
    where
        S: Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>,
        <S as MakeChannel>::Channel: Save<Io = UnixStream>,
    {
        match self.settings.handoff {
            Some(_) => TakingOver(self),
            None => TakingOver(self.offer_handoff(HandoffPolicy::default())),
        }
    }
}

/// A server or a peer that takes over. See [`Builder::take_over`].
#[derive(Debug)]
#[must_use = "nothing is taken over before it listens or joins"]
pub struct TakingOver<R, S>(Builder<R, S>);

impl<R: Binds, S> TakingOver<R, S>
where
    S: MakeChannel<In = ChannelMsg>
        + Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>
        + Sync,
{
    async fn taken(
        &self,
        path: &SocketPath,
    ) -> Result<Option<TakenOver<TakenMembers<S::Channel>>>, ListenError> {
        let settings = &self.0.settings;
        let policy = settings.handoff.as_ref().map(|of| of.policy);
        let prepare = PrepareMembers {
            make: settings.handshake.layer(self.0.stack.clone()),
            relay: settings.relay.clone(),
            runtime: runtime::Handle::current(),
        };
        take_over(
            path,
            settings.listener.clone(),
            policy.unwrap_or_default(),
            move |listener, received| prepare.prepare(listener, received),
        )
        .await
    }
}

#[cfg(feature = "documents")]
impl<R, S> TakingOver<R, S> {
    /// With other settings.
    pub(crate) fn map(self, change: impl FnOnce(Builder<R, S>) -> Builder<R, S>) -> Self {
        Self(change(self.0))
    }

    /// Nothing is taken over or offered, because of this.
    pub(crate) fn without(mut self, error: impl Into<BoxError>) -> Builder<R, S> {
        self.0.settings.handoff = None;
        not_taken_over(&self.0.settings.events, error);
        self.0
    }
}

fn not_taken_over(events: &EventSender, error: impl Into<BoxError>) {
    let error = SharedError::new(error);
    tracing::warn!(%error, "not taken over");
    events.send(Event::NotTakenOver { error });
}

impl<C> TakenOver<TakenMembers<C>> {
    fn members(&mut self) -> TakenMembers<C> {
        let mut members = self.prepared.take().unwrap_or_else(TakenMembers::none);
        (members.pid, members.frozen) = (self.pid, std::mem::take(&mut self.frozen));
        members
    }
}

impl<S> TakingOver<ServerOptions, S>
where
    S: MakeChannel<In = ChannelMsg>
        + Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>
        + Sync,
    <S as MakeChannel>::Channel: Save<Io = UnixStream>,
{
    /// Takes over or binds, and serves in a task of its own. Each connection gets a clone of `handler`.
    /// A dropped attempt may have taken over already, and then ends the connections.
    ///
    /// # Errors
    /// [`ListenError`]. The process that listens serves on.
    pub async fn listen(self, handler: impl Handler + Clone) -> Result<Server, ListenError> {
        let path = self.0.role.path.clone()?;
        let Some(mut taken) = self.taken(&path).await? else {
            let bound = self.0.listen(handler).await;
            return bound.map_err(|error| match error {
                BindError::InUse { .. } => ListenError::NotOffered { path },
                error => error.into(),
            });
        };
        let builder = self.0;
        let members = taken.members();
        let offering = taken.offering;
        let offering = offering.or_else(|| Offering::of_role(&builder.settings, &path));
        let (served, is_served) = oneshot::channel();
        let taken_members = Taken { members, served };
        let server = builder.serve(taken.listener, offering, handler, Some(taken_members));
        // An error: it has ended already.
        let _ = is_served.await;
        Ok(server)
    }
}

impl<S> TakingOver<PeerOptions, S>
where
    S: MakeChannel<In = ChannelMsg>
        + Resume<UnixStream, Resumed = <S as MakeChannel>::Channel>
        + Sync,
    <S as MakeChannel>::Channel: Save<Io = UnixStream>,
{
    /// Takes over from the listener, and is the listener at once; or joins as [`PeerBuilder::join`](crate::PeerBuilder)
    /// does, with [`Event::NotTakenOver`](crate::Event::NotTakenOver) if a process listens that hands nothing over.
    /// A dropped attempt may have taken over already, and then ends the connections.
    ///
    /// # Errors
    /// As [`PeerBuilder::join`](crate::PeerBuilder).
    pub async fn join(self, handler: impl Handler + Clone) -> Result<Peer, JoinError> {
        let limit = self.0.role.join_timeout;
        let peer = self.join_lazy(handler).await?;
        peer.joined_within(limit).await
    }

    /// As [`join`](Self::join), without waiting for a role where nothing is taken over.
    ///
    /// # Errors
    /// As [`PeerBuilder::join_lazy`](crate::PeerBuilder).
    pub async fn join_lazy(self, handler: impl Handler + Clone) -> Result<Peer, JoinError> {
        let path = self.0.role.path.clone()?;
        let events = self.0.settings.events.clone();
        let taken = self.taken(&path).await;
        match taken {
            Ok(Some(mut taken)) => {
                let taken = super::TakenRole {
                    members: taken.members(),
                    listener: taken.listener,
                    offering: taken.offering,
                };
                self.0.join_as(handler, Some(taken)).await
            }
            Ok(None) => {
                let peer = self.0.join_as(handler, None).await?;
                peer.once_connected(move || {
                    not_taken_over(&events, ListenError::NotOffered { path });
                });
                Ok(peer)
            }
            Err(error) => {
                not_taken_over(&events, error);
                self.0.join_as(handler, None).await
            }
        }
    }
}
