//! The listener is stopped (SIGSTOP): alive, with its socket and its lock, but without progress.
//!
//! Held: no process takes its path, and what was sent meanwhile arrives when it goes on. A failure says which of the
//! two, with the messages that are missing.

use std::{
    io::Write as _,
    process::ChildStdin,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    DEADLINE,
    bus::Bus,
    numbered_messages::{numbered, received},
    support::process::Signal,
    times,
};

/// More messages than a socket, a queue and a pipe hold together.
const FLOOD: usize = 600;
const DATA: usize = 16 << 10;

#[test]
fn while_the_listener_is_stopped_no_peer_takes_over_and_senders_wait() {
    let seconds = times(3, 10);
    let mut bus = Bus::new();
    let long_limit = ["--stall-limit", "60000", "--max-queue", "16"];
    let short_limit = ["--stall-limit", "500", "--max-queue", "16"];
    let listener = bus.start(&[]);
    bus.until(0, &listener, &json!({"event": "role", "role": "listener"}));
    let quiet = bus.start(&[]);
    let long_limit = bus.start(&long_limit);
    let short_limit = bus.start(&short_limit);
    assert_eq!(bus.one().listener, listener);
    let (mark, file) = (bus.log.mark(), bus.inode());

    bus.process(&listener).freeze();
    let stopped = Instant::now();
    let newcomer = bus.start(&[]);
    let floods = [&long_limit, &short_limit].map(|id| flood(id, bus.process(id).stdin()));

    // As their stall limits say: one waits, the other disconnects.
    let gave_up = bus.until(
        mark,
        &short_limit,
        &json!({"event": "error", "code": "stalled"}),
    );
    println!(
        "a stall limit of 500 ms took effect after {:?}",
        gave_up - stopped
    );
    let sent = pause_of(&bus, &long_limit);
    println!("backpressure after {sent} of {FLOOD} messages of {DATA} bytes");
    assert!(sent < FLOOD, "no backpressure");

    // For the rest of the time nothing must happen, so the test can only wait.
    let left = Duration::from_secs(seconds as u64).saturating_sub(stopped.elapsed());
    let second = bus.soon(left, mark, &quiet, &json!({"event": "role"}));
    assert_eq!(
        second, None,
        "it has lost no connection, but its role changed"
    );
    assert_eq!(bus.inode(), file, "the socket was replaced");
    assert_eq!(bus.took_over(mark), []);

    let went_on = Instant::now();
    bus.process(&listener).signal(Signal::CONT);
    let one = bus.one();
    println!(
        "stopped for {:?}; one bus with the newcomer {newcomer} after {:?}",
        went_on - stopped,
        one.since.saturating_duration_since(went_on)
    );
    assert_eq!(one.listener, listener);
    assert_eq!(bus.took_over(mark), []);
    bus.expect_received(&listener, &long_limit, 0..FLOOD);

    // All work again.
    for (id, flood) in [&long_limit, &short_limit].into_iter().zip(floods) {
        let stdin = flood.recv_timeout(DEADLINE).unwrap();
        bus.process(id).take_back(stdin);
    }
    for id in [&quiet, &newcomer, &long_limit, &short_limit] {
        bus.send(id, [FLOOD]);
        let last = bus.log.wait(DEADLINE, |known| {
            let got = received(known, &listener, id);
            let in_order = match id == &short_limit {
                true => in_order_on_two(&got),
                false => got.is_sorted_by(|a, b| a < b),
            };
            assert!(in_order, "out of order: {got:?}");
            got.last().filter(|last| **last == FLOOD).copied()
        });
        assert!(last.is_some(), "{id} does not reach {listener} any more");
    }
}

/// The peer with the short limit has connected again while its first connection was unread, and the two are
/// read in turn: each is in order, and the messages of the second were sent after those of the first.
fn in_order_on_two(got: &[usize]) -> bool {
    (0..=FLOOD).any(|first_of_second| {
        let (first, second): (Vec<usize>, Vec<usize>) =
            got.iter().partition(|number| **number < first_of_second);
        [first, second]
            .iter()
            .all(|one| one.is_sorted_by(|a, b| a < b))
    })
}

/// Writes all messages, however long that takes, and gives stdin back.
fn flood(id: &str, mut stdin: ChildStdin) -> Receiver<ChildStdin> {
    let id = id.to_owned();
    let data = "x".repeat(DATA);
    let (done, wait) = channel();
    thread::spawn(move || {
        for number in 0..FLOOD {
            let line = numbered(&id, number, &data);
            if writeln!(stdin, "{line}").is_err() {
                return;
            }
        }
        let _ = done.send(stdin);
    });
    wait
}

/// Waits until `id` has reported nothing sent for half a second; returns how many it has reported.
fn pause_of(bus: &Bus, id: &str) -> usize {
    const PAUSE: Duration = Duration::from_millis(500);
    let sent = || {
        bus.log.look(|known| {
            let sent = json!({"event": "sent"});
            known
                .entries
                .iter()
                .filter(|entry| entry.is(id, &sent))
                .count()
        })
    };
    loop {
        let (mark, before) = (bus.log.mark(), sent());
        if bus
            .soon(PAUSE, mark, id, &json!({"event": "sent"}))
            .is_none()
        {
            return before;
        }
    }
}
