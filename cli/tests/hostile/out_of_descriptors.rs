//! More connections than the process may have open.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::{
    DEADLINE,
    raw_peer::{Neighbour, WIRE, establish},
    size,
    support::common::offer,
    target::Target,
};

/// How many files it may have open.
const MAY_OPEN: u64 = 64;

/// So many connect.
const COME: usize = 100;

#[test]
fn out_of_descriptors_it_serves_who_is_there_and_goes_on_when_others_leave() {
    let span = Duration::from_secs(size(2, 20));
    let target = Target::listen(&["--echo"]);
    let mut good = Neighbour::introduced(&target.path, "good");
    let pid = Pid::from_raw(target.process.pid() as i32).unwrap();
    let limit = Rlimit {
        current: Some(MAY_OPEN),
        maximum: Some(MAY_OPEN),
    };
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();

    let mut others: Vec<Neighbour> = (0..COME)
        .map(|number| {
            let mut other = Neighbour::connect(&target.path);
            other.send(&establish(&format!("other-{number}")));
            other
        })
        .collect();
    // Those who are let in are let in in order. A newcomer's turn is after all of them.
    let in_time = Duration::from_secs(1);
    let mut let_in = 0;
    while let Some(other) = others.get_mut(let_in)
        && is_answered(other, in_time)
    {
        let_in += 1;
    }
    assert!(let_in > 0 && let_in < COME, "{let_in}");

    // Nobody else comes in for a while; who is there is served as ever, and nothing spins.
    let (start, before) = (Instant::now(), target.process.on_cpu());
    let mut trips = 0;
    while start.elapsed() < span {
        good.round_trip(&offer("d", 64));
        trips += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let busy = target.process.on_cpu() - before;
    let lines = target.process.complaints().lines().count();
    println!(
        "{let_in} of {COME} let in with {MAY_OPEN} descriptors; in {span:?} {trips} round trips, {busy:?} \
         of a processor, {lines} log lines in all"
    );
    assert!(!is_answered(&mut others[let_in], Duration::from_millis(1)));
    assert!(busy < span / 4, "{busy:?}");
    assert!(lines <= 5, "{}", target.process.complaints());

    // As many leave as wait.
    let left = Instant::now();
    let waiting = others.split_off(let_in);
    others.truncate(let_in.saturating_sub(waiting.len()));
    for mut other in waiting {
        other.receive();
    }
    println!(
        "all who had waited were let in {:?} after others left",
        left.elapsed()
    );
    let mut new = Neighbour::introduced(&target.path, "new");
    new.round_trip(&offer("d", 64));
    good.round_trip(&offer("d", 64));
}

/// Its introduction is answered, within so long.
fn is_answered(other: &mut Neighbour, within: Duration) -> bool {
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
