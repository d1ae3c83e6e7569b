//! Code of the user that only looks on, and calls the role where it is called: what takes log lines, what is woken.
//!
//! A failure waits for a lock that its own thread has. Each test runs in a thread that is given twenty seconds.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use kyneta_uds::{Client, Event, Incoming, Peer, PeerChange, PeerId, Server};
use support::{changes, service, soon};
use tokio::runtime;
use tower::service_fn;
use tracing::{Subscriber, span};

const IGNORE: fn(Incoming) -> Ready<Result<(), Infallible>> = |_| ready(Ok(()));

/// Runs a test in a thread, which it may block.
fn within_a_while<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test());
        done.send(()).unwrap();
    });
    let waited = is_done.recv_timeout(Duration::from_secs(20));
    assert!(waited.is_ok(), "it failed, or waits for ever");
}

/// Calls a function at each line of this library's.
struct AtEachLine(fn());

impl Subscriber for AtEachLine {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("kyneta_uds")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        (self.0)();
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {
        (self.0)();
    }

    fn event(&self, _: &tracing::Event<'_>) {
        (self.0)();
    }

    fn clone_span(&self, id: &span::Id) -> span::Id {
        (self.0)();
        id.clone()
    }

    fn try_close(&self, _: span::Id) -> bool {
        (self.0)();
        false
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Asks all roles there are.
fn ask(roles: &Roles) {
    let id = PeerId::new("client").unwrap();
    if let Some(server) = roles.server.get() {
        drop((
            server.connections(),
            server.connection(&id),
            server.counts(),
        ));
    }
    if let Some(client) = roles.client.get() {
        drop((client.connection(), client.state(), client.counts()));
    }
    if let Some(peer) = roles.peer.get() {
        drop((peer.connections(), peer.is_connected(&id), peer.waiting()));
    }
    roles.asked.fetch_add(1, Ordering::Relaxed);
}

#[derive(Default)]
struct Roles {
    server: OnceLock<Server>,
    client: OnceLock<Client>,
    peer: OnceLock<Peer>,
    asked: AtomicUsize,
}

#[test]
fn what_takes_a_log_line_may_ask_the_role() {
    static ROLES: LazyLock<Roles> = LazyLock::new(Roles::default);
    within_a_while(async || {
        let _guard = tracing::subscriber::set_default(AtEachLine(|| ask(&ROLES)));
        let bus = support::Bus::new();
        let server = Server::builder(&bus.path).departure_timeout(Duration::from_millis(1));
        let server = server.listen(service_fn(IGNORE)).await.unwrap();
        let mut events = ROLES.server.get_or_init(|| server.clone()).events();
        let client = Client::builder(&bus.path).identity(service("client"));
        let client = client.connect(service_fn(IGNORE)).await.unwrap();
        ROLES.client.get_or_init(|| client.clone());
        changes(&mut events, "client established").await;
        server.disconnect(&PeerId::new("client").unwrap()).await;
        // It connects again, and in the end it leaves.
        changes(&mut events, "client established").await;
        soon(client.dispose()).await;
        changes(&mut events, "client departed").await;
        soon(server.dispose()).await;

        let peer = Peer::builder(&bus.path)
            .join(service_fn(IGNORE))
            .await
            .unwrap();
        let mut events = ROLES.peer.get_or_init(|| peer.clone()).events();
        let joins = Peer::builder(&bus.path).identity(service("joins"));
        let joins = joins.join(service_fn(IGNORE)).await.unwrap();
        changes(&mut events, "joins established").await;
        soon(peer.dispose()).await;
        soon(joins.dispose()).await;
        assert!(ROLES.asked.load(Ordering::Relaxed) > 8);
    });
}

/// Asks the server when it is woken.
struct Asks(Server, AtomicUsize);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        drop((self.0.connections(), self.0.counts()));
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_is_woken_may_ask_the_role_at_once() {
    within_a_while(async || {
        let bus = support::Bus::new();
        let server = Server::builder(&bus.path).listen(service_fn(IGNORE));
        let server = server.await.unwrap();
        let asks = Arc::new(Asks(server.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(asks.clone());
        let mut cx = Context::from_waker(&waker);
        let mut events = server.events();
        let mut established = pin!(events.recv());
        assert!(established.as_mut().poll(&mut cx).is_pending());

        let client = Client::builder(&bus.path)
            .connect(service_fn(IGNORE))
            .await
            .unwrap();
        let Poll::Ready(Some(Event::Peer { change, peer })) = established.as_mut().poll(&mut cx)
        else {
            panic!("no event");
        };
        assert!(matches!(change, PeerChange::Established));
        let connection = server.connection(&peer.identity().peer_id).unwrap();
        let mut closed = pin!(connection.closed());
        assert!(closed.as_mut().poll(&mut cx).is_pending());
        let connection = client.connection().unwrap();
        let mut ends = pin!(connection.closed());
        assert!(ends.as_mut().poll(&mut cx).is_pending());
        soon(client.dispose()).await;
        soon(closed).await;
        soon(ends).await;
        assert!(asks.1.load(Ordering::Relaxed) > 2);
        soon(server.dispose()).await;
    });
}
