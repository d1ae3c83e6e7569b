//! Tower's layers above the handle and between the make services: at a full queue, and while the peer does
//! not read.

use std::{
    convert::Infallible,
    future::{pending, ready},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use kyneta_uds::{
    BoxError, CborLayer, ChannelMsg, Client, ClientError, DisconnectReason, FramingLayer,
    HandshakeError, HandshakeLayer, Incoming, QueueConfig, QueueLayer, ReconnectPolicy, SocketPath,
    UnixTarget,
};
use tokio::{io::duplex, time::Instant};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt as _, layer::layer_fn, load_shed::error::Overloaded,
    service_fn, timeout::error::Elapsed, util::BoxCloneService,
};

use crate::{
    pipes::{LARGE, by_hand, queued, receive},
    support::{dismiss, offer, service},
};

/// A tracing layer as a user writes one: each message and its result.
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

#[tokio::test(start_paused = true)]
async fn towers_layers_compose_above_the_handle() {
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

#[tokio::test(start_paused = true)]
async fn a_timeout_fires_while_the_peer_does_not_read_and_cancels_no_send() {
    let (ours, theirs) = duplex(64);
    let handle = queued(ours, QueueConfig::default().max_messages(1)).await;
    let limit = Duration::from_secs(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut top = ServiceBuilder::new()
        .layer(trace(log.clone()))
        .timeout(limit)
        .service(handle.clone());
    // Each call that found room is sent, also when its future was dropped.
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

    // Here the timeout covers the wait for room as well; a message that found none is not sent.
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

    // With room it accepts again.
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
