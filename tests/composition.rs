//! The layers among tower's: a stack spelled out, tower's own layers between its makers and above
//! its handle, and the contract of tower that each layer keeps.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests too.

mod support;

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, pending, ready},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use support::{Bus, collect, dismiss, offer, service};
use futures_util::{FutureExt as _, StreamExt as _};
use kyneta_uds::{
    BoxError, CborChannel, CborLayer, Chain, ChannelCodec, ChannelMsg, Client, ClientError,
    DisconnectReason, FrameTransport, FramingLayer, Handle, HandshakeError, HandshakeLayer,
    Inbound, Incoming, Listener, Message, QueueConfig, QueueLayer, ReconnectPolicy, Server,
    SocketPath, UnixConnector, UnixTarget, encoded_size,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt as _, layer::layer_fn, load_shed::error::Overloaded,
    service_fn, timeout::error::Elapsed, util::BoxCloneService,
};
use tower_test::mock::{self, Mock};

/// Puts messages into a channel.
fn inbox<M: Send + 'static>() -> (
    BoxCloneService<M, (), Infallible>,
    mpsc::UnboundedReceiver<M>,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = service_fn(move |msg| {
        let _ = sender.send(msg);
        ready(Ok(()))
    });
    (BoxCloneService::new(handler), receiver)
}

/// The bottom of a stack over pipes: the target is the stream.
fn pipes()
-> impl Service<DuplexStream, Response = DuplexStream, Error = Infallible, Future: Send> + Clone {
    service_fn(|io| ready(Ok(io)))
}

type End = CborChannel<FrameTransport<DuplexStream>, ChannelCodec>;

/// An end of a pipe that is read and written by hand.
async fn by_hand(io: DuplexStream) -> End {
    let stack = ServiceBuilder::new()
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(pipes());
    stack.oneshot(io).await.unwrap()
}

/// An end of a pipe with a queue.
async fn queued(io: DuplexStream, config: QueueConfig) -> Handle<ChannelMsg> {
    let ignore = service_fn(|_: ChannelMsg| ready(Ok::<_, Infallible>(())));
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore).config(config))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(pipes());
    stack.oneshot(io).await.unwrap()
}

async fn receive(end: &mut End) -> ChannelMsg {
    match timeout(Duration::from_secs(60), end.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
    {
        Inbound::Message(msg) => msg,
        rejected => panic!("{rejected:?}"),
    }
}

/// A tracing layer as a user writes one: what is sent, and what became of it.
fn trace<S>(
    log: Arc<Mutex<Vec<String>>>,
) -> impl Layer<S, Service = BoxCloneService<ChannelMsg, (), BoxError>> + Clone
where
    S: Service<ChannelMsg, Response = (), Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
{
    layer_fn(move |inner: S| {
        let (before, after) = (log.clone(), log.clone());
        let traced = ServiceBuilder::new()
            .map_request(move |msg: ChannelMsg| {
                before.lock().unwrap().push(format!("-> {}", msg.kind()));
                msg
            })
            .map_result(move |sent: Result<(), BoxError>| {
                after.lock().unwrap().push(match &sent {
                    Ok(()) => "ok".to_owned(),
                    Err(error) => error.to_string(),
                });
                sent
            })
            .map_err(Into::into)
            .service(inner);
        BoxCloneService::new(traced)
    })
}

// A stack spelled out.

#[tokio::test]
async fn a_stack_spelled_out_joins_two_ends_of_a_socket() {
    let bus = Bus::new();
    let mut listener = Listener::bind(&bus.path).await.unwrap();
    let (to_alice, mut alice_gets) = inbox();
    let (to_bob, mut bob_gets) = inbox();
    let stack = |name, handler| {
        ServiceBuilder::new()
            .layer(QueueLayer::new(handler))
            .layer(HandshakeLayer::new(service(name)))
            .timeout(Duration::from_secs(5))
            .layer(CborLayer::new())
            .concurrency_limit(2)
            .layer(FramingLayer::new())
            .service(UnixConnector::new())
    };
    let connecting = stack("alice", to_alice).oneshot(SocketPath::new(&bus.path).unwrap().into());
    let accepting = async {
        let (stream, _permit) = listener.accept().await;
        stack("bob", to_bob)
            .oneshot(UnixTarget::Accepted(stream))
            .await
    };
    let (mut alice, mut bob) = tokio::try_join!(connecting, accepting).unwrap();
    for i in 0..100 {
        let there = offer(&format!("a{i}"), i * 1000);
        let back = offer(&format!("b{i}"), i * 1000);
        alice
            .ready()
            .await
            .unwrap()
            .call(there.clone())
            .await
            .unwrap();
        bob.ready().await.unwrap().call(back.clone()).await.unwrap();
        assert_eq!(bob_gets.recv().await, Some(there));
        assert_eq!(alice_gets.recv().await, Some(back));
    }
    drop(alice);
    assert_eq!(bob.closed().await.kind(), "closed");
}

#[tokio::test]
async fn server_and_client_take_a_stack_with_towers_layers_in_it() {
    let bus = Bus::new();
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(5))
        .layer(CborLayer::new())
        .concurrency_limit(8)
        .layer(FramingLayer::new().max_frame(1 << 20))
        .map_request(|target: UnixTarget| target)
        .service(UnixConnector::new());
    let (handler, mut got) = collect(8);
    let server = Server::builder(&bus.path)
        .stack(stack.clone())
        .listen(handler)
        .await
        .unwrap();
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .stack(stack)
        .connect(ignore)
        .await
        .unwrap();
    client
        .ready()
        .await
        .unwrap()
        .call(offer("d", 1000))
        .await
        .unwrap();
    assert_eq!(got.recv().await.unwrap().message, offer("d", 1000));
    client.dispose().await;
    server.dispose().await;
}

#[cfg(feature = "hyperlocal")]
#[tokio::test]
async fn hyperlocals_connector_is_a_bottom_too() {
    use kyneta_uds::HyperlocalConnector;
    let bus = Bus::new();
    let stack = || {
        ServiceBuilder::new()
            .layer(CborLayer::new())
            .layer(FramingLayer::new())
            .service(HyperlocalConnector::new())
    };
    let echo = service_fn(async |incoming: Incoming| {
        incoming.from().ready().await?.call(incoming.message).await
    });
    let server = Server::builder(&bus.path)
        .stack(stack())
        .listen(echo)
        .await
        .unwrap();
    let (handler, mut got) = collect(8);
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::off())
        .stack(stack())
        .connect(handler)
        .await
        .unwrap();
    for size in [0, 1, 1 << 10, 1 << 20] {
        client
            .ready()
            .await
            .unwrap()
            .call(offer("d", size))
            .await
            .unwrap();
        assert_eq!(got.recv().await.unwrap().message, offer("d", size));
    }
    assert_eq!(
        client.peer().unwrap().credentials(),
        None,
        "hyperlocal hides the socket"
    );
    client.dispose().await;
    server.dispose().await;

    let target = |path: &str| SocketPath::new(path).unwrap().into();
    let path = bus.path.to_str().unwrap();
    let gone = HyperlocalConnector::new()
        .oneshot(target(path))
        .await
        .unwrap_err();
    assert_eq!(gone.to_string(), format!("{path}: no process listens"));
}

// Tower's layers above the handle.

#[tokio::test(start_paused = true)]
async fn towers_layers_stand_above_the_handle() {
    let (ours, theirs) = duplex(4096);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut top = ServiceBuilder::new()
        .load_shed()
        .timeout(Duration::from_secs(1))
        .concurrency_limit(4)
        .rate_limit(10_000, Duration::from_secs(1))
        .layer(trace(log.clone()))
        .service(queued(ours, QueueConfig::default()).await);
    let mut peer = by_hand(theirs).await;
    for i in 0..100 {
        let msg = offer(&format!("doc-{i}"), i * 100);
        let (sent, got) = tokio::join!(
            async { top.ready().await.unwrap().call(msg.clone()).await },
            receive(&mut peer)
        );
        sent.unwrap();
        assert_eq!(got, msg);
    }
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 200);
    assert!(log.chunks(2).all(|pair| pair == ["-> offer", "ok"]));
}

/// Large enough that the first one already fills the pipe and the write buffer.
const LARGE: usize = 128 << 10;

#[tokio::test(start_paused = true)]
async fn a_timeout_fires_while_the_peer_does_not_read_and_un_sends_nothing() {
    let (ours, theirs) = duplex(64);
    let handle = queued(ours, QueueConfig::default().max_messages(1)).await;
    let limit = Duration::from_secs(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut top = ServiceBuilder::new()
        .layer(trace(log.clone()))
        .timeout(limit)
        .service(handle.clone());
    // Called while there was room: each is sent, whether somebody waits for it or not.
    let mut accepted = 0;
    while let Some(room) = top.ready().now_or_never() {
        let started = Instant::now();
        let error = room
            .unwrap()
            .call(offer(&accepted.to_string(), LARGE))
            .await
            .unwrap_err();
        assert!(error.is::<Elapsed>(), "{error}");
        assert_eq!(started.elapsed(), limit);
        accepted += 1;
        assert!(accepted < 10, "one is being written and one may wait");
    }
    assert!(accepted > 0);
    assert_eq!(log.lock().unwrap().last().unwrap(), "request timed out");

    // Where waiting for room is part of the call, the timeout covers it; what found none is not sent.
    let mut with_room = ServiceBuilder::new()
        .timeout(limit)
        .service(service_fn(move |msg| handle.clone().oneshot(msg)));
    let late = with_room.ready().await.unwrap().call(dismiss("late"));
    assert!(late.await.unwrap_err().is::<Elapsed>());

    let mut peer = by_hand(theirs).await;
    for i in 0..accepted {
        assert_eq!(receive(&mut peer).await, offer(&i.to_string(), LARGE));
    }
    drop(top);
    drop(with_room);
    assert!(peer.next().await.is_none(), "and no more than that");
}

#[tokio::test(start_paused = true)]
async fn load_shed_sheds_when_the_queue_is_full() {
    let (ours, theirs) = duplex(64);
    let handle = queued(ours, QueueConfig::default().max_messages(2)).await;
    let mut top = ServiceBuilder::new().load_shed().service(handle);
    let (mut sent, mut shed) = (Vec::new(), 0);
    for i in 0..20 {
        let msg = offer(&i.to_string(), LARGE);
        let sending = top.ready().await.unwrap().call(msg.clone());
        match sending.now_or_never() {
            None => sent.push(msg),
            Some(outcome) => {
                assert!(outcome.unwrap_err().is::<Overloaded>());
                shed += 1;
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(shed >= 10 && !sent.is_empty(), "{shed} shed");

    // With room again it lets in again.
    let mut peer = by_hand(theirs).await;
    for msg in sent {
        assert_eq!(receive(&mut peer).await, msg);
    }
    let (outcome, got) = tokio::join!(
        top.ready().await.unwrap().call(dismiss("again")),
        receive(&mut peer)
    );
    outcome.unwrap();
    assert_eq!(got, dismiss("again"));
}

#[tokio::test(start_paused = true)]
async fn rate_and_concurrency_are_limited() {
    let (ours, theirs) = duplex(4096);
    let handle = queued(ours, QueueConfig::default()).await;
    let mut slow = ServiceBuilder::new()
        .rate_limit(5, Duration::from_secs(1))
        .service(handle.clone());
    let started = Instant::now();
    for _ in 0..11 {
        slow.ready()
            .await
            .unwrap()
            .call(dismiss("d"))
            .await
            .unwrap();
    }
    assert_eq!(started.elapsed().as_secs(), 2);
    drop(theirs);

    let (ours, _unread) = duplex(64);
    let handle = queued(ours, QueueConfig::default()).await;
    let mut few = ServiceBuilder::new().concurrency_limit(3).service(handle);
    let mut flying = Vec::new();
    for _ in 0..3 {
        flying.push(few.ready().await.unwrap().call(offer("d", LARGE)));
    }
    assert!(few.ready().now_or_never().is_none());
    flying.pop();
    assert!(few.ready().now_or_never().is_some());
}

// Tower's layers between the makers.

#[tokio::test(start_paused = true)]
async fn a_timeout_between_makers_fires_on_a_connector_that_never_connects() {
    let never = service_fn(|_: UnixTarget| pending::<io::Result<tokio::net::UnixStream>>());
    let limit = Duration::from_secs(2);
    let stack = ServiceBuilder::new()
        .timeout(limit)
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(never);
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));

    let started = Instant::now();
    let client = Client::builder("/run/bus.sock")
        .reconnect(ReconnectPolicy::off())
        .stack(stack.clone());
    let error = client.connect(ignore).await.unwrap_err();
    assert_eq!(started.elapsed(), limit);
    assert_eq!(error.to_string(), "/run/bus.sock could not be connected to");
    let ClientError::NotConnected {
        reason: DisconnectReason::Error(error),
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    let Some(HandshakeError::Make(error)) = error.get_ref().downcast_ref() else {
        panic!("{error:?}")
    };
    assert!(error.is::<Elapsed>());

    let started = Instant::now();
    let ignore = service_fn(|_: ChannelMsg| ready(Ok::<_, Infallible>(())));
    let error = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(HandshakeLayer::new(service("me")))
        .service(stack)
        .oneshot(SocketPath::new("/run/bus.sock").unwrap().into())
        .await
        .unwrap_err();
    assert_eq!(started.elapsed(), limit);
    assert!(matches!(error, HandshakeError::Make(error) if error.is::<Elapsed>()));
}

// A bus of one's own messages.

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Order {
    Buy { what: String, pieces: u32 },
    Cancel(u64),
    Done,
}

impl Message for Order {
    fn size(&self) -> usize {
        encoded_size(self)
    }
}

#[tokio::test]
async fn messages_of_any_type_travel() {
    let (ours, theirs) = duplex(64);
    let stack = |handler| {
        ServiceBuilder::new()
            .layer(QueueLayer::new(handler))
            .layer(CborLayer::typed::<Order>())
            .layer(FramingLayer::new())
            .service(pipes())
    };
    let (to_shop, mut shop_gets) = inbox();
    let (to_guest, mut guest_gets) = inbox();
    let mut shop = stack(to_shop).oneshot(ours).await.unwrap();
    let mut guest = stack(to_guest).oneshot(theirs).await.unwrap();
    let orders = [
        Order::Buy {
            what: "tea".repeat(1000),
            pieces: 3,
        },
        Order::Cancel(u64::MAX),
        Order::Done,
    ];
    for order in &orders {
        guest.queue(order.clone()).await.unwrap();
        assert_eq!(shop_gets.recv().await.as_ref(), Some(order));
        shop.ready()
            .await
            .unwrap()
            .call(order.clone())
            .await
            .unwrap();
        assert_eq!(guest_gets.recv().await.as_ref(), Some(order));
    }
}

// Tower's contract.

/// Readiness is passed on exactly, and errors of the maker below surface, from both places.
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
    assert_pending!(service.poll_ready(), "one was allowed");
    answer.send_error("nobody there");
    let error: BoxError = assert_ready_err!(making.poll()).into();
    assert!(
        Chain(&*error).to_string().ends_with("nobody there"),
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

/// A connector that insists on tower's rules: only the instance that was ready may be called, once
/// for each time it was.
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

    // Nobody answers, so it comes again with the other wire version, in turn, with more patience:
    // 0.5 + 0.5 + 1 + 1 + 2 of the 5 seconds, and ready anew for each of the five.
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

/// A maker that fails to become ready for the second try.
#[tokio::test(start_paused = true)]
async fn a_maker_that_wears_out_between_two_tries_surfaces() {
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

// What can be done with the types.

#[test]
fn everything_public_can_be_sent_shared_moved_and_printed() {
    use kyneta_uds::*;
    fn all<T: Send + Sync + Unpin + Debug + 'static>() {}
    fn cloned<T: Clone + Send + Sync + Unpin + Debug + 'static>() {}
    fn sent<T: Send + Debug + 'static>() {}
    type Io = tokio::net::UnixStream;
    type Handler = tower::util::BoxCloneSyncService<ChannelMsg, (), BoxError>;
    type Channel = CborChannel<FrameTransport<Io>, ChannelCodec>;

    // Layers and makers.
    cloned::<FramingLayer>();
    cloned::<Framing<UnixConnector>>();
    cloned::<CborLayer>();
    cloned::<CborLayer<SerdeCodec<Order>>>();
    cloned::<DefaultStack>();
    cloned::<HandshakeLayer>();
    cloned::<Handshake<DefaultStack>>();
    cloned::<QueueLayer<Handler, ChannelMsg>>();
    cloned::<Queue<Handshake<DefaultStack>, Handler, ChannelMsg>>();
    cloned::<QueueConfig>();
    cloned::<UnixConnector>();
    #[cfg(feature = "hyperlocal")]
    cloned::<HyperlocalConnector>();
    cloned::<Overflow>();
    cloned::<WireMode>();
    cloned::<DecodeLimits>();
    all::<UnixTarget>();

    // What they make.
    all::<FrameParser>();
    all::<FrameWriter>();
    all::<FrameTransport<Io>>();
    all::<ChannelCodec>();
    all::<SerdeCodec<Order>>();
    all::<Channel>();
    all::<Established<Channel>>();
    all::<HandshakeMachine>();
    all::<PeerInfo>();
    cloned::<Handle<ChannelMsg>>();
    all::<Driver<ChannelMsg>>();
    sent::<Drive<Channel, Handler, ChannelMsg>>();
    all::<SendFuture<ChannelMsg>>();
    all::<Flushed<ChannelMsg>>();
    all::<Closed<ChannelMsg>>();

    // The ready-made parts.
    cloned::<Client>();
    all::<ClientBuilder>();
    cloned::<Server>();
    all::<ServerBuilder>();
    cloned::<Connection>();
    all::<Listener>();
    cloned::<ListenerOptions>();
    all::<Serve<Handler>>();
    all::<WithGracefulShutdown<Handler, DefaultStack, std::future::Pending<()>>>();
    all::<Incoming>();
    cloned::<Event>();
    cloned::<PeerChange>();
    all::<Events>();
    all::<Broadcast>();

    // Messages and their parts.
    cloned::<ChannelMsg>();
    cloned::<Inbound<ChannelMsg>>();
    cloned::<Identity>();
    cloned::<Features>();
    cloned::<SocketPath>();
    cloned::<DocId>();
    cloned::<PeerId>();
    cloned::<SchemaHash>();
    cloned::<Version>();
    all::<WriteBuf>();

    // Errors, all of them errors.
    fn error<E: std::error::Error + Send + Sync + 'static>() {}
    error::<BindError>();
    error::<ConnectError>();
    error::<ClientError>();
    error::<HandshakeError>();
    error::<CborError>();
    error::<EncodeError>();
    error::<FramingError>();
    error::<SendError>();
    error::<Stalled>();
    error::<Ended>();
    error::<SocketPathError>();
    error::<TextTooLong>();
    error::<Rejection>();
    error::<DisconnectReason>();
    error::<SharedError>();
}

/// Cloned for each connection and each test of readiness, so they must stay small.
#[test]
fn layers_and_makers_are_small() {
    assert!(size_of::<FramingLayer>() <= 32);
    assert!(size_of::<HandshakeLayer>() <= 256);
    assert!(size_of::<QueueConfig>() <= 128);
    assert!(size_of::<kyneta_uds::DefaultStack>() <= 1024);
    assert!(size_of::<Handle<ChannelMsg>>() <= 32);
}
