//! The endpoint: HTTP over a Unix socket, for those who look in.
//!
//! In: a path, and what is looked at. Out: answers. May touch: the path, as every listener does, and a
//! task of tokio's for itself and for each who asks.
//!
//! Whoever asks is bound: a request's head within 2 s of the last answer and 16 KiB, a connection ended
//! after 10 s, what is then being answered after 10 s more, 16 of them at once.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use kyneta_uds_core::{SocketPath, SocketPathError};
use kyneta_uds_unix::{BindError, Listener, ListenerEvent, ListenerOptions, Permit};
use tokio::{net::UnixStream, task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{answer::answer, inspect::Inspect};

/// How many may ask at once.
const MAX_CONNECTIONS: usize = 16;

/// How long somebody who has connected, or was answered, may take to say what it wants.
const HEAD: Duration = Duration::from_secs(2);

/// How long a connection is kept for the next request, and then how long the last answer may take.
/// One who asks often pays a third of what coming anew each time costs us.
const KEPT: Duration = Duration::from_secs(10);

/// The largest request head, bytes.
const MAX_HEAD: usize = 16 << 10;

/// Answers on a Unix socket what a role is doing; see the [module](crate::status). Dropping it ends it and
/// removes the socket file.
///
/// It holds a clone of what it looks at, so drop it first where the last clone's end matters.
#[derive(Debug)]
pub struct Endpoint {
    ending: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Endpoint {
    /// How its path is bound: mode 0600, processes of our own user let in, 16 connections at once, without
    /// inotify.
    pub fn options() -> ListenerOptions {
        ListenerOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .max_connections_per_uid(MAX_CONNECTIONS)
            .without_inotify()
    }

    /// Binds a path and answers there.
    ///
    /// # Errors
    /// [`BindError`]: in use, not permitted, not a socket, with the path.
    pub async fn bind<P>(
        path: P,
        of: impl Inspect + Send + Sync + 'static,
    ) -> Result<Self, BindError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        Ok(Self::serve(Self::options().bind(path).await?, of))
    }

    /// Answers at a listener of one's own: with other [options](Self::options), or handed over.
    pub fn serve(listener: Listener, of: impl Inspect + Send + Sync + 'static) -> Self {
        let ending = CancellationToken::new();
        let (end, of) = (ending.clone(), Arc::new(of));
        let serving = async move {
            end.run_until_cancelled(serve(listener, of)).await;
        };
        Self {
            ending,
            task: AbortOnDropHandle::new(tokio::spawn(serving)),
        }
    }

    /// Ends it; ready when the socket file is removed. Who is being answered is hung up on.
    pub async fn close(self) {
        self.ending.cancel();
        // It fails only by a panic in somebody's `Inspect`, and has ended all the same.
        let _ = self.task.await;
    }
}

async fn serve(mut listener: Listener, of: Arc<impl Inspect + Send + Sync + 'static>) {
    let mut asking = JoinSet::new();
    let mut refused = false;
    loop {
        tokio::select! {
            event = listener.next() => match event {
                ListenerEvent::Accepted(stream, permit) => {
                    asking.spawn(attend(stream, permit, of.clone()));
                }
                ListenerEvent::Lost(_) => {
                    let restored = listener.restore().await;
                    if let Err(error) = &restored && !refused {
                        let causes: &(dyn std::error::Error + 'static) = error;
                        tracing::warn!(error = causes, "the status socket is lost");
                    }
                    refused = restored.is_err();
                }
                // A refusal is logged already.
                _ => {}
            },
            Some(_) = asking.join_next() => {}
        }
    }
}

async fn attend(stream: UnixStream, _permit: Permit, of: Arc<impl Inspect>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &*of);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut answering = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(MAX_HEAD)
            // A script may have said all it will and still want to hear.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut ended = timeout(KEPT, answering.as_mut()).await;
    if ended.is_err() {
        answering.as_mut().graceful_shutdown();
        ended = timeout(KEPT, answering).await;
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "no answer at the status socket"),
        Err(_) => tracing::debug!("somebody at the status socket took longer than {KEPT:?}"),
    }
}
