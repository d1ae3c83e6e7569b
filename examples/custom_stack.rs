//! A stack of one's own: tower's timeout and rate limit and a tracing layer among the layers, and both
//! ends of a socket in one process.
//!
//! `cargo run --example custom_stack`

use std::{
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds::{
    BoxError, CborLayer, ChannelMsg, DocId, EstablishLayer, FramingLayer, Identity, Interest,
    Listener, QueueLayer, SocketPath, UnixConnector, UnixTarget,
};
use tokio::sync::mpsc;
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt as _, layer::layer_fn, service_fn,
    timeout::TimeoutLayer,
};
use tracing::{Instrument as _, info, info_span, instrument::Instrumented};
use tracing_subscriber::fmt::format::FmtSpan;

/// A layer of one's own: each call is a span, which ends when the call's future does.
#[derive(Clone)]
struct Trace<S> {
    inner: S,
    what: &'static str,
}

fn trace<S>(what: &'static str) -> impl Layer<S, Service = Trace<S>> + Clone {
    layer_fn(move |inner| Trace { inner, what })
}

impl<S: Service<R>, R> Service<R> for Trace<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.inner
            .call(request)
            .instrument(info_span!("call", what = self.what))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_span_events(FmtSpan::CLOSE)
        .with_target(false)
        .init();
    let dir = tempfile::tempdir()?;
    let path = SocketPath::new(dir.path().join("bus.sock"))?;
    let (received, mut inbox) = mpsc::channel(8);

    // What a connection is made of, from the top; the same for one that connects and one that is
    // accepted.
    let stack = |name: &str| {
        let received = received.clone();
        let handler = service_fn(move |msg: ChannelMsg| {
            let received = received.clone();
            async move { received.send(msg).await }
        });
        let stack = ServiceBuilder::new()
            .layer(QueueLayer::new(handler)) // a bounded, cloneable handle
            .layer(EstablishLayer::new(Identity::service(name)?)) // to a peer that is known
            .layer(trace("connection")) // ours
            .layer(TimeoutLayer::new(Duration::from_secs(2))) // tower's: for each attempt
            .layer(CborLayer::new()) // frames to messages
            .layer(FramingLayer::new()) // bytes to frames
            .service(UnixConnector::new()); // a path to bytes
        Ok::<_, BoxError>(stack)
    };

    let (connecting, accepting) = (stack("alice")?, stack("bob")?);
    let mut listener = Listener::bind(path.clone()).await?;
    info!("listening at {path}");
    let (alice, bob) = tokio::try_join!(connecting.oneshot(path.into()), async {
        let (stream, _permit) = listener.accept().await;
        accepting.oneshot(UnixTarget::Accepted(stream)).await
    })?;

    // What comes out is a service of messages, and tower's layers stand on that too.
    let mut alice = ServiceBuilder::new()
        .layer(trace("message"))
        .rate_limit(1_000, Duration::from_secs(1)) // above the timeout: waiting is not counted
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(alice);
    for doc in ["settings", "inbox", "calendar"] {
        let msg = Interest::new(DocId::new(doc)?).reciprocate(true);
        alice.ready().await?.call(msg.into()).await?;
        let got = inbox.recv().await.ok_or("the handlers are gone")?;
        info!("bob got {got:?}");
    }
    drop(alice);
    info!("bob's connection: {}", bob.closed().await);
    Ok(())
}
