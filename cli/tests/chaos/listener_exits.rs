//! The listener ends on purpose.
//!
//! Numbered messages run meanwhile. A failure lists those that are lost or out of order, by sender.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    DEADLINE,
    bus::Bus,
    numbered_messages::{numbered, received},
    support::durations::Durations,
    support::event_log::Known,
    support::process::Signal,
    times,
};

/// How it is told to end.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Signal(Signal),
    Quit,
}

impl Exit {
    fn request(self, bus: &mut Bus, id: &str) {
        match self {
            Self::Signal(signal) => bus.process(id).signal(signal),
            Self::Quit => bus.process(id).write_line(&json!({"quit": true})),
        }
    }
}

const MANY: usize = 200;

#[test]
fn a_listener_that_ends_sends_depart_and_the_next_takes_over_at_once() {
    let (mut healed, mut taken_over) = (Durations::default(), Durations::default());
    for round in 0..times(6, 60) {
        let exits = [
            Exit::Signal(Signal::TERM),
            Exit::Quit,
            Exit::Signal(Signal::INT),
        ];
        let exit = exits[round % exits.len()];
        let (mut bus, one) = Bus::of(4);
        let others = bus.all_but(&one.listener);
        let sender = &others[0];
        let data = "x".repeat(1 << 10);
        for number in 0..MANY {
            bus.process(sender)
                .write_line(&numbered(sender, number, &data));
        }
        let mark = bus.log.mark();
        let requested = Instant::now();
        exit.request(&mut bus, &one.listener);
        let mut ended = bus.remove(&one.listener);
        let now = bus.one();
        healed.add(now.since - requested);
        taken_over.add(bus.took_over(mark)[0].1 - requested);
        assert_eq!(ended.end(), 0, "{exit:?}: {}", ended.stderr_text());
        let departed = json!({"event": "peer", "peer": one.listener, "change": "departed"});
        for other in &others {
            bus.until(mark, other, &departed);
        }
        no_message_is_lost(&bus, sender);
        all_exit(bus);
    }
    println!("the next listener after {taken_over}");
    println!("one bus again after {healed}");
    assert!(healed.percentile(50) < Duration::from_secs(1));
}

/// Each message was received, in order, and by no process twice.
fn no_message_is_lost(bus: &Bus, sender: &str) {
    let missing = |known: &Known| -> Vec<usize> {
        let members = known.peers.keys();
        let got: Vec<_> = members.map(|id| received(known, id, sender)).collect();
        for got in &got {
            assert!(got.is_sorted_by(|a, b| a < b), "out of order: {got:?}");
        }
        let lost = |number: &usize| !got.iter().any(|got| got.contains(number));
        (0..MANY).filter(lost).collect()
    };
    let all = bus
        .log
        .wait(DEADLINE, |known| missing(known).is_empty().then_some(()));
    if all.is_none() {
        let lost = bus.log.look(missing);
        panic!("messages of {sender} lost: {lost:?}");
    }
}

/// All end, and leave no file behind.
pub(crate) fn all_exit(mut bus: Bus) {
    for id in bus.all() {
        bus.process(&id).signal(Signal::TERM);
    }
    for id in bus.all() {
        let code = bus.process(&id).end();
        assert_eq!(code, 0, "{id}: {}", bus.process(&id).stderr_text());
    }
    assert_eq!(bus.files(), [""; 0]);
}
