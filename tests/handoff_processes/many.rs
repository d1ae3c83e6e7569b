//! How long many idle connections are frozen, with a process for the clients and one for each server. To be run in a
//! release build, by itself: `cargo test --release -p kyneta-uds --test handoff_processes many -- --ignored --nocapture
//! --test-threads 1`

use std::time::{Duration, Instant};

use crate::parts::start;

const HANDOVERS: usize = 20;

/// The median and the longest pause of some handovers, and that each client still has its connection.
fn frozen(clients: usize, target: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut server = start("server answers", &path);
    assert_eq!(server.line(), "listens 0");
    let mut idle = start(&format!("idle {clients}"), &path);
    assert_eq!(idle.line(), "connected");
    let mut pauses = Vec::new();
    for _ in 0..HANDOVERS {
        let began = Instant::now();
        let mut successor = start("server answers", &path);
        let took = successor.numbers();
        assert_eq!(took[0], clients as u64);
        assert_eq!(successor.line(), format!("listens {clients}"));
        pauses.push((Duration::from_micros(took[1]), began.elapsed()));
        server.ends();
        server = successor;
    }
    idle.tell("ask");
    assert_eq!(idle.numbers(), [clients as u64]);
    pauses.sort();
    let (median, longest) = (pauses[HANDOVERS / 2], pauses[HANDOVERS - 1]);
    println!(
        "{clients} connections, {HANDOVERS} handovers: frozen {:.1?} (median), {:.1?} (longest), with the start of a \
         process {:.1?} (median); target {target:?}",
        median.0, longest.0, median.1,
    );
}

#[test]
#[ignore = "figures"]
fn many_1_000() {
    frozen(1_000, Duration::from_millis(15));
}

#[test]
#[ignore = "figures"]
fn many_5_000() {
    frozen(5_000, Duration::from_millis(60));
}
