//! The listener leaves on purpose.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    DEADLINE,
    bus::Bus,
    numbered_messages::{numbered, received},
    support::durations::Figures,
    support::event_log::Known,
    support::process::Signal,
    times,
};

/// How it is told to.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Signal(Signal),
    Quit,
}

impl Ask {
    fn of(self, bus: &mut Bus, id: &str) {
        match self {
            Self::Signal(signal) => bus.process(id).signal(signal),
            Self::Quit => bus.process(id).say(&json!({"quit": true})),
        }
    }
}

const MANY: usize = 200;

#[test]
fn a_listener_that_leaves_says_so_and_the_next_takes_over_at_once() {
    let (mut healed, mut taken_over) = (Figures::default(), Figures::default());
    for round in 0..times(6, 60) {
        let asks = [
            Ask::Signal(Signal::TERM),
            Ask::Quit,
            Ask::Signal(Signal::INT),
        ];
        let ask = asks[round % asks.len()];
        let (mut bus, one) = Bus::of(4);
        let others = bus.all_but(&one.listener);
        let sender = &others[0];
        let data = "x".repeat(1 << 10);
        for number in 0..MANY {
            bus.process(sender).say(&numbered(sender, number, &data));
        }
        let mark = bus.log.mark();
        let asked = Instant::now();
        ask.of(&mut bus, &one.listener);
        let mut left = bus.leave(&one.listener);
        let now = bus.one();
        healed.add(now.since - asked);
        taken_over.add(bus.took_over(mark)[0].1 - asked);
        assert_eq!(left.end(), 0, "{ask:?}: {}", left.complaints());
        let departed = json!({"event": "peer", "peer": one.listener, "change": "departed"});
        for other in &others {
            bus.until(mark, other, &departed);
        }
        nothing_is_lost(&bus, sender);
        all_leave(bus);
    }
    println!("the next one listens after {taken_over}");
    println!("one bus again after {healed}");
    assert!(healed.percentile(50) < Duration::from_secs(1));
}

/// Each of the many has come to somebody, to nobody twice, and in order.
fn nothing_is_lost(bus: &Bus, sender: &str) {
    let missing = |known: &Known| -> Vec<usize> {
        let everybody = known.standings.keys();
        let got: Vec<_> = everybody.map(|id| received(known, id, sender)).collect();
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
        panic!("lost on the way from {sender}: {lost:?}");
    }
}

/// They leave nothing behind.
pub(crate) fn all_leave(mut bus: Bus) {
    for id in bus.all_but("nobody") {
        bus.process(&id).signal(Signal::TERM);
    }
    for id in bus.all_but("nobody") {
        let code = bus.process(&id).end();
        assert_eq!(code, 0, "{id}: {}", bus.process(&id).complaints());
    }
    assert_eq!(bus.files(), [""; 0]);
}
