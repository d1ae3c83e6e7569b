//! Instructions per message, counted by callgrind: the same binary gives the same figures, whatever else the machine
//! does.
//!
//! `bash .ci/counts` runs this and compares the figures with `counts.json`.

#![allow(missing_docs)] // The macros make modules without docs.
#![allow(clippy::unwrap_used)] // A bench panics when it fails.

mod common;

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use common::{Ends, Void, establish, five, offer, present, traced};
use gungraun::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use kyneta_uds::{
    BusIncoming, Bytes, CborChannel, CborLayer, Channel, ChannelCodec, ChannelMsg, Client, Codec,
    FrameTransport, FramingLayer, Handle, Handler, Incoming, Interest, MessageBatch, MessageRef,
    QueueConfig, QueueLayer, Server, WireVersion, look, queue,
    routing::{Effect, Hub, LocalChannel, MemberFacts, MemberKey, Switch, SwitchConfig},
    trace::TraceLayer,
};
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    runtime::{Builder, Runtime},
    sync::Notify,
    task::yield_now,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, layer::util::Identity, service_fn};

/// Messages per figure; the script divides by it.
const COUNT: usize = 10_000;

/// Payload of each message, bytes.
const SIZE: usize = 64;

// Into a buffer, with an alias.
#[library_benchmark]
#[bench::alone((Ends::new(1), offer(SIZE)))]
fn encode((mut ends, msg): (Ends, ChannelMsg)) -> Ends {
    for _ in 0..COUNT {
        let Ends { sender, buf, .. } = &mut ends;
        sender.encode(black_box(&msg), &mut buf.writer()).unwrap();
        buf.advance(buf.len());
    }
    ends
}

fn encoded() -> (Ends, Bytes) {
    let mut ends = Ends::new(1);
    let bytes = ends.encode(&offer(SIZE));
    (ends, bytes)
}

// From a read buffer; the message is dropped.
#[library_benchmark]
#[bench::alone(encoded())]
fn decode((mut ends, bytes): (Ends, Bytes)) -> Ends {
    for _ in 0..COUNT {
        black_box(ends.decode(black_box(&bytes)));
    }
    ends
}

// Through a handle and its driver, into a channel that costs nothing.
#[library_benchmark]
#[bench::alone(Queued::over(Void::default()))]
#[bench::with_five_layers(Queued::over(five(Void::default())))]
fn queue_and_drive(mut queued: Queued) -> Queued {
    queued.send();
    queued
}

struct Queued {
    runtime: Runtime,
    handle: Handle<ChannelMsg>,
    drive: Pin<Box<dyn Future<Output = ()>>>,
    msgs: Vec<ChannelMsg>,
}

impl Queued {
    /// Messages between two polls of the driver.
    const BATCH: usize = 50;

    fn over(channel: impl Channel<ChannelMsg, In = ChannelMsg> + 'static) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let (handle, driver) = queue(QueueConfig::default());
        let ignore = service_fn(async |_: ChannelMsg| Ok::<(), Infallible>(()));
        let drive = driver.drive(channel, ignore);
        let mut queued = Self {
            runtime,
            handle,
            drive: Box::pin(async move { drop(drive.await) }),
            msgs: vec![offer(SIZE); COUNT],
        };
        queued.send(); // Afterwards the buffers have grown.
        queued.msgs = vec![offer(SIZE); COUNT];
        queued
    }

    fn send(&mut self) {
        let _inside = self.runtime.enter();
        let mut cx = Context::from_waker(Waker::noop());
        for (i, msg) in self.msgs.drain(..).enumerate() {
            assert!(pin!(self.handle.queue(msg)).poll(&mut cx).is_ready());
            if (i + 1) % Self::BATCH == 0 {
                assert!(self.drive.as_mut().poll(&mut cx).is_pending());
            }
        }
    }
}

// Everything: handle, queue, codec, frames, a socket, and up to the handler of the other end.
#[library_benchmark]
#[bench::alone(Stream::new(|channel| channel))]
#[bench::with_five_layers(Stream::new(five))]
#[bench::with_a_trace(Stream::new(traced))]
fn stream(mut stream: Stream) -> Stream {
    stream.send();
    stream
}

/// Both ends of a socket, on one thread.
struct Stream {
    runtime: Runtime,
    here: Handle<ChannelMsg>,
    _there: Handle<ChannelMsg>,
    arrived: Arc<Arrived>,
    msg: ChannelMsg,
}

#[derive(Default)]
struct Arrived {
    offers: AtomicUsize,
    all: Notify,
}

impl Arrived {
    fn count(&self, msg: &ChannelMsg) {
        if let ChannelMsg::Offer(_) = msg {
            self.one_more();
        }
    }

    fn one_more(&self) {
        if (self.offers.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(COUNT) {
            self.all.notify_one();
        }
    }
}

/// Counts messages.
#[derive(Clone)]
struct Count(Arc<Arrived>);

impl Service<Incoming> for Count {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, incoming: Incoming) -> Self::Future {
        self.0.count(&incoming.message);
        ready(Ok(()))
    }
}

type Bare = CborChannel<FrameTransport<UnixStream>, ChannelCodec>;

impl Stream {
    /// `wrap` adds layers of a user between queue and codec.
    fn new<C>(wrap: impl Fn(Bare) -> C + Clone) -> Self
    where
        C: Channel<ChannelMsg, In = ChannelMsg>
            + Service<ChannelMsg, Future: Send>
            + Send
            + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let arrived = Arc::<Arrived>::default();
        let count = {
            let arrived = arrived.clone();
            service_fn(move |msg: ChannelMsg| {
                arrived.count(&msg);
                ready(Ok::<(), Infallible>(()))
            })
        };
        let stack = ServiceBuilder::new()
            .layer(QueueLayer::new(count))
            .map_response(wrap)
            .layer(CborLayer::new())
            .layer(FramingLayer::new())
            .service(service_fn(async |io: UnixStream| Ok::<_, Infallible>(io)));
        let (here, there) = runtime.block_on(async {
            let (here, there) = UnixStream::pair().unwrap();
            let mut here = stack.clone().oneshot(here).await.unwrap();
            let mut there = stack.oneshot(there).await.unwrap();
            here.queue(establish()).await.unwrap();
            there.queue(establish()).await.unwrap();
            here.queue(present(1)).await.unwrap();
            (here, there)
        });
        let mut stream = Self {
            runtime,
            here,
            _there: there,
            arrived,
            msg: offer(SIZE),
        };
        stream.send(); // Afterwards aliases are known and the buffers have grown.
        stream
    }

    fn send(&mut self) {
        self.runtime.block_on(async {
            for _ in 0..COUNT {
                self.here.queue(self.msg.clone()).await.unwrap();
            }
            self.arrived.all.notified().await;
        });
    }
}

// As most users have it: a `Client` and a `Server`.
#[library_benchmark]
#[bench::alone(Bus::new(Identity::new()))]
#[bench::with_a_trace_layer(Bus::new(TraceLayer::new()))]
fn client_to_server(mut bus: Bus) -> Bus {
    bus.send();
    bus
}

/// A server and its client, on one thread.
struct Bus {
    runtime: Runtime,
    client: Client,
    _server: Server,
    _dir: TempDir,
    arrived: Arc<Arrived>,
    msg: ChannelMsg,
}

impl Bus {
    /// `layer` goes around the server's handler.
    fn new<L: Layer<Count, Service: Handler + Clone>>(layer: L) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sock");
        let arrived = Arc::<Arrived>::default();
        let handler = layer.layer(Count(arrived.clone()));
        let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
        let (client, server) = runtime.block_on(async {
            let server = Server::builder(&path).relay(false);
            let server = server.listen(handler).await.unwrap();
            let mut client = Client::builder(&path).connect(ignore).await.unwrap();
            client.queue(present(1)).await.unwrap();
            (client, server)
        });
        let mut bus = Self {
            runtime,
            client,
            _server: server,
            _dir: dir,
            arrived,
            msg: offer(SIZE),
        };
        bus.send(); // Afterwards the buffers have grown.
        bus
    }

    fn send(&mut self) {
        self.runtime.block_on(async {
            for _ in 0..COUNT {
                self.client.queue(self.msg.clone()).await.unwrap();
            }
            self.arrived.all.notified().await;
        });
    }
}

/// Counts while `function` runs.
fn inside(function: &str) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.entry_point(EntryPoint::Custom(format!("*Pair*::{function}")));
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

// The same, each end alone.
#[library_benchmark(config = inside("count_send"))]
#[bench::alone(Pair::new())]
#[bench::in_batches(Pair::sending(How::InBatches))]
#[bench::by_reference(Pair::sending(How::ByReference))]
#[bench::by_reference_in_batches(Pair::sending(How::ByReferenceInBatches))]
fn client(mut pair: Pair) -> Pair {
    pair.stream();
    pair
}

#[library_benchmark(config = inside("count_receive"))]
#[bench::alone(Pair::new())]
#[bench::by_reference(Pair::looking())]
fn server(mut pair: Pair) -> Pair {
    pair.stream();
    pair
}

/// A client and a server, each on a runtime of its own, in turn on one thread.
struct Pair {
    here: Runtime,
    there: Runtime,
    client: Client,
    _server: Server,
    _dir: TempDir,
    arrived: Arc<Arrived>,
    msg: ChannelMsg,
    /// Messages sent so far.
    due: usize,
    batch: MessageBatch<ChannelMsg>,
    how: How,
}

/// How the client queues its messages.
#[derive(Clone, Copy)]
enum How {
    ByValue,
    InBatches,
    ByReference,
    ByReferenceInBatches,
}

impl Pair {
    /// Messages that one end works on before the other: what a stream's driver finds in a full queue, and fewer than
    /// the kernel holds.
    const BATCH: usize = 500;

    fn new() -> Self {
        let arrived = Arc::<Arrived>::default();
        Self::with(arrived.clone(), Count(arrived))
    }

    /// The server's handler looks.
    fn looking() -> Self {
        let arrived = Arc::<Arrived>::default();
        let count = arrived.clone();
        let handler = look(move |incoming| {
            if let MessageRef::Offer(_) = incoming.message {
                count.one_more();
            }
        });
        Self::with(arrived, handler)
    }

    fn with(arrived: Arc<Arrived>, handler: impl Handler + Clone) -> Self {
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        let (here, there) = (runtime(), runtime());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sock");
        let server = Server::builder(&path).relay(false).listen(handler);
        let server = there.block_on(server).unwrap();
        let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
        let connected = here.spawn(Client::builder(&path).connect(ignore));
        while !connected.is_finished() {
            here.block_on(yield_now());
            there.block_on(yield_now());
        }
        let client = here.block_on(connected).unwrap().unwrap();
        let mut pair = Self {
            here,
            there,
            client,
            _server: server,
            _dir: dir,
            arrived,
            msg: offer(SIZE),
            due: 0,
            batch: MessageBatch::new(),
            how: How::ByValue,
        };
        let announced = pair.client.queue(present(1));
        pair.here.block_on(announced).unwrap();
        for _ in 0..COUNT / Self::BATCH {
            pair.send(); // Afterwards the buffers have grown.
            pair.receive();
        }
        pair
    }

    fn sending(how: How) -> Self {
        let mut pair = Self::new();
        pair.how = how;
        pair.send(); // Now its buffers have grown, too.
        pair.receive();
        pair
    }

    fn stream(&mut self) {
        for _ in 0..COUNT / Self::BATCH {
            self.count_send();
            self.count_receive();
        }
    }

    #[inline(never)]
    fn count_send(&mut self) {
        self.send();
    }

    #[inline(never)]
    fn count_receive(&mut self) {
        self.receive();
    }

    fn send(&mut self) {
        self.here.block_on(async {
            match self.how {
                How::ByValue => {
                    for _ in 0..Self::BATCH {
                        self.client.queue(self.msg.clone()).await.unwrap();
                    }
                }
                How::ByReference => {
                    for _ in 0..Self::BATCH {
                        self.client.queue_ref(&self.msg).await.unwrap();
                    }
                }
                How::InBatches => {
                    for _ in 0..Self::BATCH {
                        self.batch.push(self.msg.clone());
                    }
                    self.client.queue_all(&mut self.batch).await.unwrap();
                }
                How::ByReferenceInBatches => {
                    for _ in 0..Self::BATCH {
                        self.batch.push_ref(&self.msg);
                    }
                    self.client.queue_all(&mut self.batch).await.unwrap();
                }
            }
            self.client.flushed().await.unwrap();
        });
    }

    fn receive(&mut self) {
        self.due += Self::BATCH;
        while self.arrived.offers.load(Ordering::Relaxed) < self.due {
            self.there.block_on(yield_now());
        }
    }
}

// A typed bus: published by one member, through the listener, to another; the listener gets it, too.
#[library_benchmark]
#[bench::alone(Published::new(false))]
#[bench::with_a_tap(Published::new(true))]
fn published(mut bus: Published) -> Published {
    bus.send();
    bus
}

/// Three members of a bus, on one thread.
struct Published {
    runtime: Runtime,
    publisher: kyneta_uds::Bus<String>,
    _others: [kyneta_uds::Bus<String>; 2],
    _tap: Option<tokio::task::JoinHandle<()>>,
    _dir: TempDir,
    arrived: Arc<Arrived>,
}

impl Published {
    fn new(with_a_tap: bool) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sock");
        let arrived = Arc::<Arrived>::default();
        let join = async |id: &'static str, arrived: Option<Arc<Arrived>>| {
            let handler = service_fn(move |_: BusIncoming<String>| {
                if let Some(arrived) = &arrived {
                    arrived.one_more();
                }
                ready(Ok::<(), Infallible>(()))
            });
            let identity = kyneta_uds::Identity::service(id).unwrap();
            let bus = kyneta_uds::Bus::builder(&path).identity(identity);
            bus.join(handler).await.unwrap()
        };
        let (others, publisher, tap) = runtime.block_on(async {
            let listener = join("listener", None).await;
            let other = join("other", Some(arrived.clone())).await;
            let publisher = join("publisher", None).await;
            while publisher.members().len() < 2 {
                yield_now().await;
            }
            let tap = match with_a_tap {
                true => Some(kyneta_uds::bus::tap(publisher.path().clone()).await.unwrap()),
                false => None,
            };
            ([listener, other], publisher, tap)
        });
        let tap = tap.map(|mut tap| {
            let read = async move { while let Ok(Some(_)) = tap.next().await {} };
            runtime.spawn(read)
        });
        let mut bus = Self {
            runtime,
            publisher,
            _others: others,
            _tap: tap,
            _dir: dir,
            arrived,
        };
        bus.send(); // Afterwards the buffers have grown.
        bus
    }

    fn send(&mut self) {
        self.runtime.block_on(async {
            for _ in 0..COUNT {
                let message = "x".repeat(SIZE);
                drop(self.publisher.ready().await.unwrap().call(message));
            }
            self.arrived.all.notified().await;
        });
    }
}

// The hub's routing alone: an offer of one member, which three others want.
#[library_benchmark]
#[bench::among_10(Routed::among(10))]
#[bench::among_50_000(Routed::among(50_000))]
fn route(mut routed: Routed) -> Routed {
    for _ in 0..COUNT {
        routed.route();
    }
    routed
}

/// A switch with four members, which hold so many documents.
struct Routed {
    switch: Switch,
    effects: Vec<Effect>,
    msg: ChannelMsg,
}

impl Routed {
    const SENDER: MemberKey = MemberKey(0);

    fn among(documents: usize) -> Self {
        let config = SwitchConfig::default().max_documents_of_member(documents);
        let mut routed = Self {
            switch: Switch::new(config),
            effects: Vec::new(),
            msg: offer(SIZE),
        };
        let ChannelMsg::Offer(of) = &routed.msg else {
            unreachable!()
        };
        let interest = Interest::new(of.doc.clone());
        for key in 0..4 {
            let (key, effects) = (MemberKey(key), &mut routed.effects);
            let facts = MemberFacts::local(WireVersion::V3);
            routed.switch.established(key, facts, effects);
            let msgs = [present(documents), interest.clone().into()];
            for msg in msgs {
                routed.switch.received(key, msg, effects);
            }
        }
        routed.route(); // Afterwards the list of effects has grown.
        assert_eq!(routed.effects.len(), 3);
        routed
    }

    fn route(&mut self) {
        self.effects.clear();
        let msg = black_box(&self.msg).clone();
        self.switch.received(Self::SENDER, msg, &mut self.effects);
    }
}

// Through a hub between members of this process: an offer of one member to three others.
#[library_benchmark]
#[bench::alone(PassedOn::new())]
fn pass_on(mut passed: PassedOn) -> PassedOn {
    for _ in 0..COUNT / PassedOn::BATCH {
        passed.pass_on();
    }
    passed
}

/// A hub with four members.
struct PassedOn {
    runtime: Runtime,
    members: Vec<LocalChannel<ChannelMsg>>,
    msg: ChannelMsg,
}

impl PassedOn {
    const BATCH: usize = 10;

    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let msg = offer(SIZE);
        let ChannelMsg::Offer(of) = &msg else {
            unreachable!()
        };
        let interest = ChannelMsg::from(Interest::new(of.doc.clone()));
        let members = runtime.block_on(async {
            let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
            let facts = || MemberFacts::local(WireVersion::V3);
            let mut members: Vec<_> = (0..4)
                .map(|_| hub.local(facts(), QueueConfig::default()))
                .collect();
            for member in &mut members {
                for msg in [present(1), interest.clone()] {
                    member.ready().await.unwrap().call(msg).await.unwrap();
                }
                for _ in 0..100 {
                    yield_now().await;
                }
            }
            for member in &mut members {
                while let Poll::Ready(Some(_)) = poll_now(member) {}
            }
            members
        });
        let mut passed = Self {
            runtime,
            members,
            msg,
        };
        passed.pass_on(); // Afterwards the queues have grown.
        passed
    }

    fn pass_on(&mut self) {
        self.runtime.block_on(async {
            let (sender, receivers) = self.members.split_first_mut().unwrap();
            for _ in 0..Self::BATCH {
                let msg = black_box(&self.msg).clone();
                sender.ready().await.unwrap().call(msg).await.unwrap();
            }
            for receiver in receivers {
                let mut received = 0;
                while received < Self::BATCH {
                    match poll_now(receiver) {
                        Poll::Ready(Some(msg)) => received += usize::from(black_box(msg).is_ok()),
                        Poll::Ready(None) => unreachable!(),
                        Poll::Pending => yield_now().await,
                    }
                }
            }
        });
    }
}

fn poll_now<S: futures_core::Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

library_benchmark_group!(
    name = offer_of_64_bytes,
    benchmarks = [
        encode,
        decode,
        queue_and_drive,
        stream,
        client_to_server,
        client,
        server,
        published,
        route,
        pass_on
    ]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = offer_of_64_bytes
);
