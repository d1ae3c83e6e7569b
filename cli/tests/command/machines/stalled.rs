//! A process of another machine that stands still: what the members of this machine notice, and what the status says.
//!
//! Round trips between members here are timed before and during the stall, in bursts of one kind. A failure prints
//! both percentiles: on a busy machine compare them before you look for a fault.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Machine;
use crate::{
    process::{Process, Signal, start},
    support::durations::Durations,
};

/// How many round trips are measured beside a burst, and afterwards; and for how long at most. Both, on a slow machine, take
/// less than the idle timeout, after which the link of a listener that stands still is down.
const BESIDE_BURST: usize = 200;
const AFTERWARDS: usize = 1_000;
const AT_MOST: Duration = Duration::from_secs(1);

/// Between two messages to all, which are sent all the time.
const PACE: Duration = Duration::from_millis(2);

/// The burst, messages to all, and their size: more than the engine takes for one that does not read.
const BURST: usize = 150;
const LARGE: usize = 16 * 1024;

/// How much longer than twice as long half of the round trips may take, and 99 of 100. Tests run side by side.
const SLACK: [(usize, Duration); 2] = [
    (50, Duration::from_millis(2)),
    (99, Duration::from_millis(8)),
];

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
    /// Sent to all, and not read by `rob` yet.
    on_its_way: usize,
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
        Self {
            oslo,
            rome,
            ann,
            asks,
            answers,
            bob,
            rob,
            on_its_way: 0,
        }
    }

    fn publish(&mut self, msg: Value) {
        self.ann.write_line(json!({"publish": msg}));
        self.on_its_way += 1;
    }

    /// All that was sent has come to the other machine.
    fn catch_up(&mut self) {
        for _ in 0..std::mem::take(&mut self.on_its_way) {
            let message = json!({"event": "message", "from": "ann@oslo"});
            self.rob.until(&message);
        }
    }

    /// Round trips beside a burst, and afterwards. `reads`: all of the other machine do.
    fn measure(&mut self, reads: bool) -> [Durations; 2] {
        (0..BURST).for_each(|_| self.publish(json!("x".repeat(LARGE))));
        let beside_burst = self.round_trips(BESIDE_BURST);
        self.publish(json!("the burst is over"));
        let message = json!({"event": "message", "msg": "the burst is over"});
        self.answers.until(&message);
        if reads {
            self.catch_up();
        }
        [beside_burst, self.round_trips(AFTERWARDS)]
    }

    /// A member asks another one of the same machine, while messages to all are sent.
    fn round_trips(&mut self, count: usize) -> Durations {
        let begin = Instant::now();
        let mut last = begin;
        let trips = (0..count).take_while(|_| begin.elapsed() < AT_MOST);
        let times = trips.map(|n| {
            while last.elapsed() >= PACE {
                self.publish(json!("x".repeat(1000)));
                last += PACE;
            }
            let start = Instant::now();
            self.asks
                .write_line(json!({"request": n, "to": "answers", "id": n}));
            let asked = self.answers.until(&json!({"event": "request", "msg": n}));
            self.answers
                .write_line(json!({"answer": n, "id": asked["id"]}));
            self.asks.until(&json!({"event": "answer", "id": n}));
            start.elapsed()
        });
        times.collect()
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
        // The first ones are those of processes that have just begun.
        bus.measure(true);
        bus.catch_up();
        let before = bus.measure(true);
        bus.catch_up();
        let memory_before = memory(&bus.ann);
        let stalled = if stops_listener { &bus.bob } else { &bus.rob };
        stalled.signal(Signal::STOP);
        let during = bus.measure(false);
        let (link, memory_during) = (bus.link(), memory(&bus.ann));
        let stalled = if stops_listener { &bus.bob } else { &bus.rob };
        stalled.signal(Signal::CONT);
        println!(
            "{} stands still: listener {memory_before} to {memory_during} KiB; {} sent; link {link}",
            if stops_listener {
                "the listener"
            } else {
                "a member"
            },
            bus.on_its_way,
        );
        let whens = ["beside a burst", "afterwards"];
        for (when, (before, during)) in whens.iter().zip(before.iter().zip(&during)) {
            println!("    round trips {when}: {before} before, {during} during");
            for (percent, slack) in SLACK {
                let most = before.percentile(percent) * 2 + slack;
                assert!(
                    during.percentile(percent) < most,
                    "{when}, p{percent}: {before} before, {during} during"
                );
            }
        }
        assert!(memory_during < memory_before + 32 * 1024);
        if stops_listener {
            assert!(link["queued"]["messages"].as_u64() > Some(0), "{link}");
        }
        // Nothing was lost: it comes, in order, when the process goes on.
        bus.catch_up();
        drop((bus.rome, bus.oslo));
    }
}
