//! A channel that yields each message with its sender.
//!
//! In: an established channel, accepted or dialed. Out: [`Incoming`]s; events about what is not a message;
//! for a dialed channel, its peer's entry while it lasts. May touch: the peers and the events.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::{TryFutureExt as _, future::ErrInto};
use kyneta_uds_core::{
    Admission, BoxError, Channel, ChannelMsg, ConnectionInfo, DisconnectReason, Inbound, Look,
    MessageRef, Run, WireVersion,
};
use kyneta_uds_handshake::Established;
use tower_service::Service;
use tracing::Span;

use crate::{
    connection::{Connection, Incoming},
    dialed::{Dialed, DialedEntry},
    event_sender::EventSender,
    handoff::SaveFns,
    looking::IncomingRef,
};

/// An established channel with a known sender.
#[derive(Debug)]
pub(crate) struct PeerChannel<C> {
    inner: Established<C>,
    /// The sender. Absent until the connection is entered.
    connection: Option<Arc<Connection>>,
    events: EventSender,
    /// Boxed, because an accepted channel has none.
    dialed: Option<Box<Entry>>,
    /// How its state is taken, if it may be handed over.
    save: Option<SaveFns<C>>,
}

/// The entry of a dialed channel in the peers.
#[derive(Debug)]
enum Entry {
    /// To be made with the first poll: then the layer above has reported the connection.
    Pending(Dialed, Span),
    Entered {
        entry: DialedEntry,
        /// This side has closed its direction; the peer's end follows.
        closing: bool,
    },
}

impl<C> PeerChannel<C> {
    /// An accepted channel, whose connection its task has entered.
    pub(crate) fn accepted(
        inner: Established<C>,
        connection: Arc<Connection>,
        events: EventSender,
    ) -> Self {
        Self {
            connection: Some(connection),
            ..Self::not_entered(inner, events)
        }
    }

    /// A channel that this side has made, entered in the peers from the first poll to the end.
    pub(crate) fn dialed(inner: Established<C>, dialed: Dialed, span: Span) -> Self {
        let events = dialed.events().clone();
        Self {
            dialed: Some(Box::new(Entry::Pending(dialed, span))),
            ..Self::not_entered(inner, events)
        }
    }

    /// An accepted channel that has no task yet.
    pub(crate) fn not_entered(inner: Established<C>, events: EventSender) -> Self {
        Self {
            inner,
            connection: None,
            events,
            dialed: None,
            save: None,
        }
    }

    /// Its state may be taken so.
    pub(crate) fn saved_by(mut self, save: Option<SaveFns<C>>) -> Self {
        self.save = save;
        self
    }

    pub(crate) fn into_inner(self) -> Established<C> {
        self.inner
    }

    #[inline]
    fn enter(&mut self) {
        if self.connection.is_none() {
            self.enter_now();
        }
    }

    #[cold]
    fn enter_now(&mut self) {
        if let Some(pending) = self.dialed.take()
            && let Entry::Pending(dialed, span) = *pending
        {
            let closing = false;
            let (connection, entry) = dialed.enter(self.inner.peer().clone(), span);
            self.connection = Some(connection);
            self.dialed = Some(Box::new(Entry::Entered { entry, closing }));
        }
    }

    #[cold]
    fn show_sent(&self, msg: &ChannelMsg) {
        if let Some(connection) = &self.connection {
            show(&self.events, connection, msg, Way::Out);
        }
    }

    /// Ends the entry, because of `error` or by an orderly end.
    #[cold]
    fn leave(&mut self, error: Option<DisconnectReason>) {
        if let Some(entered) = self.dialed.take()
            && let Entry::Entered { mut entry, closing } = *entered
        {
            entry.leave(error.unwrap_or(match closing {
                true => DisconnectReason::Intentional,
                false => DisconnectReason::Closed,
            }));
        }
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> PeerChannel<C> {
    /// What is yielded for an end, an error, or what is no message.
    #[cold]
    fn no_message(
        &mut self,
        polled: Option<Result<Inbound<ChannelMsg>, C::Error>>,
    ) -> Option<Result<Inbound<Incoming>, BoxError>> {
        match polled {
            Some(Ok(inbound)) => {
                let connection = self.connection.as_ref()?;
                self.events.inbound(connection.shared_peer(), &inbound);
                Some(Ok(inbound.map(|msg| Incoming::new(msg, connection.clone()))))
            }
            Some(Err(error)) => {
                let reason = DisconnectReason::error(error);
                self.leave(Some(reason.clone()));
                Some(Err(reason.into()))
            }
            None => {
                self.leave(None);
                None
            }
        }
    }
}

impl<C: Channel<ChannelMsg>> Service<ChannelMsg> for PeerChannel<C> {
    type Response = ();
    type Error = BoxError;
    type Future = ErrInto<C::Future, BoxError>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.enter();
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, msg: ChannelMsg) -> Self::Future {
        if self.events.observers().are_watching() {
            self.show_sent(&msg);
        }
        self.inner.call(msg).err_into()
    }
}

/// Shows each message of a run to the observers, as it is written.
struct ShownRun<'a, R> {
    run: &'a mut R,
    connection: &'a Connection,
    events: &'a EventSender,
}

impl<R: Run<ChannelMsg>> Run<ChannelMsg> for ShownRun<'_, R> {
    fn front(&self) -> Option<&ChannelMsg> {
        self.run.front()
    }

    fn called(&mut self) {
        if let Some(message) = self.run.front() {
            show(self.events, self.connection, message, Way::Out);
        }
        self.run.called();
    }
}

/// The way of a message, seen from this process.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

#[cold]
fn show(events: &EventSender, connection: &Connection, message: &ChannelMsg, way: Way) {
    let observers = events.observers();
    let (Some(own), peer) = (observers.own_id(), connection.peer_id()) else {
        return;
    };
    match way {
        Way::In => observers.show(peer, own, message),
        Way::Out => observers.show(own, peer, message),
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> Stream for PeerChannel<C> {
    type Item = Result<Inbound<Incoming>, BoxError>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.enter();
        let Some(connection) = &this.connection else {
            return Poll::Ready(None); // It has no task yet.
        };
        match Pin::new(&mut this.inner).poll_next(cx) {
            Poll::Pending => Poll::Pending,
            // Not by `Inbound::map`: a message is moved once, to where the driver takes it.
            Poll::Ready(Some(Ok(Inbound::Message(message)))) => {
                if this.events.observers().are_watching() {
                    show(&this.events, connection, &message, Way::In);
                }
                let incoming = Incoming::new(message, connection.clone());
                Poll::Ready(Some(Ok(Inbound::Message(incoming))))
            }
            Poll::Ready(other) => Poll::Ready(this.no_message(other)),
        }
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> Channel<ChannelMsg> for PeerChannel<C> {
    type In = Incoming;

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_flush(cx).map_err(Into::into)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(Entry::Entered { closing, .. }) = self.dialed.as_deref_mut() {
            *closing = true;
        }
        self.inner.poll_close(cx).map_err(Into::into)
    }

    #[inline]
    fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), BoxError>> {
        self.inner.poll_admission(cx, admission).map_err(Into::into)
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.inner.worked()
    }

    fn connection(&self) -> ConnectionInfo {
        self.inner.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.inner.begin_with(wire)
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.inner.lost()
    }

    /// Ends the entry: the layer above makes another connection.
    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        self.leave(Some(reason));
        false
    }

    fn put_aside(&mut self) -> bool {
        let (Some(save), Some(connection)) = (self.save, &self.connection) else {
            return false;
        };
        let is_ahead = connection.is_ahead();
        match (save.save)(&self.inner, connection.member(), is_ahead) {
            Ok(state) => connection.set_aside(state),
            Err(error) => {
                tracing::warn!(%error, "the stream of a connection cannot be copied");
                return false;
            }
        }
        true
    }

    fn put_ahead(&mut self) -> bool {
        let (Some(save), Some(connection)) = (self.save, &self.connection) else {
            return false;
        };
        connection.set_ahead((save.save_ahead)(&mut self.inner));
        true
    }

    #[inline]
    fn keep(&mut self) -> bool {
        self.inner.keep()
    }

    fn free_kept(&mut self) {
        self.inner.free_kept();
    }

    #[inline]
    fn call_many<R: Run<ChannelMsg>>(&mut self, run: &mut R) -> Result<(), BoxError> {
        if self.events.observers().are_watching()
            && let Some(connection) = &self.connection
        {
            let events = &self.events;
            let mut run = ShownRun {
                run,
                connection,
                events,
            };
            return self.inner.call_many(&mut run).map_err(Into::into);
        }
        self.inner.call_many(run).map_err(Into::into)
    }

    #[inline]
    fn look<L: Look<Incoming>>(&mut self, look: &mut L) -> Option<Inbound<Incoming>> {
        self.enter();
        if self.events.observers().are_watching() {
            // By value, in `poll_next`: there they are shown to the observers.
            return None;
        }
        let from = self.connection.as_ref()?;
        let mut with_sender = WithSender { look, from };
        match self.inner.look(&mut with_sender)? {
            Inbound::Message(message) => {
                let incoming = Incoming::new(message, from.clone());
                Some(Inbound::Message(incoming))
            }
            inbound => {
                self.events.inbound(from.shared_peer(), &inbound);
                Some(inbound.map(|msg| Incoming::new(msg, from.clone())))
            }
        }
    }
}

/// Shows messages with their sender.
struct WithSender<'a, L> {
    look: &'a mut L,
    from: &'a Arc<Connection>,
}

impl<L: Look<Incoming>> Look<ChannelMsg> for WithSender<'_, L> {
    #[inline]
    fn more(&self) -> bool {
        self.look.more()
    }

    #[inline]
    fn look(&mut self, msg: MessageRef<'_>) {
        self.look.look(IncomingRef::new(msg, self.from));
    }
}
