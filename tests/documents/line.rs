//! Lines over real sockets: each message once and in order, whichever process comes late, starts again or stops
//! listening.
//!
//! A failure shows the message that came instead, or none within twenty seconds.

use std::time::Duration;

use futures_util::SinkExt as _;
use kyneta_uds::{
    PeerId,
    documents::{Exchange, Line, LineError, LineOptions, Lines, OpenLineError, ReceiveError},
};
use tokio::time::timeout;
use tower::{Service as _, ServiceExt as _};

use crate::support::{Path, id, soon};

const SOON: Duration = Duration::from_secs(20);

fn topic() -> LineOptions {
    LineOptions::new("t").unwrap().max_waiting(8)
}

fn open(exchange: &Exchange, peer: &str) -> Line<String, String> {
    let peer = PeerId::new(peer).unwrap();
    exchange.open_line(peer, &topic()).unwrap()
}

async fn accept(lines: &mut Lines<String, String>) -> Line<String, String> {
    let line = timeout(SOON, lines.next()).await.unwrap();
    line.unwrap().unwrap()
}

async fn next(line: &mut Line<String, String>) -> String {
    let message = timeout(SOON, line.next()).await.unwrap();
    message.unwrap().unwrap()
}

async fn send(line: &Line<String, String>, text: &str) {
    let sent = timeout(SOON, line.send(&text.to_owned())).await.unwrap();
    drop(sent.unwrap());
}

#[tokio::test]
async fn many_messages_both_ways_come_once_and_in_order_through_the_hub() {
    let path = Path::new();
    let _hub = path.join("hub").await;
    let (a, b) = (path.join("a").await, path.join("b").await);
    let (to_b, mut from_b) = open(&a, "b").split();
    let (to_a, mut from_a) = open(&b, "a").split();
    let numbers = || (0..300).map(|number: u32| number.to_string());
    let sends = |mut to: kyneta_uds::documents::LineSender<String>| async move {
        for number in numbers() {
            to.feed(number).await.unwrap();
        }
        to.flush().await.unwrap();
        to.waiting()
    };
    let sending = [tokio::spawn(sends(to_b)), tokio::spawn(sends(to_a))];
    let (mut got_a, mut got_b) = (Vec::new(), Vec::new());
    for _ in numbers() {
        let both = async { tokio::join!(from_a.next(), from_b.next()) };
        let (a, b) = timeout(SOON, both).await.unwrap();
        got_a.push(a.unwrap().unwrap());
        got_b.push(b.unwrap().unwrap());
    }
    let expected: Vec<_> = numbers().collect();
    assert!(got_a == expected && got_b == expected);
    // One more is asked for, which says that all are processed.
    tokio::spawn(async move { from_a.next().await });
    tokio::spawn(async move { from_b.next().await });
    for sent in sending {
        assert_eq!(timeout(SOON, sent).await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn what_is_sent_before_there_is_a_peer_waits_and_goes_on_with_another_listener() {
    let path = Path::new();
    let a = path.join("a").await;
    let mut line = open(&a, "b");
    send(&line, "early").await;
    let (hub, b) = (path.join("hub").await, path.join("b").await);
    let mut lines = b.accept_lines::<String, String>(&topic()).unwrap();
    let mut work = accept(&mut lines).await;
    assert_eq!(work.peer().as_str(), "a");
    assert_eq!(next(&mut work).await, "early");
    send(&work, "answer").await;
    assert_eq!(next(&mut line).await, "answer");
    // The listener is `a`; another one listens in the middle of it.
    for turn in 0..5 {
        send(&work, &turn.to_string()).await;
        if turn == 2 {
            drop(hub.clone());
            hub.dispose().await;
        }
    }
    for turn in 0..5 {
        assert_eq!(next(&mut line).await, turn.to_string());
    }
}

#[tokio::test]
async fn a_sender_and_a_receiver_that_start_again_without_a_store_lose_and_repeat_nothing() {
    let path = Path::new();
    let (_hub, mut a, mut b) = (
        path.join("hub").await,
        path.join("a").await,
        path.join("b").await,
    );
    let (mut line, mut work) = (open(&a, "b"), open(&b, "a"));
    for turn in 0..3 {
        send(&line, &format!("a{turn}")).await;
        assert_eq!(next(&mut work).await, format!("a{turn}"));
        // The next one is asked for, so this one is processed.
        let asked = timeout(Duration::from_millis(50), work.next()).await;
        assert!(asked.is_err(), "{asked:?}");
        soon(|| (line.waiting() == 0).then_some(())).await;
        if turn == 0 {
            drop(line);
            a.dispose().await;
            a = path.join("a").await;
            line = open(&a, "b");
        } else if turn == 1 {
            drop(work);
            b.dispose().await;
            b = path.join("b").await;
            work = open(&b, "a");
        }
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_read_holds_the_sender_up_and_a_service_answers_when_it_has() {
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let (line, mut work) = (open(&a, "b"), open(&b, "a"));
    for turn in 0..8 {
        send(&line, &turn.to_string()).await;
    }
    // Only time shows that nothing happens.
    let text = "8".to_owned();
    let ninth = line.send(&text);
    assert!(timeout(Duration::from_millis(100), ninth).await.is_err());
    assert_eq!(line.waiting(), 8);
    let (mut sender, _receiver) = line.split();
    let mut clone = sender.clone();
    let reading = tokio::spawn(async move {
        for turn in 0..9 {
            assert_eq!(next(&mut work).await, turn.to_string());
        }
        drop(timeout(SOON, work.next()).await);
    });
    let called = async { sender.ready().await.unwrap().call("8".to_owned()).await };
    timeout(SOON, called).await.unwrap().unwrap();
    assert_eq!(clone.waiting(), 0);
    a.dispose().await;
    let error = clone.ready().await.unwrap_err();
    assert!(matches!(error, LineError::Gone { .. }), "{error}");
    b.dispose().await;
    timeout(SOON, reading).await.unwrap().unwrap();
}

/// On several threads, and with so much in the line that removing what is processed takes a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_opened_again_while_the_peer_processes_loses_nothing() {
    const MESSAGES: usize = 2000;
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let mut work = open(&b, "a");
    let reading = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let message = next(&mut work).await;
            assert!(
                message.starts_with(&format!("{number} ")),
                "{number}: {message:.9}"
            );
        }
    });
    let options = topic().max_waiting(100);
    let mut number = 0;
    while number < MESSAGES {
        let peer = PeerId::new("b").unwrap();
        let line: Line<String, String> = a.open_line(peer, &options).unwrap();
        for _ in 0..10 {
            send(&line, &format!("{number} {}", "x".repeat(2000))).await;
            number += 1;
        }
    }
    timeout(SOON, reading).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_or_opened_is_an_error_that_says_so_and_the_line_goes_on() {
    let path = Path::new();
    let (a, b) = (path.join("a").await, path.join("b").await);
    let peer = PeerId::new("b").unwrap();
    let line: Line<serde_json::Value, String> = a.open_line(peer.clone(), &topic()).unwrap();
    let peer_a = PeerId::new("a").unwrap();
    let mut work: Line<String, serde_json::Value> = b.open_line(peer_a, &topic()).unwrap();
    drop(line.send(&serde_json::json!({"any": 1})).await.unwrap());
    let read = timeout(SOON, work.next()).await.unwrap().unwrap();
    assert_eq!(read.unwrap(), serde_json::json!({"any": 1}));

    let again = a.open_line::<String, String>(peer.clone(), &topic());
    assert!(
        matches!(again, Err(OpenLineError::Open { .. })),
        "{again:?}"
    );
    assert!(LineOptions::new("a:b").is_err());
    line.close();
    assert!(a.get(&id("line:t:a→b")).is_none());
    // It may be opened again.
    let again = a.open_line::<String, String>(peer, &topic());
    assert!(again.is_ok(), "{again:?}");

    let number: Line<u8, String> = a.open_line(PeerId::new("c").unwrap(), &topic()).unwrap();
    let c = path.join("c").await;
    // A number that the other side does not take.
    let mut small: Line<String, Small> = c.open_line(PeerId::new("a").unwrap(), &topic()).unwrap();
    for value in [7, 200] {
        drop(number.send(&value).await.unwrap());
    }
    let first = timeout(SOON, small.next()).await.unwrap().unwrap();
    assert_eq!(first.unwrap().0, 7);
    let second = timeout(SOON, small.next()).await.unwrap().unwrap();
    assert!(
        matches!(second, Err(ReceiveError::Read { seq: 2, .. })),
        "{second:?}"
    );
}

/// A number up to 127.
#[derive(Debug, serde::Deserialize, kyneta_uds::documents::typed::Schema)]
#[schema(crate = "kyneta_uds::documents::typed")]
struct Small(i8);
