//! The listener is killed, again and again.

use std::time::Duration;

use crate::{bus::Bus, round_results::Toll, support::durations::Figures, times};

const PEERS: usize = 8;

#[test]
fn when_the_listener_is_killed_the_others_are_one_bus_again() {
    let mut toll = Toll::default();
    let (mut healed, mut taken_over) = (Figures::default(), Figures::default());
    let (mut bus, mut one) = Bus::of(PEERS);
    for _ in 0..times(10, 200) {
        let mark = bus.log.mark();
        let killed = bus.kill(&one.listener);
        match bus.settled() {
            Ok(now) => {
                let new = bus.took_over(mark);
                toll.went_well(new.len());
                taken_over.add(new[0].1 - killed);
                healed.add(now.since - killed);
                bus.start(&[]);
                one = bus.one();
            }
            Err(trouble) => {
                toll.went_wrong(&bus, &trouble);
                (bus, one) = Bus::of(PEERS);
            }
        }
    }
    println!("the listener of {PEERS} is killed: {toll}");
    println!("the next one listens after {taken_over}");
    println!(
        "one bus again after {healed}; {}, {}",
        healed.against(50, Duration::from_millis(5)),
        healed.against(99, Duration::from_millis(20))
    );
    toll.judge();
    assert!(healed.percentile(50) < Duration::from_secs(1));
}
