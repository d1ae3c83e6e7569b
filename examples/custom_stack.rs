//! "I want my own layers in the stack": tower's timeout and rate limit and the tracing layer among ours, with
//! both ends of a socket in one process.
//!
//! `cargo run --example custom_stack`

use std::time::Duration;

use kyneta_uds::{
    BoxError, CborLayer, ChannelMsg, DocId, FramingLayer, HandshakeLayer, Identity, Interest,
    Listener, QueueLayer, SocketPath, UnixConnector, UnixTarget,
    trace::{DefaultMakeSpan, TraceLayer},
};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn, timeout::TimeoutLayer};
use tracing::{Level, info, info_span};
use tracing_subscriber::fmt::format::FmtSpan;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_span_events(FmtSpan::CLOSE)
        .with_target(false)
        .init();
    let dir = tempfile::tempdir()?;
    let path = SocketPath::new(dir.path().join("bus.sock"))?;
    let (received, mut inbox) = mpsc::channel(8);

    // Each call has a span, which ends with the call's future.
    let connecting = TraceLayer::new().make_span_with(|target: &UnixTarget| {
        let accepted = matches!(target, UnixTarget::Accepted(_));
        info_span!("connect", accepted)
    });

    // The stack from the top. It is the same for a connection that is made and for one that is accepted.
    let stack = |name: &str| {
        let received = received.clone();
        let handler = service_fn(move |msg: ChannelMsg| {
            let received = received.clone();
            async move { received.send(msg).await }
        });
        let stack = ServiceBuilder::new()
            .layer(QueueLayer::new(handler)) // a bounded, cloneable handle
            .layer(HandshakeLayer::new(Identity::service(name)?)) // the handshake: ids of both sides
            .layer(connecting) // a span for each attempt
            .layer(TimeoutLayer::new(Duration::from_secs(2))) // tower's: each attempt
            .layer(CborLayer::new()) // frames <-> messages
            .layer(FramingLayer::new()) // bytes <-> frames
            .service(UnixConnector::new()); // a path -> a byte stream
        Ok::<_, BoxError>(stack)
    };

    let (connecting, accepting) = (stack("alice")?, stack("bob")?);
    let mut listener = Listener::bind(path.clone()).await?;
    info!("listening at {path}");
    let (alice, bob) = tokio::try_join!(connecting.oneshot(path.into()), async {
        let (stream, _permit) = listener.accept().await;
        accepting.oneshot(UnixTarget::Accepted(stream)).await
    })?;

    // The result is a service of messages, so tower's layers fit above it too.
    let mut alice = ServiceBuilder::new()
        .layer(TraceLayer::new().make_span_with(DefaultMakeSpan::new().level(Level::INFO)))
        .rate_limit(1_000, Duration::from_secs(1)) // above the timeout, which does not count the wait
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
