//! A blocking member among async ones, on a real bus.
//!
//! The async members run on a runtime of the test's own, the blocking one on the test's thread. A failure shows what
//! was said instead, or the error.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::Write as _,
    net::Shutdown,
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kyneta_uds::{Bus, BusIncoming, Incoming, Server};
use kyneta_uds_blocking::{BusError, BusMember, Client, Error};
use kyneta_uds_cbor::EncodeError;
use kyneta_uds_core::{Identity, PayloadWriter, SocketPath, WireVersion, WriteBuf};
use kyneta_uds_framing::FrameWriter;
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};
use tower::{Service as _, ServiceExt as _, service_fn};

const SOON: Option<Duration> = Some(Duration::from_secs(10));

/// A place for a bus, and a runtime for its async members.
struct Place {
    runtime: Runtime,
    path: SocketPath,
    _dir: TempDir,
}

/// An async member that notes what it gets, and answers requests.
struct One {
    bus: Bus<String>,
    said: mpsc::UnboundedReceiver<(String, bool, String)>,
}

impl Place {
    fn new() -> Self {
        let mut runtime = Builder::new_multi_thread();
        let dir = tempfile::tempdir().unwrap();
        Self {
            runtime: runtime.worker_threads(1).enable_all().build().unwrap(),
            path: SocketPath::new(dir.path().join("bus.sock")).unwrap(),
            _dir: dir,
        }
    }

    fn one(&self, id: &str) -> One {
        let (sender, said) = mpsc::unbounded_channel();
        let handler = service_fn(move |incoming: BusIncoming<String>| {
            let (from, text) = (incoming.from.id.as_str().to_owned(), incoming.message);
            match (incoming.request, text.as_str()) {
                (None, _) => drop(sender.send((from, incoming.to_me, text))),
                (Some(request), "fail") => request.fail("as it was asked to"),
                (Some(request), "wait") => {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        request.cancelled().await;
                        sender.send((from, true, "taken back".to_owned()))
                    });
                }
                (Some(request), _) => request.answer(&format!("{text} yourself")).unwrap(),
            }
            std::future::ready(Ok::<_, Infallible>(()))
        });
        let builder = Bus::builder(self.path.as_pathname().unwrap())
            .identity(Identity::service(id).unwrap())
            .regroup(Duration::from_secs(2));
        let bus = self.runtime.block_on(builder.join(handler)).unwrap();
        One { bus, said }
    }

    fn blocking(&self, id: &str) -> BusMember<String> {
        let identity = Identity::service(id).unwrap();
        BusMember::builder(self.path.clone(), identity)
            .connect()
            .unwrap()
    }

    fn publish(&self, one: &mut One, text: &str) {
        self.runtime.block_on(async {
            drop(one.bus.ready().await.unwrap().call(text.to_owned()));
        });
    }

    /// Waits until the async member lists another one.
    fn met(&self, one: &One, id: &str) {
        let mut watch = one.bus.watch_members();
        let lists = || {
            one.bus
                .members()
                .iter()
                .any(|member| member.id.as_str() == id)
        };
        self.runtime.block_on(async {
            while !lists() {
                watch.changed().await.unwrap();
            }
        });
    }

    fn heard(&self, one: &mut One) -> (String, bool, String) {
        let said = async { tokio::time::timeout(Duration::from_secs(10), one.said.recv()).await };
        self.runtime.block_on(said).unwrap().unwrap()
    }
}

fn said(from: &str, to_me: bool, text: &str) -> (String, bool, String) {
    (from.to_owned(), to_me, text.to_owned())
}

fn ids(member: &BusMember<String>) -> Vec<String> {
    let members = member.members();
    members.iter().map(|id| id.as_str().to_owned()).collect()
}

#[test]
fn what_is_published_and_sent_reaches_all_and_one_in_both_directions() {
    let place = Place::new();
    let (mut a, mut b) = (place.one("a"), place.one("b"));
    let mut c = place.blocking("c");
    assert_eq!(ids(&c), ["a", "b"]);
    let delivered = c.publish(&"to all".to_owned(), SOON).unwrap();
    assert_eq!((delivered.seq, delivered.missed.len()), (1, 0));
    let delivered = c.send("b", &"to one".to_owned(), SOON).unwrap();
    assert_eq!((delivered.seq, delivered.missed.len()), (2, 0));
    assert_eq!(place.heard(&mut a), said("c", false, "to all"));
    assert_eq!(place.heard(&mut b), said("c", false, "to all"));
    assert_eq!(place.heard(&mut b), said("c", true, "to one"));
    place.met(&b, "c");
    // In bundles, and one that is large.
    let large = "x".repeat(1 << 20);
    for n in 0..500 {
        let text = if n == 250 {
            large.clone()
        } else {
            n.to_string()
        };
        place.publish(&mut b, &text);
    }
    for n in 0..500 {
        let incoming = c.recv(SOON).unwrap();
        assert_eq!((incoming.from.as_str(), incoming.to_me), ("b", false));
        let text = if n == 250 {
            large.clone()
        } else {
            n.to_string()
        };
        assert!(incoming.message == text && incoming.seq == n + 1);
    }
    let error = c.recv(Some(Duration::from_millis(10))).unwrap_err();
    assert!(matches!(
        error,
        BusError::Connection(Error::TimedOut { .. })
    ));
    let error = c.send("d", &String::new(), SOON).unwrap_err();
    assert_eq!(error.to_string(), r#"no member "d" is on the bus"#);
    c.leave().unwrap();
}

#[test]
fn requests_are_answered_failed_or_taken_back_in_both_directions() {
    let place = Place::new();
    let mut a = place.one("a");
    let mut b = place.blocking("b");
    let answer = b.request("a", &"hi".to_owned(), SOON).unwrap();
    assert_eq!(answer, "hi yourself");
    let error = b.request("a", &"fail".to_owned(), SOON).unwrap_err();
    assert_eq!(error.to_string(), "a does not answer: as it was asked to");
    let soon = Some(Duration::from_millis(20));
    let error = b.request("a", &"wait".to_owned(), soon).unwrap_err();
    assert!(matches!(
        error,
        BusError::Connection(Error::TimedOut { .. })
    ));
    b.publish(&"next".to_owned(), SOON).unwrap();
    let mut heard = [place.heard(&mut a), place.heard(&mut a)];
    heard.sort();
    assert_eq!(
        heard,
        [said("b", false, "next"), said("b", true, "taken back")]
    );

    let answering = thread::spawn(move || {
        for (text, answer) in [("one", Ok("1")), ("two", Err("unknown"))] {
            let incoming = b.recv(SOON).unwrap();
            assert_eq!((incoming.message.as_str(), incoming.to_me), (text, true));
            let request = incoming.request.unwrap();
            match answer {
                Ok(answer) => b.answer(request, &answer.to_owned(), SOON).unwrap(),
                Err(why) => b.fail(request, why, SOON).unwrap(),
            }
        }
        b.leave().unwrap();
    });
    place.met(&a, "b");
    place.runtime.block_on(async {
        let mut ask = a.bus.member("b").unwrap();
        assert_eq!(ask.request("one".into()).await.unwrap(), "1");
        let error = ask.request("two".into()).await.unwrap_err();
        assert_eq!(error.to_string(), "unknown");
    });
    answering.join().unwrap();
}

#[test]
fn when_the_listener_ends_it_goes_on_with_the_next_one_and_nothing_is_lost_or_repeated() {
    let place = Place::new();
    let (a, mut b) = (place.one("a"), place.one("b"));
    let mut c = place.blocking("c");
    c.publish(&"before".to_owned(), SOON).unwrap();
    place.met(&b, "c");
    place.publish(&mut b, "before");
    // It waits for the ends of its connections, and the blocking member reads its own in its next call.
    let disposed = place.runtime.spawn(async move { a.bus.dispose().await });
    c.publish(&"after".to_owned(), SOON).unwrap();
    place.publish(&mut b, "after");
    for text in ["before", "after"] {
        assert_eq!(place.heard(&mut b), said("c", false, text));
        assert_eq!(c.recv(SOON).unwrap().message, text);
    }
    assert_eq!(ids(&c), ["b"]);
    place.runtime.block_on(disposed).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn while_the_listener_is_handed_over_each_message_comes_once_and_in_order() {
    let place = Place::new();
    let path = place.path.as_pathname().unwrap().to_owned();
    let listen = || {
        let (sender, said) = mpsc::unbounded_channel();
        let handler = service_fn(move |incoming: BusIncoming<String>| {
            let from = incoming.from.id.as_str().to_owned();
            drop(sender.send((from, incoming.to_me, incoming.message)));
            if let Some(request) = incoming.request {
                request.answer(&"yes".to_owned()).unwrap();
            }
            std::future::ready(Ok::<_, Infallible>(()))
        });
        let builder = Bus::builder(&path).identity(Identity::service("hub").unwrap());
        let joining = builder.take_over().join(handler);
        let bus = place.runtime.block_on(joining).unwrap();
        One { bus, said }
    };
    let mut hub = listen();
    let mut members = [place.blocking("a"), place.blocking("b")];
    for member in &mut members {
        while member.members().len() < 2 {
            member.publish(&"hello".to_owned(), SOON).unwrap();
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let threads = members.map(|mut member| {
        let stop = stop.clone();
        thread::spawn(move || {
            let (mut count, mut got) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let delivered = member.publish(&count.to_string(), SOON).unwrap();
                assert_eq!(delivered.missed, []);
                count += 1;
                if count % 10 == 0 {
                    match member.request("hub", &"ask".to_owned(), SOON) {
                        Ok(answer) => assert_eq!(answer, "yes"),
                        // It was asked, and its successor knows nothing of it.
                        Err(BusError::NotAnswered { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
                while let Ok(incoming) = member.recv(Some(Duration::ZERO)) {
                    got.push(incoming);
                }
            }
            member.publish(&"last".to_owned(), SOON).unwrap();
            while got.last().is_none_or(|last| last.message != "last") {
                got.push(member.recv(SOON).unwrap());
            }
            (member, count, got)
        })
    });
    let mut heard = Vec::new();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(100)); // They publish meanwhile.
        let next = listen();
        place.runtime.block_on(hub.bus.closed());
        assert!(hub.bus.handed_over_to().is_some());
        while let Ok(said) = hub.said.try_recv() {
            heard.push(said);
        }
        hub = next;
    }
    stop.store(true, Ordering::Relaxed);
    let ends = threads.map(|thread| thread.join().unwrap());
    while let Ok(said) = hub.said.try_recv() {
        heard.push(said);
    }
    let numbers = |count: u32| (0..count).map(|n| n.to_string());
    for (at, id) in ["a", "b"].into_iter().enumerate() {
        let (_, count, _) = ends[at];
        let is_number = |text: &&String| text.parse::<u32>().is_ok();
        let by_hub = heard.iter().filter(|said| said.0 == id).map(|said| &said.2);
        assert!(
            by_hub
                .filter(is_number)
                .eq(&numbers(count).collect::<Vec<_>>()),
            "{id}"
        );
        let (.., got) = &ends[1 - at];
        let got = got
            .iter()
            .map(|incoming| &incoming.message)
            .filter(is_number);
        assert!(got.eq(&numbers(count).collect::<Vec<_>>()), "{id}");
    }
}

#[test]
fn two_that_publish_to_each_other_do_not_wait_for_each_other_s_recv() {
    let place = Place::new();
    let _listener = place.one("listener");
    let mut threads = Vec::new();
    let mut members = [place.blocking("a"), place.blocking("b")];
    // Each is to have met the other. One reads only in a call, so the other may hear of it after its own call. What one
    // publishes that has met the other would wait for a call of the other.
    for member in &mut members {
        while member.members().len() < 2 {
            member.publish(&"hello".to_owned(), SOON).unwrap();
        }
    }
    for mut member in members {
        threads.push(thread::spawn(move || {
            for n in 0..100 {
                member.publish(&n.to_string(), SOON).unwrap();
            }
            let mut got = Vec::new();
            while got.last().is_none_or(|last| last != "99") {
                got.push(member.recv(SOON).unwrap().message);
            }
            got.retain(|text| text != "hello");
            assert!(got.into_iter().eq((0..100).map(|n| n.to_string())));
            member
        }));
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap().leave().unwrap());
}

#[test]
fn another_protocol_is_refused_and_what_is_no_message_is_named() {
    let place = Place::new();
    let mut a = place.one("a");
    let identity = || Identity::service("b").unwrap();
    let refused = BusMember::<String>::builder(place.path.clone(), identity())
        .protocol("other/2")
        .connect();
    let Err(BusError::NotAdmitted { code, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, "protocol");
    let mut b = BusMember::<u32>::builder(place.path.clone(), identity())
        .max_message(4)
        .connect()
        .unwrap();
    place.met(&a, "b");
    place.publish(&mut a, "seven");
    let error = b.recv(SOON).unwrap_err();
    assert_eq!(error.to_string(), "message 1 of a is not understood");
    b.leave().unwrap();
    let mut c = BusMember::<String>::builder(place.path.clone(), identity())
        .max_message(4)
        .connect()
        .unwrap();
    let error = c.publish(&"seven".to_owned(), SOON).unwrap_err();
    assert!(matches!(error, BusError::Encode(_)), "{error}");
    place.met(&a, "b");
    let asked = {
        let mut ask = a.bus.member("b");
        place
            .runtime
            .spawn(async move { ask.as_mut().unwrap().request("x".into()).await })
    };
    let incoming = c.recv(SOON).unwrap();
    drop(c);
    drop(incoming);
    assert!(place.runtime.block_on(asked).unwrap().is_err());
}

#[test]
fn at_the_path_of_the_other_protocol_each_says_so_and_does_not_wait() {
    let place = Place::new();
    let at = |name: &str| SocketPath::new(place.path.as_pathname().unwrap().with_file_name(name));
    let identity = || Identity::service("b").unwrap();
    let _a = place.one("a");
    let start = Instant::now();
    let client = Client::builder(place.path.clone(), identity()).connect();
    let error = client.unwrap_err();
    assert!(
        matches!(&error, Error::OtherProtocol { path } if *path == place.path),
        "{error:?}"
    );
    assert!(error.ends_connection());

    let kyneta = at("kyneta.sock").unwrap();
    let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
    let server = Server::builder(kyneta.as_pathname().unwrap()).listen(ignore);
    let _server = place.runtime.block_on(server).unwrap();
    let member = BusMember::<String>::builder(kyneta, identity()).connect();
    let Err(BusError::Connection(error @ Error::NotAdmitted)) = member else {
        panic!("{member:?}");
    };
    assert!(error.to_string().contains("is no bus"), "{error}");
    // Both have 5 s.
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_request_that_is_dropped_is_answered_by_the_next_call() {
    let place = Place::new();
    let a = place.one("a");
    let mut b = place.blocking("b");
    place.met(&a, "b");
    let ask = |text: &str| {
        let (mut ask, text) = (a.bus.member("b").unwrap(), text.to_owned());
        place
            .runtime
            .spawn(async move { ask.request(text).await.unwrap_err().to_string() })
    };
    let told = "the request was not answered";
    // The call waits for what comes next, or has that already.
    for _ in 0..2 {
        let first = ask("first");
        drop(b.recv(SOON).unwrap());
        let error = b.recv(Some(Duration::from_millis(50))).unwrap_err();
        assert!(matches!(
            error,
            BusError::Connection(Error::TimedOut { .. })
        ));
        assert_eq!(place.runtime.block_on(first).unwrap(), told);
    }
    let (first, second) = (ask("first"), ask("second"));
    b.publish(&"both have come".to_owned(), SOON).unwrap();
    while b.recv(SOON).unwrap().message != "first" {}
    assert_eq!(b.recv(SOON).unwrap().message, "second");
    assert_eq!(place.runtime.block_on(first).unwrap(), told);
    b.leave().unwrap();
    assert_eq!(place.runtime.block_on(second).unwrap(), told);
}

#[test]
fn a_listener_that_ends_does_not_wait_for_an_idle_member() {
    let place = Place::new();
    let a = place.one("a");
    let mut b = place.blocking("b");
    let start = Instant::now();
    place.runtime.block_on(a.bus.dispose());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let c = place.one("c");
    b.publish(&"goes on".to_owned(), SOON).unwrap();
    assert_eq!(ids(&b), ["c"]);
    place.met(&c, "b");
}

/// The task of an async member that joins: who is listed then, and how long it took.
fn joins(place: &Place, id: &str) -> tokio::task::JoinHandle<(Bus<String>, Vec<String>, Duration)> {
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let builder = Bus::builder(place.path.as_pathname().unwrap());
    let builder = builder.identity(Identity::service(id).unwrap());
    place.runtime.spawn(async move {
        let since = Instant::now();
        let bus = builder.join(ignore).await.unwrap();
        let listed = bus.members();
        let listed = listed.iter().map(|of| of.id.as_str().to_owned());
        (bus, listed.collect(), since.elapsed())
    })
}

#[test]
fn a_newcomer_waits_for_one_that_was_there_whoever_comes_meanwhile() {
    let place = Place::new();
    let _listener = place.one("listener");
    // It reads only while a call runs.
    let mut slow = place.blocking("slow");
    let newcomer = joins(&place, "newcomer");
    thread::sleep(Duration::from_millis(100));
    let another = joins(&place, "another");
    thread::sleep(Duration::from_millis(200));
    slow.recv(Some(Duration::from_millis(300))).unwrap_err();
    let (_newcomer, listed, _) = place.runtime.block_on(newcomer).unwrap();
    assert!(listed.contains(&"slow".to_owned()), "{listed:?}");
    let (_another, listed, _) = place.runtime.block_on(another).unwrap();
    assert!(listed.contains(&"slow".to_owned()), "{listed:?}");
}

#[test]
fn a_newcomer_does_not_wait_for_one_that_leaves() {
    let place = Place::new();
    let _listener = place.one("listener");
    let slow = place.blocking("slow");
    let newcomer = joins(&place, "newcomer");
    thread::sleep(Duration::from_millis(100));
    slow.leave().unwrap();
    let (_newcomer, listed, took) = place.runtime.block_on(newcomer).unwrap();
    assert_eq!(listed, ["listener"]);
    assert!(took < Duration::from_millis(900), "{took:?}");
}

#[test]
fn a_listener_that_does_not_serve_takes_no_longer_than_the_limit_of_the_call() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.path.as_pathname().unwrap()).unwrap();
    let identity = Identity::service("b").unwrap();
    let builder = BusMember::<String>::builder(place.path.clone(), identity);
    let start = Instant::now();
    let member = builder.timeout(Duration::from_millis(50)).connect();
    let took = start.elapsed();
    assert!(
        matches!(
            member,
            Err(BusError::Connection(Error::TimedOut { waited })) if waited.as_millis() == 50
        ),
        "{member:?}"
    );
    assert!(took < Duration::from_millis(400), "{took:?}");
}

#[test]
fn a_refusal_is_told_also_when_the_hub_reads_no_greeting() {
    let place = Place::new();
    let listener = UnixListener::bind(place.path.as_pathname().unwrap()).unwrap();
    let hub = thread::spawn(move || {
        let (mut io, _) = listener.accept().unwrap();
        io.shutdown(Shutdown::Read).unwrap();
        let refusal = (17, BTreeMap::from([("code", "full"), ("why", "no room")]));
        let mut payload = Vec::new();
        ciborium::into_writer(&refusal, &mut payload).unwrap();
        let (mut writer, mut buf) = (FrameWriter::new(1000), WriteBuf::default());
        for payload in [&[], &*payload] {
            let write = |out: &mut PayloadWriter<'_>| {
                out.put_slice(payload);
                Ok::<(), EncodeError>(())
            };
            let too_large = |size, limit| EncodeError::TooLarge { size, limit };
            let wire = WireVersion::V3;
            writer.write(wire, &mut buf, write, too_large).unwrap();
        }
        io.write_all(&buf.to_vec()).unwrap();
    });
    let identity = Identity::service("b").unwrap();
    let builder = BusMember::<String>::builder(place.path.clone(), identity);
    let member = builder.timeout(Duration::from_secs(1)).connect();
    let Err(BusError::NotAdmitted { code, why }) = member else {
        panic!("{member:?}");
    };
    assert_eq!((&*code, &*why), ("full", "no room"));
    hub.join().unwrap();
}

#[test]
fn a_bus_on_which_much_is_said_at_once_can_be_joined() {
    const MESSAGES: usize = 3000;
    let place = Place::new();
    let mut a = place.one("a");
    // It reads only while a call runs: a newcomer waits for it.
    let _slow = place.blocking("slow");
    let path = place.path.clone();
    let joining = thread::spawn(move || {
        BusMember::<String>::builder(path, Identity::service("b").unwrap()).connect()
    });
    place.met(&a, "b");
    for n in 0..MESSAGES {
        place.publish(&mut a, &n.to_string());
    }
    let mut b = joining.join().unwrap().unwrap();
    for n in 0..MESSAGES {
        assert_eq!(b.recv(SOON).unwrap().message, n.to_string());
    }
}

#[test]
fn a_reason_of_any_length_is_told_in_part_and_costs_nothing_else() {
    let place = Place::new();
    let a = place.one("a");
    let mut b = BusMember::<String>::builder(place.path.clone(), Identity::service("b").unwrap())
        .max_message(1000)
        .connect()
        .unwrap();
    place.met(&a, "b");
    let asked = {
        let mut ask = a.bus.member("b").unwrap();
        place
            .runtime
            .spawn(async move { ask.request("x".into()).await })
    };
    let request = b.recv(SOON).unwrap().request.unwrap();
    b.fail(request, &"é".repeat(100_000), SOON).unwrap();
    let error = place.runtime.block_on(asked).unwrap().unwrap_err();
    assert!(error.to_string().starts_with("éé"), "{error}");
    b.publish(&"goes on".to_owned(), SOON).unwrap();
}

#[test]
fn of_large_messages_few_are_kept_for_recv() {
    const MESSAGES: u8 = 60;
    let place = Place::new();
    let mut a = place.one("a");
    let mut b = place.blocking("b");
    place.met(&a, "b");
    let large = "x".repeat(1 << 20);
    for _ in 0..MESSAGES {
        // It reads while it waits.
        let Err(error) = b.request("a", &"wait".to_owned(), Some(Duration::from_millis(20))) else {
            panic!("it was answered");
        };
        if let BusError::Unread { limit } = error {
            assert!(limit < 30, "{limit}");
            return;
        }
        place.publish(&mut a, &large);
    }
    panic!("all were kept");
}
