//! The listener is killed, many times.

use std::time::Duration;

use crate::{bus::Bus, round_results::RoundResults, support::durations::Durations, times};

const PEERS: usize = 8;

#[test]
fn when_the_listener_is_killed_the_others_are_one_bus_again() {
    let mut results = RoundResults::default();
    let (mut healed, mut taken_over) = (Durations::default(), Durations::default());
    let (mut bus, mut one) = Bus::of(PEERS);
    for _ in 0..times(10, 200) {
        let mark = bus.log.mark();
        let killed = bus.kill(&one.listener);
        match bus.settled() {
            Ok(now) => {
                let new = bus.took_over(mark);
                results.succeeded(new.len());
                taken_over.add(new[0].1 - killed);
                healed.add(now.since - killed);
                bus.start(&[]);
                one = bus.one();
            }
            Err(failure) => {
                results.failed(&bus, &failure);
                (bus, one) = Bus::of(PEERS);
            }
        }
    }
    println!("the listener of {PEERS} is killed: {results}");
    println!("the next listener after {taken_over}");
    println!(
        "one bus again after {healed}; {}, {}",
        healed.against(50, Duration::from_millis(5)),
        healed.against(99, Duration::from_millis(20))
    );
    results.check();
    assert!(healed.percentile(50) < Duration::from_secs(1));
}
