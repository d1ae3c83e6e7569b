//! Middleware of other crates over a real socket: tower's limits, load shed, timeout, buffer, retry, steer and
//! `Shared`, layers in tonic's style, an axum router with tower-http's trace.

use std::{
    convert::Infallible,
    future::{Future, IntoFuture as _, Ready, ready},
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{Request, StatusCode},
    routing::post,
};
use kyneta_uds::{
    ChannelMsg, Client, Incoming, Listener, SendError, Server, WireMode, default_stack, serve,
    trace::TraceLayer,
};
use tower::{
    Service, ServiceBuilder, ServiceExt as _, make::Shared, retry::Policy, service_fn, steer::Steer,
};
use tower_http::trace::TraceLayer as HttpTraceLayer;

use crate::support::{Bus, collect, dismiss, offer, service, soon};

async fn client(bus: &Bus, id: &str) -> Client {
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let client = Client::builder(&bus.path).identity(service(id));
    soon(client.connect(ignore)).await.unwrap()
}

#[tokio::test]
async fn shared_gives_each_peer_a_clone_of_one_handler() {
    let bus = Bus::new();
    let (handler, mut got) = collect(8);
    let listener = Listener::bind(&bus.path).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(
        serve(listener, Shared::new(handler))
            .with_graceful_shutdown(async move { drop(stopped.await) })
            .into_future(),
    );
    for id in ["a", "b"] {
        let mut client = client(&bus, id).await;
        client
            .ready()
            .await
            .unwrap()
            .call(dismiss(id))
            .await
            .unwrap();
        let incoming = soon(got.recv()).await.unwrap();
        assert_eq!(incoming.peer().identity().peer_id.as_str(), id);
        assert_eq!(incoming.message, dismiss(id));
        client.dispose().await;
    }
    drop(stop);
    soon(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn buffer_above_a_handle_keeps_order_and_is_cloneable() {
    let bus = Bus::new();
    let (handler, mut got) = collect(64);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let buffered = ServiceBuilder::new()
        .buffer(4)
        .service(client(&bus, "a").await);
    for i in 0..20 {
        let sent = buffered.clone().oneshot(offer("d", i));
        soon(sent).await.unwrap();
    }
    for i in 0..20 {
        assert_eq!(soon(got.recv()).await.unwrap().message, offer("d", i));
    }
    server.dispose().await;
}

#[tokio::test]
async fn limits_load_shed_timeout_buffer_and_retry_compose_above_one_handle() {
    let bus = Bus::new();
    let (handler, mut got) = collect(64);
    let handler = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .concurrency_limit(1)
        .service(handler);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let handle = client(&bus, "a").await;
    let top = ServiceBuilder::new()
        .buffer(8)
        .load_shed()
        .concurrency_limit(4)
        .rate_limit(1_000, Duration::from_secs(1))
        .layer(TraceLayer::new())
        .timeout(Duration::from_secs(5))
        .retry(UnlessSent(1))
        .service(handle);
    for i in 0..20 {
        soon(top.clone().oneshot(offer("d", i))).await.unwrap();
    }
    for i in 0..20 {
        assert_eq!(soon(got.recv()).await.unwrap().message, offer("d", i));
    }
    server.dispose().await;
}

/// A layer as people write them for tonic: it moves the ready service into a boxed future, leaves a clone in
/// its place, and awaits something of its own before it calls.
#[derive(Clone)]
struct AfterAWhile<S> {
    inner: S,
    waited: Arc<AtomicUsize>,
}

impl<S> AfterAWhile<S> {
    fn new(inner: S, waited: &Arc<AtomicUsize>) -> Self {
        let waited = waited.clone();
        Self { inner, waited }
    }
}

impl<S, R> Service<R> for AfterAWhile<S>
where
    S: Service<R, Future: Send> + Clone + Send + 'static,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let clone = self.inner.clone();
        let mut ready = mem::replace(&mut self.inner, clone);
        let waited = self.waited.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            waited.fetch_add(1, Ordering::Relaxed);
            ready.call(request).await
        })
    }
}

#[tokio::test]
async fn layers_in_tonics_style_compose_around_handles_handlers_and_make_services() {
    let bus = Bus::new();
    let waited = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let [above_handle, above_handler, above_maker] = &waited;
    let (handler, mut got) = collect(8);
    let handler = AfterAWhile::new(handler, above_handler);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let client = Client::builder(&bus.path)
        .stack(AfterAWhile::new(default_stack(WireMode::Auto), above_maker))
        .connect(ignore);
    let mut client = AfterAWhile::new(soon(client).await.unwrap(), above_handle);
    for i in 0..10 {
        let sent = client.ready().await.unwrap().call(offer("d", i));
        soon(sent).await.unwrap();
        assert_eq!(soon(got.recv()).await.unwrap().message, offer("d", i));
    }
    let waited = waited
        .each_ref()
        .map(|waited| waited.load(Ordering::Relaxed));
    assert_eq!(waited, [10, 10, 1]);
    server.dispose().await;
}

/// Retries only what was certainly not sent: anything else could arrive twice.
#[derive(Clone)]
struct UnlessSent(usize);

impl Policy<ChannelMsg, (), SendError> for UnlessSent {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut ChannelMsg,
        result: &mut Result<(), SendError>,
    ) -> Option<Ready<()>> {
        let again = matches!(result, Err(error) if !error.may_have_been_sent()) && self.0 > 0;
        again.then(|| {
            self.0 -= 1;
            ready(())
        })
    }

    fn clone_request(&mut self, msg: &ChannelMsg) -> Option<ChannelMsg> {
        Some(msg.clone())
    }
}

#[tokio::test]
async fn retry_sends_again_what_was_certainly_not_sent() {
    let bus = Bus::new();
    let (handler, mut got) = collect(8);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let handle = client(&bus, "a").await;
    let calls = Arc::new(AtomicUsize::new(0));
    // The first two calls find a full queue.
    let counted = calls.clone();
    let flaky = service_fn(move |msg: ChannelMsg| {
        let full = counted.fetch_add(1, Ordering::Relaxed) < 2;
        let handle = handle.clone();
        async move {
            if full {
                return Err(SendError::Full {
                    messages: 1,
                    bytes: 1,
                });
            }
            handle.oneshot(msg).await
        }
    });
    let mut retrying = ServiceBuilder::new().retry(UnlessSent(5)).service(flaky);
    soon(retrying.ready().await.unwrap().call(dismiss("d")))
        .await
        .unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(soon(got.recv()).await.unwrap().message, dismiss("d"));
    server.dispose().await;
}

#[tokio::test]
async fn steer_picks_a_bus_for_each_message() {
    let (one, other) = (Bus::new(), Bus::new());
    let (to_one, mut at_one) = collect(8);
    let (to_other, mut at_other) = collect(8);
    let listen = |bus: &Bus| Server::builder(&bus.path);
    let servers = (
        listen(&one).listen(to_one).await.unwrap(),
        listen(&other).listen(to_other).await.unwrap(),
    );
    let clients = [client(&one, "a").await, client(&other, "a").await];
    let mut steer = Steer::new(clients, |msg: &ChannelMsg, _: &[Client]| {
        usize::from(msg.kind() == "offer")
    });
    for msg in [dismiss("d"), offer("d", 10)] {
        steer.ready().await.unwrap().call(msg).await.unwrap();
    }
    assert_eq!(soon(at_one.recv()).await.unwrap().message, dismiss("d"));
    assert_eq!(soon(at_other.recv()).await.unwrap().message, offer("d", 10));
    servers.0.dispose().await;
    servers.1.dispose().await;
}

/// The client is the router's state; tower-http traces the HTTP requests.
#[tokio::test]
async fn an_axum_router_with_towers_http_trace_sends_on_the_bus() {
    async fn dismissed(State(mut bus): State<Client>, Path(doc): Path<String>) -> StatusCode {
        match bus.ready().await.unwrap().call(dismiss(&doc)).await {
            Ok(()) => StatusCode::ACCEPTED,
            Err(_) => StatusCode::BAD_GATEWAY,
        }
    }
    let bus = Bus::new();
    let (handler, mut got) = collect(8);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let traced = Arc::new(AtomicUsize::new(0));
    let seen = traced.clone();
    let trace = HttpTraceLayer::new_for_http().on_request(
        move |request: &Request<Body>, _: &tracing::Span| {
            assert_eq!(request.uri().path(), "/dismiss/settings");
            seen.fetch_add(1, Ordering::Relaxed);
        },
    );
    let router = Router::new()
        .route("/dismiss/{doc}", post(dismissed))
        .layer(trace)
        .with_state(client(&bus, "web").await);
    let request = Request::post("/dismiss/settings")
        .body(Body::empty())
        .unwrap();
    let response = soon(router.oneshot(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(traced.load(Ordering::Relaxed), 1);
    assert_eq!(soon(got.recv()).await.unwrap().message, dismiss("settings"));
    server.dispose().await;
}
