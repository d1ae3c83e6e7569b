//! Makes a connection, introduces both sides, and comes again with the other wire version where
//! the first one met silence.
//!
//! In: a target. Out: an [`Established`] channel. May touch: the channel below, tokio's clock.

use std::{
    future::{Future, poll_fn},
    io, mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{BoxError, Channel, ChannelMsg, Inbound, Redial, WireVersion};
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};
use tower_service::Service;

use crate::{
    channel::{Established, MOST_WORKED, PeerInfo},
    error::HandshakeError,
    layer::HandshakeConfig,
    machine::{HandshakeMachine, Reaction, Side},
};

/// Makes channels whose peer is known. See [`HandshakeLayer`](crate::HandshakeLayer).
#[derive(Debug, Clone)]
pub struct Handshake<S> {
    inner: S,
    config: Arc<HandshakeConfig>,
    /// The wire version that was answered last, as its byte: where to begin next time.
    answered: Arc<AtomicU8>,
}

impl<S> Handshake<S> {
    pub(crate) fn new(inner: S, config: HandshakeConfig) -> Self {
        let answered = Arc::new(AtomicU8::new(WireVersion::V3.byte()));
        Self {
            inner,
            config: Arc::new(config),
            answered,
        }
    }

    fn remembered(&self) -> WireVersion {
        WireVersion::from_byte(self.answered.load(Ordering::Relaxed)).unwrap_or(WireVersion::V3)
    }
}

impl<S, T> Service<T> for Handshake<S>
where
    S: Service<
            T,
            Error: Into<BoxError>,
            Response: Channel<ChannelMsg, In = ChannelMsg> + Send,
            Future: Send,
        > + Clone
        + Send
        + 'static,
    <S::Response as Service<ChannelMsg>>::Future: Send,
    <S::Response as Service<ChannelMsg>>::Error: Send,
    T: Redial + Send + 'static,
{
    type Response = Established<S::Response>;
    type Error = HandshakeError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, HandshakeError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| HandshakeError::Make(error.into()))
    }

    // Boxed: once a connection, never per message.
    fn call(&mut self, target: T) -> Self::Future {
        let clone = self.clone();
        let ready = mem::replace(self, clone);
        Box::pin(async move {
            match target.redial() {
                None => ready.accept(target).await,
                Some(again) => ready.connect(target, again).await,
            }
        })
    }
}

impl<S> Handshake<S> {
    async fn accept<T>(mut self, target: T) -> Result<Established<S::Response>, HandshakeError>
    where
        S: Service<T, Error: Into<BoxError>, Response: Channel<ChannelMsg, In = ChannelMsg>>,
    {
        let mut channel = make(&mut self.inner, target).await?;
        let mut handshake = HandshakeMachine::new(Side::Accepting);
        let started = Instant::now();
        let introduced = introduce(&mut channel, &mut handshake, &self.config);
        match timeout_at(after(started, self.config.timeout), introduced).await {
            Ok(Ok(peer)) => Ok(Established::new(channel, handshake, peer)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(HandshakeError::Unanswered {
                tried: Vec::new(),
                waited: started.elapsed(),
            }),
        }
    }

    /// Tries the wire versions in turn, each pair of tries with twice the patience of the one
    /// before: a listener of the other version says nothing, and neither does a slow one.
    async fn connect<T: Redial>(
        mut self,
        target: T,
        again: T,
    ) -> Result<Established<S::Response>, HandshakeError>
    where
        S: Service<T, Error: Into<BoxError>, Response: Channel<ChannelMsg, In = ChannelMsg>>,
    {
        let started = Instant::now();
        let deadline = after(started, self.config.timeout);
        let mut begin = self.remembered();
        let mut patience = self.config.fallback;
        let mut tried = Vec::new();
        let mut targets = (target, Some(again));
        loop {
            let mut channel = make(&mut self.inner, targets.0).await?;
            let is_open = channel.begin_with(begin);
            if !is_open {
                // Fixed: there is nothing else to try.
                begin = channel.connection().wire.unwrap_or(begin);
            }
            if !tried.contains(&begin) {
                tried.push(begin);
            }
            let until = if is_open {
                deadline.min(after(Instant::now(), patience))
            } else {
                deadline
            };
            let mut handshake = HandshakeMachine::new(Side::Connecting);
            let introduced = introduce(&mut channel, &mut handshake, &self.config);
            match timeout_at(until, introduced).await {
                Ok(Ok(peer)) => {
                    self.answered.store(peer.wire().byte(), Ordering::Relaxed);
                    return Ok(Established::new(channel, handshake, peer));
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => tracing::debug!(wire = %begin, "establish unanswered"),
            }
            let next = targets.1.take().filter(|_| Instant::now() < deadline);
            let Some(next) = next else {
                let waited = started.elapsed();
                return Err(HandshakeError::Unanswered { tried, waited });
            };
            let after = next.redial();
            targets = (next, after);
            begin = begin.other();
            if begin == self.remembered() {
                patience = patience.saturating_mul(2);
            }
            drop(channel);
            ready(&mut self.inner).await?;
        }
    }
}

/// `wait` after `start`; too far away to be told, some thirty years.
fn after(start: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
    start.checked_add(wait).unwrap_or_else(|| start + FAR)
}

async fn ready<S, T>(maker: &mut S) -> Result<(), HandshakeError>
where
    S: Service<T, Error: Into<BoxError>>,
{
    poll_fn(|cx| maker.poll_ready(cx))
        .await
        .map_err(|error| HandshakeError::Make(error.into()))
}

async fn make<S, T>(maker: &mut S, target: T) -> Result<S::Response, HandshakeError>
where
    S: Service<T, Error: Into<BoxError>>,
{
    maker
        .call(target)
        .await
        .map_err(|error| HandshakeError::Make(error.into()))
}

/// The handshake of one connection, until the peer is known and has been answered.
async fn introduce<C: Channel<ChannelMsg, In = ChannelMsg>>(
    channel: &mut C,
    handshake: &mut HandshakeMachine,
    config: &HandshakeConfig,
) -> Result<PeerInfo, HandshakeError> {
    if handshake.side() == Side::Connecting {
        // Who hangs up at once may have done so before or after a word of ours.
        send(channel, config)
            .await
            .map_err(HandshakeError::closed_if_gone)?;
    }
    let mut strays = 0;
    let mut worked = channel.worked();
    loop {
        if channel.worked().wrapping_sub(worked) >= MOST_WORKED {
            yield_now().await;
            worked = channel.worked();
        }
        let limit = config.max_strays;
        if strays > limit {
            return Err(HandshakeError::TooManyStrays { limit });
        }
        strays += 1;
        let inbound = poll_fn(|cx| Pin::new(&mut *channel).poll_next(cx)).await;
        let msg = match inbound {
            Some(Ok(Inbound::Message(msg))) => msg,
            Some(Ok(Inbound::Rejected(rejection))) => {
                tracing::debug!(%rejection, "message rejected during the handshake");
                continue;
            }
            Some(Ok(Inbound::Noticed(notice))) => {
                tracing::debug!(%notice, "during the handshake");
                continue;
            }
            // Of a kind that this version of the layer does not know.
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Err(HandshakeError::Channel(error.into())),
            None => return Err(HandshakeError::Closed),
        };
        if let Reaction::Established { peer, answer } = handshake.received(msg) {
            let peer = PeerInfo::new(peer, channel.connection());
            if !config.admits(&peer) {
                return Err(HandshakeError::NotAdmitted {
                    peer: peer.identity().peer_id.clone(),
                    credentials: peer.credentials(),
                    source: io::ErrorKind::PermissionDenied.into(),
                });
            }
            if answer {
                // Who has gone in the meantime was as good as a probe.
                send(channel, config)
                    .await
                    .map_err(HandshakeError::closed_if_gone)?;
            }
            return Ok(peer);
        }
    }
}

async fn send<C: Channel<ChannelMsg, In = ChannelMsg>>(
    channel: &mut C,
    config: &HandshakeConfig,
) -> Result<(), HandshakeError> {
    let broke = |error: C::Error| HandshakeError::Channel(error.into());
    poll_fn(|cx| channel.poll_ready(cx)).await.map_err(broke)?;
    channel
        .call(config.introduction.clone().into())
        .await
        .map_err(broke)?;
    poll_fn(|cx| channel.poll_flush(cx)).await.map_err(broke)
}
