//! Links over iroh on loopback: bytes, bounds, keys, and processes that are killed or stopped.
//!
//! The engine is iroh's own, and processes are those of the test itself. A failure shows the event of a link, or how
//! many bytes came.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    env,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use kyneta_uds_iroh::{IrohEngine, IrohSettings, IrohStream, SecretKey};
use kyneta_uds_machines::{
    Accept as _, DownReason, LinkEvent, LinkIo, Links, Machine, MachineKey, Refusal, Remote,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tower::ServiceExt as _;

const IDLE: Duration = Duration::from_secs(2);

/// Two keys, the smaller one first: its machine dials.
fn keys() -> [SecretKey; 2] {
    let mut keys = [
        SecretKey::from_bytes(&[1; 32]),
        SecretKey::from_bytes(&[2; 32]),
    ];
    keys.sort_by_key(SecretKey::public);
    keys
}

async fn bind(key: &SecretKey, port: u16) -> IrohEngine {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let settings = IrohSettings::default().idle_timeout(IDLE);
    IrohEngine::bind(key, address, settings).await.unwrap()
}

fn links(
    engine: &IrohEngine,
    name: &str,
    other: &str,
    key: MachineKey,
    at: SocketAddr,
) -> Links<IrohStream> {
    let other = Machine::new(other.parse().unwrap(), key, at);
    let builder = Links::builder(name.parse().unwrap(), engine.key()).machine(other);
    builder
        .start(engine.connector(), engine.acceptor())
        .unwrap()
}

async fn next(links: &mut Links<IrohStream>) -> LinkEvent<IrohStream> {
    let event = timeout(Duration::from_secs(20), links.next()).await;
    event.expect("an event in time").expect("it goes on")
}

async fn up(links: &mut Links<IrohStream>) -> LinkIo<IrohStream> {
    loop {
        if let LinkEvent::Up { io, .. } = next(links).await {
            return io;
        }
    }
}

/// The next link that is down, and why.
async fn down(links: &mut Links<IrohStream>) -> DownReason {
    match next(links).await {
        LinkEvent::Down { reason, .. } => reason,
        event => panic!("{event:?}"),
    }
}

/// What the other side is told when it closes a connection whose stream was not finished.
#[tokio::test]
async fn a_machine_that_closes_its_engine_at_once_is_seen_as_closed_with_its_words() {
    let [a, b] = keys();
    let (a, b) = (bind(&a, 0).await, bind(&b, 0).await);
    let mut oslo = links(&a, "oslo", "rome", b.key(), b.address());
    let mut rome = links(&b, "rome", "oslo", a.key(), a.address());
    let (mut io, _held) = (up(&mut oslo).await, up(&mut rome).await);
    b.close().await;
    assert!(io.read_u8().await.is_err());
    drop(io);
    let DownReason::Closed(words) = down(&mut oslo).await else {
        panic!("it has closed")
    };
    println!("{words}");
}

#[tokio::test]
async fn what_was_written_arrives_although_the_stream_is_dropped_at_once() {
    let [a, b] = keys();
    let (a, b) = (bind(&a, 0).await, bind(&b, 0).await);
    let mut acceptor = b.acceptor();
    let bytes: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
    let remote = Remote::new(b.key(), b.address());
    let mut from = a.connector().oneshot(remote).await.unwrap();
    let write = async {
        from.write_all(&bytes).await.unwrap();
        drop(from);
    };
    let read = async {
        let accepted = acceptor.accept().await.unwrap();
        let mut to = accepted.open().await.unwrap();
        let mut read = Vec::new();
        to.read_to_end(&mut read).await.unwrap();
        read
    };
    let ((), read) = tokio::join!(write, read);
    assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
}

#[tokio::test]
async fn closed_links_send_what_was_written_say_so_at_once_and_free_the_address() {
    let [a, b] = keys();
    let (a, rome_key) = (bind(&a, 0).await, b);
    let b = bind(&rome_key, 0).await;
    let mut oslo = links(&a, "oslo", "rome", b.key(), b.address());
    let mut rome = links(&b, "rome", "oslo", a.key(), a.address());
    let (mut to, mut from) = (up(&mut oslo).await, up(&mut rome).await);
    let port = b.address().port();
    drop(b);
    let bytes: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
    let read = async {
        let mut read = Vec::new();
        to.read_to_end(&mut read).await.unwrap();
        read
    };
    let start = Instant::now();
    let close = async {
        from.write_all(&bytes).await.unwrap();
        from.shutdown().await.unwrap();
        drop(from);
        rome.close().await;
        start.elapsed()
    };
    let (read, took) = tokio::join!(read, close);
    assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
    drop(to);
    assert_eq!(down(&mut oslo).await, DownReason::Finished);
    println!("closed after {took:?}, down after {:?}", start.elapsed());
    assert!(start.elapsed() < IDLE / 2, "{:?}", start.elapsed());
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    IrohEngine::bind(&rome_key, address, IrohSettings::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_round_trip_of_a_link_is_in_its_status_while_it_is_up() {
    let [a, b] = keys();
    let (a, b) = (bind(&a, 0).await, bind(&b, 0).await);
    let oslo = links(&a, "oslo", "rome", b.key(), b.address());
    let mut oslo = oslo.round_trip(IrohStream::round_trip);
    let mut rome = links(&b, "rome", "oslo", a.key(), a.address());
    let (io, _to) = (up(&mut oslo).await, up(&mut rome).await);
    let shown = oslo.status()[0].round_trip.unwrap();
    assert!(
        shown > Duration::ZERO && shown < Duration::from_secs(1),
        "{shown:?}"
    );
    drop(io);
    assert!(matches!(down(&mut oslo).await, DownReason::EndedHere(_)));
    assert_eq!(oslo.status()[0].round_trip, None);
}

#[tokio::test]
async fn a_side_that_does_not_read_makes_the_other_wait_within_the_window() {
    let [a, b] = keys();
    let (a, b) = (bind(&a, 0).await, bind(&b, 0).await);
    let mut oslo = links(&a, "oslo", "rome", b.key(), b.address());
    let mut rome = links(&b, "rome", "oslo", a.key(), a.address());
    let (mut from, _to) = (up(&mut oslo).await, up(&mut rome).await);
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_millis(500), from.write(&[0; 16 * 1024])).await {
        taken += written.unwrap();
        assert!(taken < 4 << 20, "taken without a bound");
    }
    assert!(taken > 1 << 19, "{taken}");
}

#[tokio::test]
async fn a_key_that_is_not_named_is_refused_and_both_sides_say_so() {
    let [a, b] = keys();
    let (a, b) = (bind(&a, 0).await, bind(&b, 0).await);
    let mut oslo = links(&a, "oslo", "rome", b.key(), b.address());
    let stranger = SecretKey::generate().public();
    let mut rome = links(&b, "rome", "lima", stranger, a.address());
    for (links, is_here) in [(&mut oslo, false), (&mut rome, true)] {
        loop {
            match next(links).await {
                LinkEvent::Refused {
                    refusal: Refusal::UnknownKey,
                    here,
                    ..
                } => {
                    assert_eq!(here, is_here);
                    break;
                }
                LinkEvent::Up { .. } => panic!("no link may come up"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn another_key_at_the_address_is_no_connection() {
    let [a, b] = keys();
    let (a, b) = (bind(&a, 0).await, bind(&b, 0).await);
    let mut acceptor = b.acceptor();
    let remote = Remote::new(SecretKey::generate().public(), b.address());
    let dial = timeout(Duration::from_secs(5), a.connector().oneshot(remote));
    tokio::select! {
        refused = dial => assert!(matches!(refused, Ok(Err(_))), "{refused:?}"),
        _ = acceptor.accept() => panic!("it counts as a connection"),
    }
}

/// Below those that the system gives to others that ask for any.
fn port_of_a_child() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    20_000 + (std::process::id() % 1_000) as u16 * 10 + count
}

/// A machine in a process of its own, which this test binary becomes again.
fn child(key: usize, port: u16, other_port: u16) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "a_child_that_echoes"])
        .env("KYNETA_CHILD", format!("{key} {port} {other_port}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "what the tests below run as a process"]
async fn a_child_that_echoes() {
    let Ok(arguments) = env::var("KYNETA_CHILD") else {
        return;
    };
    let numbers: Vec<u16> = arguments.split(' ').map(|n| n.parse().unwrap()).collect();
    let (me, other) = (usize::from(numbers[0]), usize::from(1 - numbers[0]));
    let names = ["oslo", "rome"];
    let engine = bind(&keys()[me], numbers[1]).await;
    let at = SocketAddr::from(([127, 0, 0, 1], numbers[2]));
    let mut links = links(&engine, names[me], names[other], keys()[other].public(), at);
    loop {
        let mut io = up(&mut links).await;
        tokio::spawn(async move {
            while let Ok(byte) = io.read_u8().await {
                io.write_u8(byte).await.unwrap();
            }
        });
    }
}

async fn echoes(io: &mut LinkIo<IrohStream>) {
    io.write_u8(7).await.unwrap();
    let answer = timeout(Duration::from_secs(5), io.read_u8()).await;
    assert_eq!(answer.expect("an answer in time").unwrap(), 7);
}

/// Kills the other machine's process 10 times, each time with a successor, and says how long the first answer took.
async fn kill_with_successors(me: usize) -> Vec<u128> {
    let other = 1 - me;
    let engine = bind(&keys()[me], 0).await;
    let port = engine.address().port();
    let other_port = port_of_a_child();
    let names = ["oslo", "rome"];
    let at = SocketAddr::from(([127, 0, 0, 1], other_port));
    let mut links = links(&engine, names[me], names[other], keys()[other].public(), at);
    let mut process = child(other, other_port, port);
    let mut took = Vec::new();
    for _ in 0..10 {
        let mut io = up(&mut links).await;
        echoes(&mut io).await;
        process.kill().unwrap();
        process.wait().unwrap();
        let killed = Instant::now();
        process = child(other, other_port, port);
        let mut io = up(&mut links).await;
        echoes(&mut io).await;
        took.push(killed.elapsed().as_millis());
        drop(io);
    }
    process.kill().unwrap();
    process.wait().unwrap();
    took.sort_unstable();
    took
}

#[tokio::test]
async fn the_successor_of_a_killed_process_has_a_link_at_once() {
    for me in [0, 1] {
        let took = kill_with_successors(me).await;
        println!("until the first answer, other side killed, here key {me}: {took:?} ms");
        assert!(took[9] < IDLE.as_millis(), "{took:?}"); // mostly its own start
    }
}

#[tokio::test]
async fn a_process_that_is_killed_without_a_successor_is_down_after_the_idle_timeout() {
    let engine = bind(&keys()[0], 0).await;
    let other_port = port_of_a_child();
    let at = SocketAddr::from(([127, 0, 0, 1], other_port));
    let mut links = links(&engine, "oslo", "rome", keys()[1].public(), at);
    let mut process = child(1, other_port, engine.address().port());
    let mut io = up(&mut links).await;
    echoes(&mut io).await;
    process.kill().unwrap();
    process.wait().unwrap();
    let killed = Instant::now();
    assert!(io.read_u8().await.is_err());
    drop(io);
    assert!(matches!(down(&mut links).await, DownReason::IdleTimeout(_)));
    println!("down after {:?} of {IDLE:?}", killed.elapsed());
    assert!(killed.elapsed() < IDLE + Duration::from_millis(500));
}
