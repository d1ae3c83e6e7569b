//! A bus of messages of one's own, over real sockets.
//!
//! A failure shows the members that are listed, or what was heard instead.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, num::NonZeroU32, path::Path, time::Duration};

use kyneta_uds::{
    Bus, BusIncoming, HandshakeLayer, Incoming, ListenerOptions, Role, Server, SocketPath,
    UnixTarget, WireMode,
    bus::{BusError, BusEvent, BusJoinError, LookError, RequestError, tap, who},
    default_stack,
};
use support::{service, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

type Said = (String, u64, bool, String);

struct One {
    bus: Bus<String>,
    said: mpsc::UnboundedReceiver<Said>,
}

impl One {
    async fn join(path: &Path, id: &str) -> Self {
        let (sender, said) = mpsc::unbounded_channel();
        let handler = service_fn(move |incoming: BusIncoming<String>| {
            let from = incoming.from.id.as_str().to_owned();
            let _ = sender.send((from, incoming.seq, incoming.to_me, incoming.message.clone()));
            if let Some(request) = incoming.request {
                match incoming.message.as_str() {
                    "fail" => request.fail("as it was asked to"),
                    "drop" => drop(request),
                    "wait" => drop(tokio::spawn(async move { request.cancelled().await })),
                    text => request.answer(&format!("{text} yourself")).unwrap(),
                }
            }
            std::future::ready(Ok::<_, Infallible>(()))
        });
        let builder = Bus::builder(path).identity(service(id)).protocol("test/1");
        let bus = soon(builder.join(handler)).await.unwrap();
        Self { bus, said }
    }

    async fn publish(&mut self, text: &str) -> Vec<String> {
        let delivered = soon(self.bus.ready()).await.unwrap().call(text.to_owned());
        let delivered = soon(delivered).await.unwrap();
        delivered
            .missed
            .iter()
            .map(|id| id.as_str().to_owned())
            .collect()
    }

    async fn heard(&mut self) -> (String, String) {
        let (from, _, _, text) = soon(self.said.recv()).await.unwrap();
        (from, text)
    }

    fn members(&self) -> Vec<String> {
        let members = self.bus.members();
        members
            .iter()
            .map(|member| member.id.as_str().to_owned())
            .collect()
    }

    async fn until_members(&self, ids: &[&str]) {
        let mut watch = self.bus.watch_members();
        let all = async {
            while self.members() != ids {
                watch.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all)
            .await
            .unwrap_or_else(|_| panic!("{:?}, not {ids:?}", self.members()));
    }
}

fn heard(from: &str, text: &str) -> (String, String) {
    (from.to_owned(), text.to_owned())
}

#[tokio::test]
async fn all_hear_all_before_and_after_the_listener_ends() {
    let bus = support::Bus::new();
    let mut a = One::join(&bus.path, "a").await;
    let mut b = One::join(&bus.path, "b").await;
    let mut c = One::join(&bus.path, "c").await;
    assert_eq!(a.bus.role(), Role::Listener);
    b.until_members(&["a", "c"]).await;
    a.until_members(&["b", "c"]).await;
    assert_eq!(a.publish("from a").await, [""; 0]);
    assert_eq!(b.publish("from b").await, [""; 0]);
    assert_eq!(c.publish("from c").await, [""; 0]);
    for (one, others) in [
        (&mut a, ["b", "c"]),
        (&mut b, ["a", "c"]),
        (&mut c, ["a", "b"]),
    ] {
        let mut all = vec![one.heard().await, one.heard().await];
        all.sort();
        assert_eq!(
            all,
            others.map(|other| heard(other, &format!("from {other}")))
        );
    }
    soon(a.bus.dispose()).await;
    b.until_members(&["c"]).await;
    c.until_members(&["b"]).await;
    assert_eq!(b.publish("again").await, [""; 0]);
    assert_eq!(c.heard().await, heard("b", "again"));
    assert_eq!(c.publish("and again").await, [""; 0]);
    assert_eq!(b.heard().await, heard("c", "and again"));
}

#[tokio::test]
async fn a_message_to_one_reaches_that_one_and_an_unknown_member_is_an_error_with_names() {
    let bus = support::Bus::new();
    let a = One::join(&bus.path, "a").await;
    let mut b = One::join(&bus.path, "b").await;
    let mut c = One::join(&bus.path, "c").await;
    let mut to_b = c.bus.member("b").unwrap();
    let delivered = soon(to_b.send("psst".into())).await.unwrap();
    assert_eq!((delivered.seq, delivered.missed.len()), (1, 0));
    let (from, seq, to_me, text) = soon(b.said.recv()).await.unwrap();
    assert_eq!(
        (from.as_str(), seq, to_me, text.as_str()),
        ("c", 1, true, "psst")
    );
    let error = c.bus.member("d").unwrap_err().to_string();
    assert_eq!(error, r#"no member "d" is on the bus; there are "a", "b""#);
    // What can be no id is named, too.
    let error = c.bus.member("").unwrap_err().to_string();
    assert_eq!(error, r#"no member "" is on the bus; there are "a", "b""#);
    assert!(c.said.try_recv().is_err());
    drop(a);
}

#[tokio::test]
async fn requests_are_answered_failed_taken_back_or_left() {
    let bus = support::Bus::new();
    let a = One::join(&bus.path, "a").await;
    let b = One::join(&bus.path, "b").await;
    let c = One::join(&bus.path, "c").await;
    let mut ask = b.bus.member("c").unwrap();
    assert_eq!(soon(ask.request("hi".into())).await.unwrap(), "hi yourself");
    let failed = soon(ask.request("fail".into())).await.unwrap_err();
    assert_eq!(failed.to_string(), "as it was asked to");
    let dropped = soon(ask.request("drop".into())).await.unwrap_err();
    assert_eq!(dropped.to_string(), "the request was not answered");
    let mut slow = tower::timeout::Timeout::new(ask.clone(), Duration::from_millis(20));
    soon(slow.ready())
        .await
        .unwrap()
        .call("wait".into())
        .await
        .unwrap_err();
    let waiting = {
        let mut ask = ask.clone();
        tokio::spawn(async move { ask.request("wait".into()).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    soon(c.bus.dispose()).await;
    let left = soon(waiting).await.unwrap().unwrap_err();
    assert_eq!(left.downcast_ref(), Some(&RequestError::Left));
    let gone = soon(ask.request("hi".into())).await.unwrap_err();
    assert!(
        matches!(gone.downcast_ref(), Some(BusError::Unknown(_))),
        "{gone}"
    );
    drop(a);
}

#[tokio::test]
async fn another_protocol_is_refused_with_both_names() {
    let bus = support::Bus::new();
    let a = One::join(&bus.path, "a").await;
    let mut events = a.bus.events();
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let other = Bus::<String>::builder(&bus.path)
        .protocol("other/2")
        .join(ignore);
    let Err(BusJoinError::NotAdmitted { why, .. }) = soon(other).await else {
        panic!("it was admitted");
    };
    assert_eq!(why.code, "protocol");
    assert!(
        why.why.contains("test/1") && why.why.contains("other/2"),
        "{why}"
    );
    let refused = soon(events.recv()).await.unwrap();
    assert!(matches!(refused, BusEvent::Refused { .. }), "{refused:?}");
    // One in common is enough.
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let both = Bus::<String>::builder(&bus.path)
        .protocol("test/2")
        .protocol("test/1");
    let _both = soon(both.join(ignore)).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_not_understood_is_an_event_a_count_and_an_answer() {
    let bus = support::Bus::new();
    let a = One::join(&bus.path, "a").await;
    let mut events = a.bus.events();
    let ignore = service_fn(async |_: BusIncoming<u32>| Ok::<_, Infallible>(()));
    let numbers = Bus::<u32>::builder(&bus.path)
        .identity(service("numbers"))
        .protocol("test/1");
    let mut numbers = soon(numbers.join(ignore)).await.unwrap();
    let delivered = soon(numbers.ready()).await.unwrap().call(7);
    soon(delivered).await.unwrap();
    loop {
        if let BusEvent::NotUnderstood { from, .. } = soon(events.recv()).await.unwrap() {
            assert_eq!(from.id.as_str(), "numbers");
            break;
        }
    }
    assert_eq!(a.bus.counts().not_understood, 1);
    let error = soon(numbers.member("a").unwrap().request(7))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not understand"), "{error}");
}

/// A member that keeps the newest four, and does not go on before it may. How many of ten thousand it gets.
async fn keeps_the_newest(listens: bool) -> usize {
    const MANY: usize = 10_000;
    let bus = support::Bus::new();
    let first = match listens {
        true => None,
        false => Some(One::join(&bus.path, "a").await),
    };
    let (sender, mut got) = mpsc::unbounded_channel();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let open = gate.clone();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let (sender, gate) = (sender.clone(), gate.clone());
        async move {
            gate.acquire().await.unwrap().forget();
            let _ = sender.send(incoming.message);
            Ok::<_, Infallible>(())
        }
    });
    let builder = Bus::<String>::builder(&bus.path)
        .identity(service("slow"))
        .protocol("test/1")
        .when_slow_keep_newest(NonZeroU32::new(4).unwrap());
    let mut events = builder.events();
    let _slow = soon(builder.join(handler)).await.unwrap();
    let mut a = match first {
        Some(a) => a,
        None => One::join(&bus.path, "a").await,
    };
    a.until_members(&["slow"]).await;
    for i in 0..MANY {
        // Not owed to it, so it is done at once.
        let sent = soon(a.bus.ready())
            .await
            .unwrap()
            .call(format!("{i:0>200}"));
        soon(sent).await.unwrap();
    }
    // This one is owed to it, and comes behind all others.
    let mut to_slow = a.bus.member("slow").unwrap();
    let last = soon(to_slow.begin_send("last".to_owned())).await.unwrap();
    open.add_permits(MANY);
    let mut count = 0;
    while soon(got.recv()).await.unwrap() != "last" {
        count += 1;
    }
    soon(last).await.unwrap();
    let mut missed = 0;
    while missed + (count as u64) < MANY as u64 {
        if let BusEvent::Missed { count, .. } = soon(events.recv()).await.unwrap() {
            missed += count;
        }
    }
    assert_eq!(missed + count as u64, MANY as u64);
    count
}

#[tokio::test]
async fn a_member_that_keeps_the_newest_is_told_what_it_has_missed() {
    for listens in [false, true] {
        let count = keeps_the_newest(listens).await;
        // Those that wait at the hub and here, and those that the handler has been given already.
        assert!(count <= 24, "{count}, listens: {listens}");
    }
}

#[tokio::test]
async fn small_messages_beside_requests_come_one_by_one() {
    let bus = support::Bus::new();
    let _listener = One::join(&bus.path, "a").await;
    let mut asked = One::join(&bus.path, "b").await;
    let mut sender = One::join(&bus.path, "c").await;
    sender.until_members(&["a", "b"]).await;
    let mut answers = Vec::new();
    for n in 1..=400 {
        if n % 20 == 0 {
            let mut to_b = sender.bus.member("b").unwrap();
            soon(to_b.ready()).await.unwrap();
            answers.push(to_b.call(n.to_string()));
        } else {
            drop(soon(sender.bus.ready()).await.unwrap().call(n.to_string()));
        }
    }
    for answer in answers {
        assert!(soon(answer).await.unwrap().ends_with(" yourself"));
    }
    for n in 1..=400 {
        assert_eq!(asked.heard().await, ("c".to_owned(), n.to_string()));
    }
}

#[tokio::test]
async fn many_small_messages_come_one_by_one_whatever_else_is_sent_between_them() {
    const MANY: u64 = 5000;
    let bus = support::Bus::new();
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    // A smaller limit than that of the others.
    let listener = Bus::builder(&bus.path)
        .identity(service("a"))
        .max_message(500);
    let _listener = soon(listener.protocol("test/1").join(ignore))
        .await
        .unwrap();
    let mut other = One::join(&bus.path, "b").await;
    let mut sender = One::join(&bus.path, "c").await;
    sender.until_members(&["a", "b"]).await;
    let mut look = soon(tap(SocketPath::new(&bus.path).unwrap()))
        .await
        .unwrap();
    let text = |n: u64| format!("{n}{}", "x".repeat(n as usize * 7 % 400));
    let watch = tokio::spawn(async move {
        let (mut seen, mut last) = (0, 0);
        while last < MANY {
            let passed = look.next().await.unwrap().unwrap();
            seen += 1 + passed.missed;
            assert!(passed.seq > last && passed.kind == "message");
            let shown: String = ciborium::from_reader(&*passed.data).unwrap();
            assert_eq!(shown, text(passed.seq));
            last = passed.seq;
        }
        seen
    });
    let mut to_b = sender.bus.member("b").unwrap();
    let mut last = None;
    for n in 1..=MANY {
        last = Some(match n % 97 {
            0 => soon(to_b.begin_send(text(n))).await.unwrap(),
            _ => soon(sender.bus.ready()).await.unwrap().call(text(n)),
        });
    }
    assert!(soon(last.unwrap()).await.unwrap().missed.is_empty());
    for n in 1..=MANY {
        let said = soon(other.said.recv()).await.unwrap();
        assert_eq!(said, ("c".to_owned(), n, n % 97 == 0, text(n)));
    }
    assert_eq!(soon(watch).await.unwrap(), MANY);
    assert_eq!(sender.bus.unacknowledged(), (0, 0));
}

#[tokio::test]
async fn a_member_that_keeps_the_newest_takes_bundles_apart() {
    const MANY: u64 = 3000;
    let bus = support::Bus::new();
    let _listener = One::join(&bus.path, "a").await;
    let (told, mut got) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let _ = told.send(incoming.seq);
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let slow = Bus::<String>::builder(&bus.path)
        .identity(service("slow"))
        .protocol("test/1")
        .when_slow_keep_newest(NonZeroU32::new(4).unwrap());
    let mut events = slow.events();
    let _slow = soon(slow.join(handler)).await.unwrap();
    let mut sender = One::join(&bus.path, "sender").await;
    sender.until_members(&["a", "slow"]).await;
    for _ in 1..=MANY {
        drop(soon(sender.bus.ready()).await.unwrap().call("x".to_owned()));
    }
    let (mut seen, mut last) = (0, 0);
    while last < MANY {
        let seq = soon(got.recv()).await.unwrap();
        assert!(seq > last);
        (seen, last) = (seen + 1, seq);
    }
    let mut missed = 0;
    while seen + missed < MANY {
        if let BusEvent::Missed { count, .. } = soon(events.recv()).await.unwrap() {
            missed += count;
        }
    }
    assert_eq!(seen + missed, MANY);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_greet_is_closed() {
    let bus = support::Bus::new();
    let a = One::join(&bus.path, "a").await;
    let mut events = a.bus.events();
    let mut stream = UnixStream::connect(&bus.path).await.unwrap();
    let refused = events.recv().await.unwrap();
    let BusEvent::Refused { error, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.code, "silent");
    // What the listener has sent to admit it, and the end.
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).await.unwrap();
}

/// The bytes with which a member greets a listener that admits it.
async fn greeting(id: &str) -> Vec<u8> {
    let elsewhere = support::Bus::new();
    let listener = tokio::net::UnixListener::bind(&elsewhere.path).unwrap();
    let joining = tokio::spawn({
        let (path, id) = (elsewhere.path.clone(), id.to_owned());
        async move { One::join(&path, &id).await }
    });
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let admission = [3, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    stream.write_all(&admission).await.unwrap();
    let mut bytes = vec![0; 10];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    let size = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    bytes.resize(10 + size as usize, 0);
    soon(stream.read_exact(&mut bytes[10..])).await.unwrap();
    joining.abort();
    bytes
}

#[tokio::test]
async fn rubbish_is_an_event_and_a_count_before_the_greeting_and_after_it() {
    let bus = support::Bus::new();
    let a = One::join(&bus.path, "a").await;
    let mut events = a.bus.events();
    for greets in [false, true] {
        let mut stream = UnixStream::connect(&bus.path).await.unwrap();
        if greets {
            stream.write_all(&greeting("b").await).await.unwrap();
        }
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let told = loop {
            match soon(events.recv()).await.unwrap() {
                BusEvent::Refused { id, error } => break format!("{id}{}: {error}", error.code),
                BusEvent::Rejected { error } => break format!("rejected: {error}"),
                BusEvent::Joined(member) => assert_eq!(member.id.as_str(), "b"),
                _ => {}
            }
        };
        let kind = if greets { "rejected: " } else { "not-a-bus: " };
        assert!(
            told.starts_with(kind) && told.contains("begins with 71"),
            "{told}"
        );
    }
    let counts = a.bus.counts();
    assert_eq!((counts.refused, counts.rejected), (1, 1));
}

#[tokio::test]
async fn a_connection_too_many_is_an_event_and_a_count() {
    let bus = support::Bus::new();
    let options = ListenerOptions::default().max_connections(1);
    let builder = Bus::<String>::builder(&bus.path).protocol("test/1");
    let (handler, _open) = stuck();
    let a = builder.listener(options).join(handler);
    let a = soon(a).await.unwrap();
    let mut events = a.events();
    let _first = UnixStream::connect(&bus.path).await.unwrap();
    let _second = UnixStream::connect(&bus.path).await.unwrap();
    let refused = loop {
        if let BusEvent::Refused { id, error } = soon(events.recv()).await.unwrap() {
            break (id, error.code);
        }
    };
    assert_eq!(refused, (String::new(), "too-many-connections".to_owned()));
    assert_eq!(a.counts().refused, 1);
}

#[tokio::test]
async fn a_member_that_acknowledges_nothing_is_disconnected_and_named() {
    let bus = support::Bus::new();
    let (handler, _open) = stuck();
    let mut a = {
        let builder = Bus::builder(&bus.path)
            .identity(service("a"))
            .protocol("test/1");
        let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
        soon(builder.stall_limit(Duration::from_millis(200)).join(ignore))
            .await
            .unwrap()
    };
    let mut events = a.events();
    let builder = Bus::<String>::builder(&bus.path)
        .identity(service("stuck"))
        .protocol("test/1");
    let _stuck = soon(builder.join(handler)).await.unwrap();
    let mut b = One::join(&bus.path, "b").await;
    b.until_members(&["a", "stuck"]).await;
    // More than may wait for the handler before nothing is acknowledged.
    let mut last = None;
    for i in 0..1000 {
        last = Some(soon(a.ready()).await.unwrap().call(i.to_string()));
    }
    let delivered = soon(last.unwrap()).await.unwrap();
    assert_eq!(delivered.missed.len(), 1);
    assert_eq!(delivered.missed[0].as_str(), "stuck");
    loop {
        if let BusEvent::Stalled(member) = soon(events.recv()).await.unwrap() {
            assert_eq!(member.id.as_str(), "stuck");
            break;
        }
    }
    for i in 0..1000 {
        assert_eq!(b.heard().await, heard("a", &i.to_string()));
    }
}

type Stuck = tower::util::BoxCloneService<BusIncoming<String>, (), Infallible>;

/// A handler that never finishes its first message, until the sender is dropped.
fn stuck() -> (Stuck, tokio::sync::watch::Sender<()>) {
    let (open, wait) = tokio::sync::watch::channel(());
    let handler = service_fn(move |_: BusIncoming<String>| {
        let mut wait = wait.clone();
        async move {
            let _ = wait.changed().await;
            Ok::<_, Infallible>(())
        }
    });
    (tower::util::BoxCloneService::new(handler), open)
}

#[tokio::test]
async fn a_peer_of_kyneta_s_on_a_bus_is_named_by_its_protocol() {
    let bus = support::Bus::new();
    let a = One::join(&bus.path, "a").await;
    let mut events = a.bus.events();
    let ignore = service_fn(async |_: kyneta_uds::Incoming| Ok::<_, Infallible>(()));
    let client = kyneta_uds::Client::builder(&bus.path).identity(service("till"));
    let connecting = tokio::spawn(client.connect(ignore));
    loop {
        if let BusEvent::Refused { id, error } = soon(events.recv()).await.unwrap() {
            assert_eq!(
                (id.as_str(), error.code.as_str()),
                ("till", "other-protocol")
            );
            let why = error.to_string();
            assert!(
                why.contains("kyneta's protocol") && why.contains("a bus of"),
                "{why}"
            );
            break;
        }
    }
    connecting.abort();
}

#[tokio::test]
async fn a_kyneta_listener_that_does_not_tell_its_members_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = SocketPath::new(dir.path().join("bus.sock")).unwrap();
    let listener = tokio::net::UnixListener::bind(dir.path().join("bus.sock")).unwrap();
    // As the reference does, it takes each connection for a peer.
    tokio::spawn(async move {
        let mut stack = HandshakeLayer::new(service("theirs")).layer(default_stack(WireMode::Auto));
        let mut channels = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let target = UnixTarget::Accepted(stream);
            channels.extend(stack.ready().await.unwrap().call(target).await);
        }
    });
    for look in [soon(who(path.clone())).await, soon(tap(path)).await] {
        let Err(LookError::NotTold { listener, .. }) = &look else {
            panic!("{look:?}");
        };
        assert_eq!(listener.as_str(), "theirs");
    }
}

#[tokio::test]
async fn little_is_kept_for_a_tap_that_does_not_read_and_it_is_told_what_it_misses() {
    const LARGE: usize = 1 << 20;
    let bus = support::Bus::new();
    let _listener = One::join(&bus.path, "a").await;
    let mut sender = One::join(&bus.path, "sender").await;
    sender.until_members(&["a"]).await;
    let mut look = soon(tap(SocketPath::new(&bus.path).unwrap()))
        .await
        .unwrap();
    for _ in 0..100 {
        let large = sender.bus.ready().await.unwrap().call("x".repeat(LARGE));
        soon(large).await.unwrap();
    }
    let (mut large, mut missed) = (0, 0);
    while missed == 0 {
        let passed = soon(look.next()).await.unwrap().unwrap();
        (large, missed) = (large + u64::from(passed.data.len() > LARGE), passed.missed);
        if large + missed < 100 {
            drop(
                soon(sender.bus.ready())
                    .await
                    .unwrap()
                    .call("small".to_owned()),
            );
        }
    }
    // As much as may wait, twice: for the connection, and in it.
    assert!(large <= 40, "{large}");
    assert_eq!(large + missed, 100);
}

#[tokio::test]
async fn one_tap_too_many_is_told_that_there_is_no_room() {
    let bus = support::Bus::new();
    let listener = One::join(&bus.path, "a").await;
    sixteen_look_on(&bus).await;
    drop(listener);
    let bus = support::Bus::new();
    let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
    let _server = Server::builder(&bus.path).listen(ignore).await.unwrap();
    sixteen_look_on(&bus).await;
}

async fn sixteen_look_on(bus: &support::Bus) {
    let path = SocketPath::new(&bus.path).unwrap();
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(soon(tap(path.clone())).await.unwrap());
    }
    let error = soon(tap(path.clone())).await.unwrap_err();
    assert!(matches!(error, LookError::Rejected { .. }), "{error}");
    assert!(soon(who(path.clone())).await.is_ok());
    all.pop();
    // The listener sees its end in its own time.
    while let Err(error) = soon(tap(path.clone())).await {
        assert!(matches!(error, LookError::Rejected { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_reason_of_any_length_is_told_in_part_and_costs_nothing_else() {
    let bus = support::Bus::new();
    let join = |id| {
        let handler = service_fn(async |incoming: BusIncoming<String>| {
            if let Some(request) = incoming.request {
                request.fail(&"é".repeat(100_000));
            }
            Ok::<_, Infallible>(())
        });
        let builder = Bus::<String>::builder(&bus.path).identity(service(id));
        soon(builder.max_message(1000).join(handler))
    };
    let (a, mut b, mut c) = (
        join("a").await.unwrap(),
        join("b").await.unwrap(),
        join("c").await.unwrap(),
    );
    for (asker, to) in [(&a, "b"), (&b, "a"), (&b, "c")] {
        let mut to = asker.member(to).unwrap();
        let error = soon(to.request("why".to_owned())).await.unwrap_err();
        assert!(error.to_string().starts_with("éé"), "{error}");
    }
    for one in [&mut b, &mut c] {
        let delivered = soon(one.ready()).await.unwrap().call("goes on".to_owned());
        assert!(soon(delivered).await.unwrap().missed.is_empty());
    }
    assert_eq!(a.counts().rejected, 0);
}

#[tokio::test]
async fn members_with_long_ids_and_small_messages_go_on_with_the_next_listener() {
    let bus = support::Bus::new();
    let ids: Vec<_> = (0..100).map(|n| format!("{n:0250}")).collect();
    let mut all = Vec::new();
    for id in &ids {
        let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
        let builder = Bus::<String>::builder(&bus.path).identity(service(id));
        all.push(soon(builder.max_message(1000).join(ignore)).await.unwrap());
    }
    let listener = all.remove(0);
    soon(listener.dispose()).await;
    for one in &mut all {
        let delivered = soon(one.ready()).await.unwrap().call("goes on".to_owned());
        let missed = soon(delivered).await.unwrap().missed;
        assert!(missed.len() <= 1, "{missed:?}");
        assert_eq!(one.members().len(), 98);
    }
}
