//! A process of another machine that stands still: what the members of this machine notice, and what the status says.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Machine;
use crate::process::{Process, Signal, start};

/// How many round trips are measured. All of them take less than the idle timeout.
const ROUND_TRIPS: usize = 200;

/// Between two messages to all, which are sent all the time.
const PACE: Duration = Duration::from_millis(2);

/// Resident memory, KiB.
fn memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Reads on until these members are listed, in any order.
fn sees(process: &mut Process, ids: &[&str]) {
    let mut missing = ids.to_vec();
    while !missing.is_empty() {
        let joined = process.until(&json!({"event": "member", "change": "joined"}));
        missing.retain(|id| joined["id"] != **id);
    }
}

/// Two members and a listener on one machine, two processes on the other one.
struct Bus {
    oslo: Machine,
    rome: Machine,
    /// Listens in oslo, and publishes.
    ann: Process,
    /// Ask one another.
    asks: Process,
    answers: Process,
    /// Listens in rome.
    bob: Process,
    rob: Process,
    sent: u32,
    last: Instant,
}

impl Bus {
    fn new() -> Self {
        let (oslo, rome) = (Machine::new(), Machine::new());
        let status = oslo.status_path();
        let in_oslo = |id| {
            oslo.start(
                &["bus", "--id", id, "--status", &format!("{status}-{id}")],
                &rome.named("rome"),
            )
        };
        let in_rome = |id| rome.start(&["bus", "--id", id], &oslo.named("oslo"));
        let mut ann = in_oslo("ann");
        ann.until(&json!({"event": "role", "role": "listener"}));
        let mut bob = in_rome("bob");
        bob.until(&json!({"event": "role", "role": "listener"}));
        let (mut asks, mut answers, mut rob) =
            (in_oslo("asks"), in_oslo("answers"), in_rome("rob"));
        sees(&mut ann, &["rob@rome"]);
        sees(&mut asks, &["answers", "rob@rome"]);
        sees(&mut answers, &["asks", "rob@rome"]);
        sees(&mut rob, &["ann@oslo"]);
        let (sent, last) = (0, Instant::now());
        Self {
            oslo,
            rome,
            ann,
            asks,
            answers,
            bob,
            rob,
            sent,
            last,
        }
    }

    fn publish(&mut self, bytes: usize) {
        self.ann.write_line(json!({"publish": "x".repeat(bytes)}));
        self.sent += 1;
    }

    /// A member asks another one of the same machine, while messages to all are sent. The times, sorted.
    fn round_trips(&mut self) -> Vec<Duration> {
        let mut times: Vec<_> = (0..ROUND_TRIPS)
            .map(|n| {
                while self.last.elapsed() >= PACE {
                    self.publish(1000);
                    self.last += PACE;
                }
                let start = Instant::now();
                self.asks
                    .write_line(json!({"request": n, "to": "answers", "id": n}));
                let asked = self.answers.until(&json!({"event": "request", "msg": n}));
                self.answers
                    .write_line(json!({"answer": n, "id": asked["id"]}));
                self.asks.until(&json!({"event": "answer", "id": n}));
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times
    }

    /// The link as the listener's status has it.
    fn link(&self) -> Value {
        let path = format!("{}-ann", self.oslo.status_path());
        start(&["status", &path, "--json"]).next()["links"][0].clone()
    }
}

#[test]
fn members_of_this_machine_answer_as_soon_while_a_process_of_another_one_stands_still() {
    for stops_listener in [false, true] {
        let mut bus = Bus::new();
        bus.round_trips();
        let before = bus.round_trips();
        let memory_before = memory(&bus.ann);
        let stalled = if stops_listener { &bus.bob } else { &bus.rob };
        stalled.signal(Signal::STOP);
        // More than the engine takes for one that does not read.
        (0..150).for_each(|_| bus.publish(16 * 1024));
        let during = bus.round_trips();
        let (link, memory_during) = (bus.link(), memory(&bus.ann));
        let stalled = if stops_listener { &bus.bob } else { &bus.rob };
        stalled.signal(Signal::CONT);
        let (half, most) = (ROUND_TRIPS / 2, ROUND_TRIPS * 99 / 100);
        println!(
            "{} stands still: median {:?} before, {:?} during; 99th of 100 {:?}, {:?}; listener {memory_before} to \
             {memory_during} KiB; {} sent; link {link}",
            if stops_listener {
                "the listener"
            } else {
                "a member"
            },
            before[half],
            during[half],
            before[most],
            during[most],
            bus.sent,
        );
        // What is asked for is twice; tests run side by side, and what takes part of a millisecond varies.
        assert!(
            during[half] < before[half] * 2 + Duration::from_millis(2),
            "{before:?} {during:?}"
        );
        assert!(memory_during < memory_before + 32 * 1024);
        if stops_listener {
            assert!(link["queued"]["messages"].as_u64() > Some(0), "{link}");
        }
        // Nothing was lost: it comes, in order, when the process goes on.
        for _ in 0..bus.sent {
            bus.rob
                .until(&json!({"event": "message", "from": "ann@oslo"}));
        }
        drop((bus.rome, bus.oslo));
    }
}
