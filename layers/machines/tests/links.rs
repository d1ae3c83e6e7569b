//! Links over an engine in memory: cuts, successors, machines that may not have one.
//!
//! The engine is pairs of pipes which the test cuts, with paused time. A failure shows the event that came instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // Helpers stand beside the tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kyneta_uds_machines::{
    Accept, Accepted, DownReason, LinkEvent, LinkIo, Links, Machine, MachineKey, Reason, Refusal,
    Remote,
    memory::{Listener, Network, Stream},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
    time::timeout,
};
use tower::ServiceExt as _;

fn key(number: u8) -> MachineKey {
    MachineKey::from([number; 32])
}

/// A machine whose name is said, and the others with the names they have there.
fn start(network: &Network, me: u8, name: &str, others: &[(u8, &str)]) -> Links<Stream> {
    let mut builder = Links::builder(name.parse().unwrap(), key(me));
    for (other, name) in others {
        builder = builder.machine(Machine::new(
            name.parse().unwrap(),
            key(*other),
            key(*other),
        ));
    }
    let (dial, listen) = (network.dialer(key(me)), network.listen(key(me)));
    builder.start(dial, listen).unwrap()
}

async fn next(links: &mut Links<Stream>) -> LinkEvent<Stream> {
    let event = timeout(Duration::from_secs(30), links.next()).await;
    event.expect("an event in time").expect("it goes on")
}

/// The next link that is up, whatever is reported before it.
async fn up(links: &mut Links<Stream>) -> LinkIo<Stream> {
    loop {
        if let LinkEvent::Up { io, .. } = next(links).await {
            return io;
        }
    }
}

/// The next link that is down, and why.
async fn down(links: &mut Links<Stream>) -> DownReason {
    match next(links).await {
        LinkEvent::Down { reason, .. } => reason,
        event => panic!("{event:?}"),
    }
}

async fn passes(a: &mut LinkIo<Stream>, b: &mut LinkIo<Stream>) {
    let mut bytes = [0; 7];
    a.write_all(b"payload").await.unwrap();
    b.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"payload");
    b.write_all(b"answer!").await.unwrap();
    a.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"answer!");
}

#[tokio::test(start_paused = true)]
async fn a_link_comes_back_after_each_cut_and_bytes_pass_both_ways() {
    let network = Network::new();
    let mut oslo = start(&network, 1, "oslo", &[(2, "rome")]);
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let (mut a, mut b) = (up(&mut oslo).await, up(&mut rome).await);
    for _ in 0..20 {
        passes(&mut a, &mut b).await;
        network.cut(key(1), key(2));
        assert!(a.read_u8().await.is_err() && b.read_u8().await.is_err());
        drop((a, b));
        for links in [&mut oslo, &mut rome] {
            assert!(matches!(down(links).await, DownReason::Closed(_)));
        }
        let LinkEvent::Absent { reason, .. } = next(&mut oslo).await else {
            panic!("a cut is reported")
        };
        assert!(reason.to_string().contains("the path is cut"));
        assert!(!oslo.status()[0].up && oslo.status()[0].reason == Some(reason));
        network.heal(key(1), key(2));
        (a, b) = (up(&mut oslo).await, up(&mut rome).await);
    }
    assert!(oslo.status()[0].up && oslo.status()[0].opened == 21);
}

#[tokio::test(start_paused = true)]
async fn a_successor_with_the_larger_key_knocks_and_is_dialed_at_once() {
    let network = Network::new();
    let mut oslo = start(&network, 1, "oslo", &[(2, "rome")]);
    let mut first = start(&network, 2, "rome", &[(1, "oslo")]);
    let (_a, _b) = (up(&mut oslo).await, up(&mut first).await);

    // The first one still seems to be alive: nothing has ended its stream.
    let mut successor = start(&network, 2, "rome", &[(1, "oslo")]);
    let since = tokio::time::Instant::now();
    assert_eq!(down(&mut oslo).await, DownReason::Knocked);
    let (mut a, mut b) = (up(&mut oslo).await, up(&mut successor).await);
    assert!(since.elapsed() < Duration::from_millis(100));
    passes(&mut a, &mut b).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_used_twice_is_reported_at_both_ends_and_the_newest_keeps_the_link() {
    let network = Network::new();
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let mut first = start(&network, 1, "oslo", &[(2, "rome")]);
    let (_a, mut old) = (up(&mut first).await, up(&mut rome).await);
    let mut second = start(&network, 1, "oslo", &[(2, "rome")]);
    let mut a = up(&mut second).await;
    let end = old.end();
    assert!(matches!(next(&mut rome).await, LinkEvent::Replaced { .. }));
    assert_eq!(end.reason("unused"), None, "the event says it");
    assert_eq!(rome.status()[0].last_down, Some(DownReason::Replaced));
    let mut b = up(&mut rome).await;
    assert!(old.read_u8().await.is_err(), "the old link is not read");
    drop((old, _a)); // the first one dials again
    passes(&mut a, &mut b).await;
    let twice = |event, expected: bool| matches!(event, LinkEvent::Refused { refusal: Refusal::KeyUsedTwice, here, .. } if here == expected);
    let dropped = DownReason::EndedHere("its stream was dropped".into());
    assert_eq!(down(&mut first).await, dropped);
    assert!(twice(next(&mut first).await, false));
    assert!(twice(next(&mut rome).await, true));
    passes(&mut a, &mut b).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_refused_without_a_byte_read() {
    let network = Network::new();
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let remote = Remote::new(key(2), key(2));
    let mut stranger = network.dialer(key(9)).oneshot(remote).await.unwrap();
    let mut answer = Vec::new(); // it has said nothing
    stranger.read_to_end(&mut answer).await.unwrap();
    assert_eq!(&answer[..6], b"kynL\x01\x01");

    let refused = loop {
        match next(&mut rome).await {
            LinkEvent::Absent { .. } => {} // oslo is not there
            event => break event,
        }
    };
    let LinkEvent::Refused {
        key: who,
        machine: None,
        refusal: Refusal::UnknownKey,
        here: true,
    } = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(who, key(9));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_has_another_name_is_refused_and_both_say_so() {
    let network = Network::new();
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let mut liar = start(&network, 1, "paris", &[(2, "rome")]);
    for (links, is_here) in [(&mut rome, true), (&mut liar, false)] {
        loop {
            match next(links).await {
                LinkEvent::Refused { refusal, here, .. } if here == is_here => {
                    assert_eq!(refusal, Refusal::OtherName);
                    break;
                }
                LinkEvent::Up { .. } => panic!("no link may come up"),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_does_not_name_this_one_is_absent_with_that_reason() {
    let network = Network::new();
    let mut oslo = start(&network, 1, "oslo", &[(2, "rome")]);
    let mut rome = start(&network, 2, "rome", &[]);
    assert!(matches!(
        next(&mut oslo).await,
        LinkEvent::Refused {
            refusal: Refusal::UnknownKey,
            here: false,
            ..
        }
    ));
    assert!(matches!(
        next(&mut rome).await,
        LinkEvent::Refused {
            refusal: Refusal::UnknownKey,
            here: true,
            ..
        }
    ));
    let reason = oslo.status()[0].reason.clone();
    assert_eq!(reason, Some(Reason::Refused(Refusal::UnknownKey)));
}

#[tokio::test(start_paused = true)]
async fn words_that_are_no_preface_or_never_come_cost_the_arrival_alone() {
    let network = Network::new();
    let mut oslo = start(&network, 1, "oslo", &[(2, "rome")]);
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let (mut a, mut b) = (up(&mut oslo).await, up(&mut rome).await);
    let mut silent = Vec::new();
    for round in 0..200_u8 {
        let remote = Remote::new(key(2), key(2));
        // Refused while too many are silent; that is their own bound.
        let Ok(mut stream) = network.dialer(key(1)).oneshot(remote).await else {
            continue;
        };
        if round % 2 == 0 {
            let _ = stream.write_all(&[round; 64]).await;
        }
        silent.push(stream);
        tokio::task::yield_now().await;
    }
    passes(&mut a, &mut b).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    network.cut(key(1), key(2));
    drop((a, b, silent));
    network.heal(key(1), key(2));
    let (mut a, mut b) = (up(&mut oslo).await, up(&mut rome).await);
    passes(&mut a, &mut b).await;
}

/// What a process of machine 1, called oslo, says first when it dials machine 2; the stream, and the code of the answer.
async fn dial(network: &Network, attempt: u64) -> (Stream, u8) {
    let remote = Remote::new(key(2), key(2));
    let mut stream = network.dialer(key(1)).oneshot(remote).await.unwrap();
    let mut words = b"kynL\x01\x01".to_vec();
    for number in [7, attempt, 0, 0] {
        words.extend(u64::to_be_bytes(number));
    }
    words.extend(b"\x04oslo");
    stream.write_all(&words).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    (stream, answer[5])
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_comes_after_a_newer_one_is_refused_and_no_event() {
    const WELCOME: u8 = 0;
    const OUTDATED: u8 = 4;
    let network = Network::new();
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let (_link, answer) = dial(&network, 2).await;
    assert_eq!(answer, WELCOME);
    let _io = up(&mut rome).await;
    let (_late, answer) = dial(&network, 1).await;
    assert_eq!(answer, OUTDATED);
    let event = timeout(Duration::from_secs(3), rome.next()).await;
    assert!(event.is_err(), "{event:?}");
    assert!(rome.status()[0].up);
}

#[tokio::test(start_paused = true)]
async fn three_machines_have_one_link_a_pair() {
    let network = Network::new();
    let names = [(1, "oslo"), (2, "rome"), (3, "lima")];
    let others = |me| names.into_iter().filter(move |(other, _)| *other != me);
    let start = |(me, name): (u8, &str)| start(&network, me, name, &others(me).collect::<Vec<_>>());
    let mut machines = names.map(start);
    let mut ios = Vec::new();
    for machine in &mut machines {
        for _ in 0..2 {
            ios.push(up(machine).await);
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    for machine in &machines {
        assert!(
            machine
                .status()
                .iter()
                .all(|link| link.up && link.opened == 1)
        );
    }
}

/// An engine that says when it is closed.
struct Closes(Listener, watch::Sender<bool>);

impl Accept for Closes {
    type Io = Stream;

    async fn accept(&mut self) -> Option<Accepted<Stream>> {
        self.0.accept().await
    }

    async fn close(&mut self) {
        self.1.send_replace(true);
        // It never ends by itself.
        std::future::pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn closing_ends_links_that_were_yielded_and_closes_the_engine_within_two_seconds() {
    let network = Network::new();
    let (closes, closed) = watch::channel(false);
    let listener = Closes(network.listen(key(1)), closes);
    let rome = Machine::new("rome".parse().unwrap(), key(2), key(2));
    let oslo = Links::builder("oslo".parse().unwrap(), key(1)).machine(rome);
    let mut oslo = oslo.start(network.dialer(key(1)), listener).unwrap();
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let (mut a, mut b) = (up(&mut oslo).await, up(&mut rome).await);
    let status = oslo.watch();
    assert!(status.status()[0].up && !*closed.borrow());

    let since = tokio::time::Instant::now();
    oslo.close().await;
    assert_eq!(since.elapsed().as_millis(), 2_000);
    assert!(*closed.borrow() && !status.status()[0].up);
    let ended = a.read_u8().await.unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionAborted);
    drop(a);
    let end = b.end();
    assert!(b.read_u8().await.is_err());
    drop(b);
    assert_eq!(end.reason("unused"), Some(DownReason::Finished));
    assert_eq!(down(&mut rome).await, DownReason::Finished);
    assert_eq!(rome.status()[0].last_down, Some(DownReason::Finished));
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_of_a_link_is_asked_for_while_it_is_up() {
    let network = Network::new();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let mut oslo = start(&network, 1, "oslo", &[(2, "rome")]).round_trip(move |_| {
        let asked = count.clone();
        move || Some(Duration::from_millis(asked.fetch_add(1, Ordering::Relaxed)))
    });
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let (a, _b) = (up(&mut oslo).await, up(&mut rome).await);
    let watch = oslo.watch();
    for millis in 0..3 {
        let status = watch.status();
        assert_eq!(status[0].round_trip, Some(Duration::from_millis(millis)));
    }
    network.cut(key(1), key(2));
    drop(a);
    assert!(matches!(next(&mut oslo).await, LinkEvent::Down { .. }));
    assert_eq!(watch.status()[0].round_trip, None);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    network.heal(key(1), key(2));
    let _a = up(&mut oslo).await;
    assert!(watch.status()[0].round_trip.is_some());
}

/// As a proxy does that copies in two tasks: the one that writes is the last that has looked whether the link is cut.
#[tokio::test]
async fn a_link_that_is_cut_wakes_the_half_that_reads_and_the_half_that_writes() {
    let network = Network::new();
    let mut oslo = start(&network, 1, "oslo", &[(2, "rome")]);
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let (a, _b) = (up(&mut oslo).await, up(&mut rome).await);
    let (mut reads, mut writes) = tokio::io::split(a);
    let reader = tokio::spawn(async move { reads.read_u8().await });
    tokio::task::yield_now().await;
    writes.write_u8(1).await.unwrap();
    // The other process is another one, which knocks: the link is cut.
    let _rome = start(&network, 2, "rome", &[(1, "oslo")]);
    let ended = timeout(Duration::from_secs(5), reader).await;
    assert!(ended.expect("it is woken").unwrap().is_err());
}

/// An engine whose acceptor panics at its first connection.
struct Panics(Listener);

impl Accept for Panics {
    type Io = Stream;

    async fn accept(&mut self) -> Option<Accepted<Stream>> {
        self.0.accept().await;
        panic!("out of sockets");
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_panics_is_an_event_and_links_that_stand_go_on() {
    let network = Network::new();
    let acceptor = Panics(network.listen(key(1)));
    let rome = Machine::new("rome".parse().unwrap(), key(2), key(2));
    let oslo = Links::builder("oslo".parse().unwrap(), key(1)).machine(rome);
    let mut oslo = oslo.start(network.dialer(key(1)), acceptor).unwrap();
    let mut rome = start(&network, 2, "rome", &[(1, "oslo")]); // it knocks
    let (mut a, mut why) = (None, None);
    while a.is_none() || why.is_none() {
        match next(&mut oslo).await {
            LinkEvent::Up { io, .. } => a = Some(io),
            LinkEvent::AcceptsNoMore { why: text } => why = Some(text),
            _ => {}
        }
    }
    let panicked = "its acceptor panicked: out of sockets";
    assert_eq!(why.as_deref(), Some(panicked));
    passes(&mut a.unwrap(), &mut up(&mut rome).await).await;
}
