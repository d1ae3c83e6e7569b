//! The make service: connects and performs the handshake; without an answer it connects again with the other wire
//! version.
//!
//! In: a target. Out: an [`Established`] channel. May touch: the inner service and its channels, tokio's clock.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{BoxError, Channel, ChannelMsg, Redial, WireVersion};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::{
    channel::Established,
    config::HandshakeConfig,
    error::HandshakeError,
    exchange::exchange,
    machine::{HandshakeMachine, Side},
};

/// The shortest wait of an attempt: it grows from there, also where no wait is set.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Makes [`Established`] channels. Made by [`HandshakeLayer`](crate::HandshakeLayer).
#[derive(Debug, Clone)]
pub struct Handshake<S> {
    inner: S,
    config: Arc<HandshakeConfig>,
    /// The wire version of the last answer, as its byte: the one to try first.
    last_wire: Arc<AtomicU8>,
}

impl<S> Handshake<S> {
    pub(crate) fn new(inner: S, config: HandshakeConfig) -> Self {
        Self {
            inner,
            config: Arc::new(config),
            last_wire: Arc::new(AtomicU8::new(WireVersion::V3.byte())),
        }
    }

    pub(crate) const fn get_ref(&self) -> &S {
        &self.inner
    }

    fn last_wire(&self) -> WireVersion {
        WireVersion::from_byte(self.last_wire.load(Ordering::Relaxed)).unwrap_or(WireVersion::V3)
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
        self.inner.poll_ready(cx).map_err(make_error)
    }

    // Boxed once per connection, not per message.
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
        let mut channel = self.inner.call(target).await.map_err(make_error)?;
        let mut handshake = HandshakeMachine::new(Side::Accepting);
        let started = Instant::now();
        let mut other = None;
        let exchange = exchange(&mut channel, &mut handshake, &self.config, &mut other);
        let ended = timeout_at(after(started, self.config.timeout), exchange).await;
        let waited = started.elapsed();
        let error = match ended {
            Ok(Ok(peer)) => return Ok(Established::new(channel, handshake, peer)),
            Ok(Err(error)) => error,
            Err(_) => HandshakeError::Unanswered {
                tried: Vec::new(),
                waited,
            },
        };
        // A peer that tries both versions has left after its first wait, which is as long as ours or so.
        let is_late = waited > self.config.wire_fallback.saturating_mul(2);
        Err(match (error, other) {
            (HandshakeError::Unanswered { .. }, Some(of)) => of.error(waited),
            (HandshakeError::Closed { .. }, Some(of)) if is_late => of.error(waited),
            (error, _) => error,
        })
    }

    /// Tries the wire versions in turn, each pair of attempts for twice as long as the pair before. Without an
    /// answer, the listener may use the other version or be slow.
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
        let mut wire = self.last_wire();
        let mut attempt_timeout = self.config.wire_fallback.max(SHORTEST_WAIT);
        let mut tried = Vec::new();
        let mut targets = (target, Some(again));
        loop {
            let mut channel = self.inner.call(targets.0).await.map_err(make_error)?;
            let is_fixed = !channel.begin_with(wire);
            if is_fixed {
                wire = channel.connection().wire.unwrap_or(wire);
            }
            if !tried.contains(&wire) {
                tried.push(wire);
            }
            let until = if is_fixed {
                deadline
            } else {
                deadline.min(after(Instant::now(), attempt_timeout))
            };
            let mut handshake = HandshakeMachine::new(Side::Connecting);
            // A listener writes nothing before its answer.
            let mut other = None;
            let exchange = exchange(&mut channel, &mut handshake, &self.config, &mut other);
            match timeout_at(until, exchange).await {
                Ok(Ok(peer)) => {
                    self.last_wire.store(peer.wire().byte(), Ordering::Relaxed);
                    return Ok(Established::new(channel, handshake, peer));
                }
                Ok(Err(HandshakeError::Closed { .. })) => {
                    return Err(HandshakeError::Closed { tried });
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => tracing::debug!(%wire, "no answer to establish"),
            }
            let next = targets.1.take().filter(|_| Instant::now() < deadline);
            let Some(next) = next else {
                let waited = started.elapsed();
                return Err(HandshakeError::Unanswered { tried, waited });
            };
            let after_next = next.redial();
            targets = (next, after_next);
            wire = wire.other();
            if wire == self.last_wire() {
                attempt_timeout = attempt_timeout.saturating_mul(2);
            }
            drop(channel);
            poll_fn(|cx| self.inner.poll_ready(cx))
                .await
                .map_err(make_error)?;
        }
    }
}

/// `wait` after `start`; if that overflows, about thirty years.
fn after(start: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
    start.checked_add(wait).unwrap_or_else(|| start + FAR)
}

fn make_error(error: impl Into<BoxError>) -> HandshakeError {
    HandshakeError::Make(error.into())
}
