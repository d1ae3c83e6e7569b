//! The task of one accepted connection.
//!
//! In: an established channel and a handler. Out: a [`Connection`], and its end. May touch: one task of
//! tokio's.

use std::sync::Arc;

use futures_util::FutureExt as _;
use kyneta_uds_core::{Channel, ChannelMsg, DisconnectReason};
use kyneta_uds_handshake::Established;
use kyneta_uds_queue::{Driver, Ended, QueueConfig, queue};
use tracing::{Instrument as _, Span, field::debug};

use crate::{
    connection::{Connection, WithSender},
    event::EventSender,
    handler::Handler,
    peers::PeerEntry,
};

/// A connection that was accepted, and is not driven yet.
pub(crate) struct ConnectionTask<C> {
    pub(crate) connection: Arc<Connection>,
    driver: Driver<ChannelMsg>,
    channel: Established<C>,
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
            connection,
            driver,
            channel,
        }
    }

    /// Has a task drive the connection to its end, let its peer leave, and then let go of `held`. In
    /// the present span, if there is one: where nobody collects spans an idle connection holds none.
    pub(crate) fn spawn(self, handler: impl Handler, entry: PeerEntry, held: impl Send + 'static)
    where
        C: Send + 'static,
        C::Future: Send,
    {
        let span = Span::current();
        // Quoted: it is what a stranger says, line breaks and all.
        span.record("peer", debug(self.connection.peer_id()));
        span.record("wire", self.connection.peer().wire().byte());
        let run = self.run(handler, entry, held);
        if span.is_disabled() {
            tokio::spawn(run);
        } else {
            tokio::spawn(run.instrument(span));
        }
    }

    /// Not an `async fn`: that would hold the connection once for each name that it bears on its way,
    /// and an idle connection consists of little else.
    fn run<K>(self, handler: impl Handler, entry: PeerEntry, held: K) -> impl Future<Output = ()> {
        let mut leaving = Leaving {
            entry,
            _held: held,
            // Unless it comes to its end.
            reason: DisconnectReason::error(Ended),
        };
        let handler = WithSender {
            handler,
            from: self.connection,
        };
        self.driver.drive(self.channel, handler).map(move |reason| {
            // All of it moves in here, not its field alone: it leaves when it is dropped.
            let leaving = &mut leaving;
            leaving.reason = reason;
        })
    }
}

/// Lets a peer leave, whatever ended its task.
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
