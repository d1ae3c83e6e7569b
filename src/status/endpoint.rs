//! The endpoint: HTTP over a Unix socket, for monitoring.
//!
//! In: a path, and a role. Out: responses. May touch: the path, as every listener does, and a task of
//! tokio's for itself and for each connection.
//!
//! Limits: a request's head within 2 s of the last response and up to 16 KiB, a connection closed after
//! 10 s, a response then under way after 10 s more, 16 connections at once.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use kyneta_uds_core::{SocketPath, SocketPathError};
use kyneta_uds_unix::{BindError, ConnectionPermit, Listener, ListenerEvent, ListenerOptions};
use tokio::{net::UnixStream, task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{answer::answer, inspect::Inspect};

/// The maximum of connections.
const MAX_CONNECTIONS: usize = 16;

/// The time for a request's head, from the connection or the last response on.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection is kept for further requests, and then how long the last response may take.
/// A request on a kept connection costs a third of one on a new connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The largest request head, bytes.
const MAX_HEAD: usize = 16 << 10;

/// Serves the status of a role on a Unix socket; see the [module](crate::status). Dropping it ends it and
/// removes the socket file.
///
/// It holds a clone of the role: drop it first where dropping the last clone is to end the role.
#[derive(Debug)]
pub struct Endpoint {
    ending: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Endpoint {
    /// The options of its listener: mode 0600, processes of the same user only, 16 connections at once,
    /// without inotify.
    pub fn options() -> ListenerOptions {
        ListenerOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .max_connections_per_uid(MAX_CONNECTIONS)
            .without_inotify()
    }

    /// Binds a path and serves it.
    ///
    /// Cancel safe: a dropped attempt leaves nothing at the path.
    ///
    /// # Errors
    /// [`BindError`], with the path: in use, not permitted, not a socket.
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

    /// Serves a listener: one with other [options](Self::options), or one that was passed by systemd.
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

    /// Ends it; ready when the socket file is removed. Open connections are closed. Dropping the future ends it, too,
    /// without waiting for that.
    pub async fn close(self) {
        self.ending.cancel();
        // An error is a panic of a user's `Inspect`: the task has ended too.
        let _ = self.task.await;
    }
}

async fn serve(mut listener: Listener, of: Arc<impl Inspect + Send + Sync + 'static>) {
    let mut connections = JoinSet::new();
    let mut lost = false;
    loop {
        tokio::select! {
            event = listener.next() => match event {
                ListenerEvent::Accepted(stream, permit) => {
                    connections.spawn(answer_all(stream, permit, of.clone()));
                }
                ListenerEvent::Lost(_) => {
                    let restored = listener.restore().await;
                    if let Err(error) = &restored && !lost {
                        let causes: &(dyn std::error::Error + 'static) = error;
                        tracing::warn!(error = causes, "the status socket is lost");
                    }
                    lost = restored.is_err();
                }
                // A rejected connection is logged already.
                _ => {}
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer_all(stream: UnixStream, _permit: ConnectionPermit, of: Arc<impl Inspect>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &*of);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut answering = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            // A script may have closed its direction and still read the response.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut ended = timeout(KEEP_ALIVE, answering.as_mut()).await;
    if ended.is_err() {
        answering.as_mut().graceful_shutdown();
        ended = timeout(KEEP_ALIVE, answering).await;
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection at the status socket failed"),
        Err(_) => {
            tracing::debug!("a connection at the status socket took longer than {KEEP_ALIVE:?}");
        }
    }
}
