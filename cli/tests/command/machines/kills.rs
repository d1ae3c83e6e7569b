//! A bus of two machines whose listeners end: killed with a successor and without, and in good order.
//!
//! Held: how soon the other machine's next message arrives, that it does once, and what the status says of the link.
//! A failure lists the times, or the lines.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Machine, link};
use crate::process::{Process, Signal};

/// The time that a connection of the engine may be silent.
const IDLE: Duration = Duration::from_secs(3);

/// Two machines, the one with the smaller key first: it dials.
fn sorted() -> [Machine; 2] {
    let mut machines = [Machine::new(), Machine::new()];
    machines.sort_by(|a, b| a.key.cmp(&b.key));
    machines
}

/// A member of the bus on `at`, for which the other machine is `there`.
fn member(id: &str, at: &Machine, there: &Machine) -> Process {
    at.start(&["bus", "--id", id], &there.named("there"))
}

/// Reads on until the member is listed.
fn sees(process: &mut Process, id: &str) {
    process.until(&json!({"event": "member", "change": "joined", "id": id}));
}

/// Kills the listener of `killed` in turn, each time with a successor, and says how long the next message took. Each
/// message that was published while a successor was listed must reach it once and in order.
fn kill_in_turn(stays: &Machine, killed: &Machine) -> Vec<Duration> {
    let mut ann = member("ann", stays, killed);
    ann.until(&json!({"event": "role", "role": "listener"}));
    let mut listener = member("m0", killed, stays);
    sees(&mut ann, "m0@there");
    sees(&mut listener, "ann@there");
    let mut times = Vec::new();
    for round in 1..=5 {
        let id = format!("m{round}");
        let mut successor = member(&id, killed, stays);
        sees(&mut ann, &format!("{id}@there"));
        sees(&mut successor, "ann@there");
        let publish = |ann: &mut Process, n| ann.write_line(json!({"publish": round * 100 + n}));
        let hears = |successor: &mut Process, n| {
            let message = successor.until(&json!({"event": "message"}));
            assert_eq!(
                (&message["from"], &message["msg"]),
                (&json!("ann@there"), &json!(round * 100 + n))
            );
        };
        publish(&mut ann, 0);
        hears(&mut successor, 0);
        listener.signal(Signal::KILL);
        let start = Instant::now();
        (1..10).for_each(|n| publish(&mut ann, n));
        hears(&mut successor, 1);
        times.push(start.elapsed());
        (2..10).for_each(|n| hears(&mut successor, n));
        // What it sends crosses, too.
        successor.write_line(json!({"send": "back", "to": "ann@there"}));
        let back = ann.until(&json!({"event": "message"}));
        assert_eq!(
            (&back["from"], &back["msg"]),
            (&json!(format!("{id}@there")), &json!("back"))
        );
        listener = successor;
    }
    times.sort_unstable();
    times
}

#[test]
fn the_next_message_reaches_the_successor_of_a_killed_listener_soon_and_once() {
    let [dials, answers] = sorted();
    for (stays, killed, which) in [
        (&dials, &answers, "that answers"),
        (&answers, &dials, "that dials"),
    ] {
        let times = kill_in_turn(stays, killed);
        println!("the side {which} killed, until the next message is there: {times:?}");
        // 100 ms on a machine of its own; tests run side by side.
        assert!(times[times.len() / 2] < Duration::from_secs(2), "{times:?}");
    }
}

#[test]
fn without_a_successor_the_link_is_down_after_the_idle_timeout() {
    let [ann_at, bob_at] = sorted();
    let mut ann = member("ann", &ann_at, &bob_at);
    let mut bob = member("bob", &bob_at, &ann_at);
    sees(&mut ann, "bob@there");
    sees(&mut bob, "ann@there");
    bob.signal(Signal::KILL);
    let start = Instant::now();
    link(&mut ann, "there", "down");
    println!("down after {:?}", start.elapsed());
    assert!(
        start.elapsed() < IDLE + Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn the_end_of_a_listener_in_good_order_is_seen_at_once_and_its_last_message_arrives() {
    for command in ["bus", "peer"] {
        let [ann_at, bob_at] = sorted();
        let mut ann = ann_at.start(&[command, "--id", "ann"], &bob_at.named("there"));
        let mut bob = bob_at.start(&[command, "--id", "bob"], &ann_at.named("there"));
        link(&mut ann, "there", "up");
        link(&mut bob, "there", "up");
        let start = match command {
            "bus" => {
                sees(&mut bob, "ann@there");
                bob.write_line(json!({"publish": "the last"}));
                bob.write_line(json!({"quit": true}));
                Instant::now()
            }
            _ => {
                bob.signal(Signal::TERM);
                Instant::now()
            }
        };
        if command == "bus" {
            ann.until(&json!({"event": "message", "msg": "the last"}));
        }
        link(&mut ann, "there", "down");
        let seen = start.elapsed();
        let end = bob.end();
        println!(
            "{command}: down seen after {seen:?}, the end after {:?}",
            start.elapsed()
        );
        assert_eq!(end.code, 0, "{end:?}");
        // Well before the idle timeout.
        assert!(seen < IDLE / 2, "{seen:?}");
        // The address is free for the next one, which has the link at once.
        let mut eve = bob_at.start(&[command, "--id", "eve"], &ann_at.named("there"));
        link(&mut eve, "there", "up");
        link(&mut ann, "there", "up");
    }
}
