//! Tower's contract of readiness, which each layer keeps.
//!
//! Each layer stands around a make service that the test makes ready, call by call. A failure is at the call, or
//! shows the error.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds::{
    BoxError, CborLayer, Chain, ChannelMsg, FrameTransport, FramingLayer, HandshakeError,
    HandshakeLayer, QueueLayer, SocketPath,
};
use tokio::io::{DuplexStream, duplex};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_test::mock::{self, Mock};

use crate::{
    pipes::{End, by_hand},
    support::service,
};

/// Passes readiness on exactly, and errors of the make service below from `call` and `poll_ready`.
async fn keeps_the_contract<L, R>(layer: L)
where
    R: 'static,
    L: Layer<Mock<SocketPath, R>>,
    L::Service: Service<SocketPath, Error: Into<BoxError> + Debug, Response: Debug>,
{
    let target = SocketPath::new("/run/bus.sock").unwrap();
    let (mut service, mut below) = mock::spawn_layer::<SocketPath, R, L>(layer);
    below.allow(0);
    assert_pending!(service.poll_ready());
    below.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    let mut making = task::spawn(service.call(target.clone()));
    assert_pending!(making.poll());
    let (asked, answer) = below.next_request().await.unwrap();
    assert_eq!(
        asked, target,
        "the target reaches the connector as it was given"
    );
    assert_pending!(making.poll());
    assert_pending!(service.poll_ready(), "one call was allowed");
    answer.send_error("connection refused");
    let error: BoxError = assert_ready_err!(making.poll()).into();
    assert!(
        Chain(&*error).to_string().ends_with("connection refused"),
        "{error}"
    );

    below.send_error("worn out");
    let error: BoxError = assert_ready_err!(service.poll_ready()).into();
    assert!(Chain(&*error).to_string().ends_with("worn out"), "{error}");
}

#[tokio::test]
async fn every_layer_passes_on_readiness_and_errors() {
    let ignore = service_fn(|_: ChannelMsg| ready(Ok::<_, Infallible>(())));
    keeps_the_contract::<_, DuplexStream>(FramingLayer::new()).await;
    keeps_the_contract::<_, FrameTransport<DuplexStream>>(CborLayer::new()).await;
    keeps_the_contract::<_, End>(HandshakeLayer::new(service("me"))).await;
    keeps_the_contract::<_, End>(QueueLayer::new(ignore)).await;
    let all = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(HandshakeLayer::new(service("me")))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .into_inner();
    keeps_the_contract::<_, DuplexStream>(all).await;
}

/// A connector that checks tower's contract: only the instance that was ready may be called, once for
/// each time.
#[derive(Debug, Default)]
struct Strict {
    ready: bool,
    calls: Arc<AtomicUsize>,
    /// The other ends, so that nothing is closed.
    kept: Arc<Mutex<Vec<DuplexStream>>>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        let (calls, kept) = (self.calls.clone(), self.kept.clone());
        Self {
            ready: false,
            calls,
            kept,
        }
    }
}

impl Service<SocketPath> for Strict {
    type Response = DuplexStream;
    type Error = Infallible;
    type Future = Ready<Result<DuplexStream, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: SocketPath) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without having been ready"
        );
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = duplex(4096);
        self.kept.lock().unwrap().push(theirs);
        ready(Ok(ours))
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_readied_instance_is_called() {
    let strict = Strict::default();
    let target = || SocketPath::new("/run/bus.sock").unwrap();
    let ignore = service_fn(|_: ChannelMsg| ready(Ok::<_, Infallible>(())));
    let mut handles = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(strict.clone());
    for calls in 1..=3 {
        handles.ready().await.unwrap().call(target()).await.unwrap();
        assert_eq!(strict.calls.load(Ordering::Relaxed), calls);
    }

    // Without an answer it tries both wire versions in turn, with timeouts that grow: 0.5 + 0.5 + 1 + 1
    // + 2 of the 5 seconds. Each of the five attempts asks for readiness.
    let mut establish = ServiceBuilder::new()
        .layer(HandshakeLayer::new(service("me")))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(strict.clone());
    for calls in [8, 13] {
        let made = establish.ready().await.unwrap().call(target()).await;
        assert!(
            matches!(made, Err(HandshakeError::Unanswered { .. })),
            "{made:?}"
        );
        assert_eq!(strict.calls.load(Ordering::Relaxed), calls);
    }
    // Two calls of one service may overlap: each has its own readied instance.
    let first = establish.ready().await.unwrap().call(target());
    let second = establish.ready().await.unwrap().call(target());
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err() && second.is_err());
}

/// The make service fails to become ready for the second attempt.
#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_between_two_attempts_surfaces() {
    let (mut service, mut below) =
        mock::spawn_layer::<SocketPath, End, _>(HandshakeLayer::new(service("me")));
    below.allow(1);
    assert_ready_ok!(service.poll_ready());
    let making = service.call(SocketPath::new("/run/bus.sock").unwrap());
    let (ours, _silent) = duplex(4096);
    let answering = async {
        let (_, answer) = below.next_request().await.unwrap();
        answer.send_response(by_hand(ours).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        below.send_error("worn out");
    };
    let (made, ()) = tokio::join!(making, answering);
    let error = made.unwrap_err();
    assert!(matches!(error, HandshakeError::Make(_)), "{error:?}");
    assert_eq!(Chain(&error).to_string(), "no connection: worn out");
}
