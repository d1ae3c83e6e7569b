//! The listening end of a peer: accepts, attends, and watches that the path is still ours.
//!
//! In: a listener, a maker, a host. Out: a handle for each who has connected, and what becomes of
//! the path. May touch: the listener's socket and path, a task of tokio's for each handshake.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use kyneta_uds_core::{Admission, Channel, Message};
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::{BindError, Listener, ListenerEvent, PathLoss, Permit, UnixTarget};
use tokio::{net::UnixStream, sync::mpsc, task::JoinSet};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::{accept_handler::AcceptHandler, make_channel::MakeChannel};

/// A path that is ours, and those who are about to join.
pub(crate) struct Acceptor<S, A, M> {
    maker: S,
    host: A,
    watch: Watch,
    joined: mpsc::UnboundedReceiver<Joined<M>>,
    joining: mpsc::UnboundedSender<Joined<M>>,
    /// Handshakes under way; they end with it.
    attending: JoinSet<()>,
}

enum Watch {
    Watching(At<ListenerEvent>),
    Restoring(At<Result<(), BindError>>),
    /// The path is lost; what to do about it is not said yet.
    Lost(Option<Box<Listener>>),
}

/// Somebody who is attended to.
#[derive(Debug)]
pub(crate) struct Member<M> {
    pub(crate) handle: Handle<M>,
    pub(crate) permit: Permit,
}

/// Ends when nobody takes it: one that is in no hub would believe for ever that we listen.
struct Joined<M>(Option<Member<M>>);

impl<M> Joined<M> {
    fn take(mut self) -> Option<Member<M>> {
        self.0.take()
    }
}

impl<M> Drop for Joined<M> {
    fn drop(&mut self) {
        if let Some(late) = &self.0 {
            late.handle.close();
        }
    }
}

/// A listener at work on something, which it comes back with.
type At<T> = Pin<Box<dyn Future<Output = (Box<Listener>, T)> + Send>>;

/// What happens at the listening end.
#[derive(Debug)]
pub(crate) enum Event<M> {
    /// Somebody has connected, and is attended to.
    Joined(Member<M>),
    /// The path is not ours any more, nor anybody's who is alive.
    PathFree,
    /// The path is somebody else's.
    PathLost,
    /// What came of putting the file back in its place.
    Restored(Result<(), BindError>),
}

impl<S, A, M> Acceptor<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message,
{
    pub(crate) fn new(listener: Box<Listener>, maker: S, host: A) -> Self {
        let (joining, joined) = mpsc::unbounded_channel();
        Self {
            maker,
            host,
            watch: watch(listener),
            joined,
            joining,
            attending: JoinSet::new(),
        }
    }

    /// Puts the socket file back in its place.
    pub(crate) fn restore(&mut self) {
        if let Watch::Lost(listener) = &mut self.watch
            && let Some(mut listener) = listener.take()
        {
            self.watch = Watch::Restoring(Box::pin(async move {
                let restored = listener.restore().await;
                (listener, restored)
            }));
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event<M>> {
        while let Poll::Ready(Some(attended)) = self.attending.poll_join_next(cx) {
            if let Err(error) = attended {
                // The user's layers or host: one connection is lost, the listener goes on.
                tracing::warn!(%error, "a connection was lost before it was attended to");
            }
        }
        if let Poll::Ready(Some(joined)) = self.joined.poll_recv(cx)
            && let Some(member) = joined.take()
        {
            return Poll::Ready(Event::Joined(member));
        }
        loop {
            match &mut self.watch {
                Watch::Watching(next) => {
                    let Poll::Ready((listener, event)) = next.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    match event {
                        ListenerEvent::Accepted(stream, permit) => {
                            self.watch = watch(listener);
                            self.attend(stream, permit);
                        }
                        ListenerEvent::Rejected(refusal) => {
                            self.watch = watch(listener);
                            self.host.not_admitted(&refusal);
                        }
                        ListenerEvent::Lost(lost) => {
                            self.watch = Watch::Lost(Some(listener));
                            return Poll::Ready(match lost {
                                PathLoss::Taken => Event::PathLost,
                                _ => Event::PathFree,
                            });
                        }
                        _ => self.watch = watch(listener),
                    }
                }
                Watch::Restoring(restoring) => {
                    let Poll::Ready((listener, restored)) = restoring.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    self.watch = watch(listener);
                    return Poll::Ready(Event::Restored(restored));
                }
                Watch::Lost(_) => return Poll::Pending,
            }
        }
    }

    /// Gives up the path. Returns those who have just joined.
    pub(crate) fn close(self) -> Vec<Member<M>> {
        let Self { mut joined, .. } = self;
        // Whoever joins from here on is too late.
        joined.close();
        std::iter::from_fn(|| joined.try_recv().ok()?.take()).collect()
    }

    /// Sees one accepted stream through its handshake.
    fn attend(&mut self, stream: UnixStream, permit: Permit) {
        let (maker, host, joining) = (self.maker.clone(), self.host.clone(), self.joining.clone());
        let span = permit.span();
        let attending = async move {
            match maker.oneshot(UnixTarget::Accepted(stream)).await {
                Ok(mut channel) => {
                    // An error is the end of the connection, which its queue meets and tells of.
                    let _ = admit(&mut channel).await;
                    let handle = host.attend(channel);
                    // Sent to nobody when we listen no more: it came too late.
                    let _ = joining.send(Joined(Some(Member { handle, permit })));
                }
                Err(error) => host.not_attended(error),
            }
        };
        self.attending.spawn(attending.instrument(span));
    }
}

/// Tells the one that has connected that it is served, where no handshake has.
async fn admit<C: Channel<M>, M>(channel: &mut C) -> Result<(), C::Error> {
    poll_fn(|cx| channel.poll_admission(cx, Admission::Grant)).await?;
    poll_fn(|cx| channel.poll_flush(cx)).await
}

fn watch(mut listener: Box<Listener>) -> Watch {
    Watch::Watching(Box::pin(async move {
        let next = listener.next().await;
        (listener, next)
    }))
}

impl<S, A, M> fmt::Debug for Acceptor<S, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("attending", &self.attending.len())
            .finish_non_exhaustive()
    }
}
