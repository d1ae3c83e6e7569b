//! The task of one accepted connection.
//!
//! In: an established channel and a handler. Out: a [`Connection`], and its end. May touch: one task of
//! tokio's.

use std::sync::Arc;

use futures_util::FutureExt as _;
use kyneta_uds_core::{Channel, ChannelMsg, DisconnectReason, Look};
use kyneta_uds_handshake::Established;
use kyneta_uds_queue::{Driver, Ended, QueueConfig, queue};
use tracing::{Instrument as _, Span, field::debug};

use crate::{
    connection::{Connection, Incoming},
    event_sender::EventSender,
    handler::Handler,
    handoff::SaveFns,
    peer_channel::PeerChannel,
    peers::PeerEntry,
};

/// An accepted connection that is not driven yet.
pub(crate) struct ConnectionTask<C> {
    pub(crate) connection: Arc<Connection>,
    channel: PeerChannel<C>,
    driver: Driver<ChannelMsg>,
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> ConnectionTask<C> {
    pub(crate) fn new(channel: Established<C>, config: &QueueConfig, events: &EventSender) -> Self {
        let peer = channel.peer().clone();
        let config = {
            let (peer, events) = (peer.clone(), events.clone());
            config
                .clone()
                .and_on_event(move |event| events.queue(&peer, event))
        };
        let (handle, driver) = queue(config);
        let connection = Arc::new(Connection::new(handle, peer));
        Self {
            channel: PeerChannel::accepted(channel, connection.clone(), events.clone()),
            connection,
            driver,
        }
    }

    /// Its state may be taken so, for a handoff.
    pub(crate) fn saved_by(mut self, save: Option<SaveFns<C>>) -> Self {
        self.channel = self.channel.saved_by(save);
        self
    }

    /// Spawns the task that drives the connection to its end, removes its entry, and then drops `held`.
    /// It runs in the current span, unless that is disabled: without a subscriber an idle connection holds none.
    pub(crate) fn spawn(
        self,
        handler: impl Handler + Look<Incoming>,
        entry: PeerEntry,
        held: impl Send + 'static,
    ) where
        C: Send + 'static,
        C::Future: Send,
    {
        let span = Span::current();
        // Quoted: the peer chose it, and it may contain line breaks.
        span.record("peer", debug(self.connection.peer_id()));
        span.record("wire", self.connection.peer().wire().byte());
        let run = self.run(handler, entry, held);
        if span.is_disabled() {
            tokio::spawn(run);
        } else {
            tokio::spawn(run.instrument(span));
        }
    }

    /// Not an `async fn`: its future would hold the connection several times, and an idle connection
    /// consists of little else.
    fn run<K>(
        self,
        handler: impl Handler + Look<Incoming>,
        entry: PeerEntry,
        held: K,
    ) -> impl Future<Output = ()> {
        let mut leaving = Leaving {
            entry,
            _held: held,
            // If the task is dropped before its end.
            reason: DisconnectReason::error(Ended),
        };
        let driven = self.driver.drive_looking(self.channel, handler);
        driven.map(move |reason| {
            // Moves all of it into the closure, not one field.
            let leaving = &mut leaving;
            leaving.reason = reason;
        })
    }
}

/// Removes the entry, whatever ended the task.
struct Leaving<K> {
    entry: PeerEntry,
    _held: K,
    reason: DisconnectReason,
}

impl<K> Drop for Leaving<K> {
    fn drop(&mut self) {
        self.entry.leave(self.reason.clone());
    }
}
