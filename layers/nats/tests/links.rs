//! Links over a NATS server on loopback: bytes, bounds, names, and a server that is killed. Without `nats-server` they are
//! skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::{Duration, Instant};

use kyneta_uds_machines::{
    Accept as _, DownReason, LinkEvent, LinkIo, Links, Reason, Refusal, Remote,
};
use kyneta_uds_nats::{ConnectError, NatsEngine, NatsSettings, NatsStream};
use support::Server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, split},
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

async fn engine(server: &Server, name: &str) -> NatsEngine {
    let name = name.parse().unwrap();
    NatsEngine::connect(&server.url(), name, NatsSettings::default())
        .await
        .unwrap()
}

async fn links(engine: &NatsEngine, other: &str) -> Links<NatsStream> {
    let other = NatsEngine::machine(other.parse().unwrap());
    let builder = Links::builder(engine.name().clone(), engine.key()).machine(other);
    let acceptor = engine.acceptor().await.unwrap();
    builder.start(engine.connector(), acceptor).unwrap()
}

async fn next(links: &mut Links<NatsStream>) -> LinkEvent<NatsStream> {
    let event = timeout(Duration::from_secs(20), links.next()).await;
    event.expect("an event in time").expect("it goes on")
}

async fn up(links: &mut Links<NatsStream>) -> LinkIo<NatsStream> {
    loop {
        if let LinkEvent::Up { io, .. } = next(links).await {
            return io;
        }
    }
}

fn remote(name: &str) -> Remote<kyneta_uds_machines::MachineName> {
    let machine = NatsEngine::machine(name.parse().unwrap());
    Remote::new(machine.key, machine.address)
}

#[tokio::test]
async fn bytes_pass_in_order_and_once_although_the_server_is_killed_again_and_again() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let (oslo, rome) = (engine(&server, "oslo").await, engine(&server, "rome").await);
    let (mut oslo, mut rome) = (links(&oslo, "rome").await, links(&rome, "oslo").await);
    let (a, b) = tokio::join!(up(&mut oslo), up(&mut rome));
    let number = |n: usize| u64::to_be_bytes(n as u64);
    const COUNT: usize = 400_000;
    let mut tasks = Vec::new();
    for io in [a, b] {
        let (mut read, mut write) = split(io);
        tasks.push(tokio::spawn(async move {
            for n in 0..COUNT {
                write.write_all(&number(n)).await.unwrap();
                if n % 4_000 == 0 {
                    sleep(Duration::from_millis(20)).await;
                }
            }
            // Held until the other side has all.
            std::future::pending::<()>().await;
        }));
        tasks.push(tokio::spawn(async move {
            let mut bytes = [0; 8];
            for n in 0..COUNT {
                read.read_exact(&mut bytes).await.unwrap();
                assert_eq!(bytes, number(n));
            }
        }));
    }
    for _ in 0..3 {
        sleep(Duration::from_millis(300)).await;
        let start = Instant::now();
        server.kill();
        sleep(Duration::from_millis(200)).await;
        server.again();
        println!("the server was gone for {:?}", start.elapsed());
    }
    for task in [3, 1] {
        let read = timeout(Duration::from_secs(60), tasks.swap_remove(task));
        read.await.expect("all is read in time").unwrap();
    }
    // Neither link has ended.
    assert!(
        timeout(Duration::from_millis(10), oslo.next())
            .await
            .is_err()
    );
    assert!(
        timeout(Duration::from_millis(10), rome.next())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_side_that_does_not_read_makes_the_other_wait_and_no_third_one() {
    let Some(server) = Server::start() else {
        return;
    };
    let (oslo, rome) = (engine(&server, "oslo").await, engine(&server, "rome").await);
    let mut acceptor = rome.acceptor().await.unwrap();
    let _answers = oslo.acceptor().await.unwrap();
    let mut from = oslo.connector().oneshot(remote("rome")).await.unwrap();
    let stalled = acceptor.accept().await.unwrap().open().await.unwrap();
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_millis(500), from.write(&[0; 16 * 1024])).await {
        taken += written.unwrap();
        assert!(taken <= 1 << 20, "{taken} are taken");
    }
    assert_eq!(taken, 1 << 20);
    let mut other = oslo.connector().oneshot(remote("rome")).await.unwrap();
    let mut reads = acceptor.accept().await.unwrap().open().await.unwrap();
    let bytes = vec![1; 3 << 20];
    let mut read = vec![0; bytes.len()];
    let (written, all) = tokio::join!(other.write_all(&bytes), reads.read_exact(&mut read));
    written.unwrap();
    all.unwrap();
    assert!(read == bytes);
    drop(stalled);
}

#[tokio::test]
async fn what_was_written_arrives_although_the_stream_is_dropped_at_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let (oslo, rome) = (engine(&server, "oslo").await, engine(&server, "rome").await);
    let _answers = oslo.acceptor().await.unwrap();
    let mut acceptor = rome.acceptor().await.unwrap();
    let bytes: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
    let mut from = oslo.connector().oneshot(remote("rome")).await.unwrap();
    from.write_all(&bytes).await.unwrap();
    drop(from);
    let mut to = acceptor.accept().await.unwrap().open().await.unwrap();
    let mut read = Vec::new();
    to.read_to_end(&mut read).await.unwrap();
    assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
}

#[tokio::test]
async fn closed_links_send_what_was_written_and_say_so_at_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let (oslo, rome) = (engine(&server, "oslo").await, engine(&server, "rome").await);
    let (mut oslo, mut rome) = (links(&oslo, "rome").await, links(&rome, "oslo").await);
    let (mut to, mut from) = tokio::join!(up(&mut oslo), up(&mut rome));
    let start = Instant::now();
    from.write_all(b"the last").await.unwrap();
    from.shutdown().await.unwrap();
    drop(from);
    rome.close().await;
    let mut read = Vec::new();
    to.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"the last");
    drop(to);
    let down = next(&mut oslo).await;
    let is_finished = |reason: &DownReason| *reason == DownReason::Finished;
    assert!(
        matches!(&down, LinkEvent::Down { reason, .. } if is_finished(reason)),
        "{down:?}"
    );
    println!("down after {:?}", start.elapsed());
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_newer_process_with_the_name_has_the_links_and_the_older_one_says_why_it_has_none() {
    let Some(server) = Server::start() else {
        return;
    };
    let (oslo, rome) = (engine(&server, "oslo").await, engine(&server, "rome").await);
    let (mut oslo, mut older) = (links(&oslo, "rome").await, links(&rome, "oslo").await);
    let (_to, mut from) = tokio::join!(up(&mut oslo), up(&mut older));
    let newer = engine(&server, "rome").await;
    let mut newer = links(&newer, "oslo").await;
    let (mut to, mut newest) = tokio::join!(up(&mut oslo), up(&mut newer));
    newest.write_u8(7).await.unwrap();
    assert_eq!(to.read_u8().await.unwrap(), 7);
    assert!(from.read_u8().await.is_err());
    drop(from);
    loop {
        if let LinkEvent::Absent { reason, .. } = next(&mut older).await {
            let text = reason.to_string();
            assert!(
                text.contains("another process uses the name rome"),
                "{text}"
            );
            break;
        }
    }
    let refused = rome.connector().oneshot(remote("oslo")).await;
    assert!(
        matches!(refused, Err(ConnectError::Replaced { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_machine_that_is_not_named_is_refused_and_both_sides_say_so() {
    let Some(server) = Server::start() else {
        return;
    };
    let (oslo, rome) = (engine(&server, "oslo").await, engine(&server, "rome").await);
    let (mut oslo, mut rome) = (links(&oslo, "rome").await, links(&rome, "lima").await);
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
async fn a_machine_or_a_server_that_is_not_there_is_a_reason_and_no_silence() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let oslo = engine(&server, "oslo").await;
    let mut links = links(&oslo, "rome").await;
    let absent = next(&mut links).await;
    assert!(
        matches!(
            &absent,
            LinkEvent::Absent {
                reason: Reason::Timeout,
                ..
            }
        ),
        "{absent:?}"
    );
    server.kill();
    loop {
        if let LinkEvent::Absent { reason, .. } = next(&mut links).await {
            let text = reason.to_string();
            if text.contains("NATS server") {
                break;
            }
        }
    }
    let error = NatsEngine::connect(
        &server.url(),
        "rome".parse().unwrap(),
        NatsSettings::default(),
    )
    .await
    .unwrap_err();
    println!("{error}");
}

#[tokio::test]
async fn after_a_server_that_has_forgotten_all_there_is_a_link_again() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let (oslo, rome) = (engine(&server, "oslo").await, engine(&server, "rome").await);
    let (mut oslo, mut rome) = (links(&oslo, "rome").await, links(&rome, "oslo").await);
    let (mut a, mut b) = tokio::join!(up(&mut oslo), up(&mut rome));
    server.kill();
    server.wipe();
    server.again();
    let start = Instant::now();
    // The same link, or the next one.
    loop {
        if a.write_u8(7).await.is_err() {
            drop(a);
            a = up(&mut oslo).await;
            continue;
        }
        match timeout(Duration::from_millis(500), b.read_u8()).await {
            Ok(Ok(byte)) => break assert_eq!(byte, 7),
            Ok(Err(_)) => {
                drop(b);
                b = up(&mut rome).await;
            }
            Err(_) => assert!(start.elapsed() < Duration::from_secs(20)),
        }
    }
    println!("a byte passed after {:?}", start.elapsed());
}
