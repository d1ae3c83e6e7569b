//! A hundred clients, half of them a JavaScript peer, send a ping each 10 ms and get one, while the server is replaced again
//! and again. Needs `node` on the PATH; without it all clients are of this library.
//!
//! With figures, in a release build: `KYNETA_HANDOVERS=50 cargo test --release -p kyneta-uds --test handoff_processes
//! pings -- --nocapture`

use std::{
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{parts::start, process::Process};

/// Between two handovers: so that less than one ping in a hundred meets one.
const BETWEEN: Duration = Duration::from_millis(500);

fn javascript(path: &Path, count: usize) -> Option<Process> {
    Command::new("node").arg("--version").output().ok()?;
    let mut node = Command::new("node");
    node.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/node/pinging.mjs"
    ));
    node.arg(path).arg(count.to_string());
    Some(Process::of(&mut node))
}

/// What the clients of each process say to `rounds`: the median, the 99th percentile and the longest time.
fn rounds(clients: &mut [Process]) -> Vec<Vec<u64>> {
    let mut said = Vec::new();
    for clients in clients {
        clients.tell("rounds");
        said.push(clients.numbers());
    }
    said
}

#[test]
fn pings_of_both_sides_come_once_and_in_order_while_the_server_is_replaced() {
    let handovers = std::env::var("KYNETA_HANDOVERS").ok();
    let handovers: usize = handovers.map_or(5, |number| number.parse().unwrap());
    let each = if handovers > 5 { 50 } else { 10 };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut server = start("server sends", &path);
    assert_eq!(server.line(), "listens 0");
    let mut clients = vec![start(&format!("pinging {each}"), &path)];
    match javascript(&path, each) {
        Some(node) => clients.push(node),
        None => println!("without a JavaScript peer: there is no `node` on the PATH"),
    }
    let count = each * clients.len();
    for clients in &mut clients {
        assert_eq!(clients.line(), "connected");
    }
    let began = Instant::now();
    let (mut pauses, mut of_servers) = (Vec::new(), 0);
    // The same time without a handover comes first.
    let still = BETWEEN * handovers as u32;
    sleep(Duration::from_millis(200));
    rounds(&mut clients);
    sleep(still);
    let without = rounds(&mut clients);
    for left in (0..handovers).rev() {
        sleep(BETWEEN);
        // After the last one no server sends: all that were sent have been counted.
        let sends = if left > 0 {
            "server sends"
        } else {
            "server answers"
        };
        let mut successor = start(sends, &path);
        let took = successor.numbers();
        assert_eq!(took[0], count as u64);
        pauses.push(took[1]);
        assert_eq!(successor.line(), format!("listens {count}"));
        of_servers += server.numbers()[0];
        server.ends();
        server = successor;
    }
    let with = rounds(&mut clients);
    let (mut pings, mut heard) = (0, 0);
    for clients in &mut clients {
        clients.tell("stop");
        let said = clients.numbers();
        assert_eq!(said[0], said[1], "each ping has its answer");
        pings += said[0];
        heard += said[2];
    }
    assert_eq!(heard, of_servers, "each message of a server has come");
    pauses.sort_unstable();
    let (median, longest) = (pauses[handovers / 2], pauses[handovers - 1]);
    println!(
        "{count} clients, {handovers} handovers in {:.1?}: {pings} pings answered, {heard} messages of the server; \
         frozen {median} us (median), {longest} us (longest); rounds in us (median, p99, longest) of each process of \
         clients: {without:?} before, {with:?} during",
        began.elapsed()
    );
}
