//! More connections than the process may have descriptors.
//!
//! The limit is that of the process, set low. A failure says how many were accepted, and what the others were told.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::{
    DEADLINE,
    raw_peer::{RawPeer, WIRE, establish},
    size,
    support::common::offer,
    target::Target,
};

/// Its limit of open files.
const MAY_OPEN: u64 = 64;

/// How many connect.
const CONNECTIONS: usize = 100;

#[test]
fn out_of_descriptors_it_serves_its_peers_and_accepts_again_when_some_close() {
    let span = Duration::from_secs(size(2, 20));
    let target = Target::listen(&["--echo"]);
    let mut good = RawPeer::established(&target.path, "good");
    let pid = Pid::from_raw(target.process.pid() as i32).unwrap();
    let limit = Rlimit {
        current: Some(MAY_OPEN),
        maximum: Some(MAY_OPEN),
    };
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();

    let mut others: Vec<RawPeer> = (0..CONNECTIONS)
        .map(|number| {
            let mut other = RawPeer::connect(&target.path);
            other.send(&establish(&format!("other-{number}")));
            other
        })
        .collect();
    // Connections are accepted in order, a new one after all of them.
    let in_time = Duration::from_secs(1);
    let mut accepted = 0;
    while let Some(other) = others.get_mut(accepted)
        && is_answered(other, in_time)
    {
        accepted += 1;
    }
    assert!(accepted > 0 && accepted < CONNECTIONS, "{accepted}");

    // No more are accepted for a while; the established peer is served as before, and nothing spins.
    let (start, before) = (Instant::now(), target.process.on_cpu());
    let mut trips = 0;
    while start.elapsed() < span {
        good.round_trip(&offer("d", 64));
        trips += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let busy = target.process.on_cpu() - before;
    let lines = target.process.stderr_text().lines().count();
    println!(
        "{accepted} of {CONNECTIONS} accepted with {MAY_OPEN} descriptors; in {span:?} {trips} round trips, {busy:?} \
         of a processor, {lines} log lines in all"
    );
    assert!(!is_answered(
        &mut others[accepted],
        Duration::from_millis(1)
    ));
    assert!(busy < span / 4, "{busy:?}");
    assert!(lines <= 5, "{}", target.process.stderr_text());

    // As many close as wait.
    let closed = Instant::now();
    let waiting = others.split_off(accepted);
    others.truncate(accepted.saturating_sub(waiting.len()));
    for mut other in waiting {
        other.receive();
    }
    println!(
        "all that waited were accepted {:?} after others had closed",
        closed.elapsed()
    );
    let mut new = RawPeer::established(&target.path, "new");
    new.round_trip(&offer("d", 64));
    good.round_trip(&offer("d", 64));
}

/// True if its `establish` is answered in time.
fn is_answered(other: &mut RawPeer, within: Duration) -> bool {
    other.stream.set_read_timeout(Some(within)).unwrap();
    let mut first = [0];
    let read = other.stream.read(&mut first);
    other.stream.set_read_timeout(Some(DEADLINE)).unwrap();
    match read {
        Ok(read) => {
            assert_eq!((read, first[0]), (1, WIRE));
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
            false
        }
    }
}
