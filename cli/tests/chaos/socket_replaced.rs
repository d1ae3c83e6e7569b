//! A neighbour that unlinks the path of a live listener and binds its own, as the TypeScript package
//! does when it starts late.

use std::time::{Duration, Instant};

use crate::{bus::Bus, foreign_listener::Stranger, support::durations::Figures, times};

#[test]
fn an_intruder_that_takes_the_path_is_joined_by_all() {
    let mut healed = Figures::default();
    for _ in 0..times(3, 30) {
        let (mut bus, _) = Bus::of(4);
        let mark = bus.log.mark();
        let taken = Instant::now();
        let stranger = Stranger::takes(&bus.path, None, &bus.log);
        bus.taken_by(stranger);
        let one = bus.one();
        assert_eq!(one.listener, Stranger::ID);
        healed.add(one.since.saturating_duration_since(taken));
        // One that starts now joins, too.
        bus.start(&[]);
        bus.one();
        let ours = bus.took_over(mark);
        assert!(ours.iter().all(|(who, _)| who == Stranger::ID), "{ours:?}");
        for id in bus.all_but(Stranger::ID) {
            bus.send(&id, 0..3);
            bus.gets(Stranger::ID, &id, 0..3);
        }
    }
    println!("all have joined the intruder after {healed}");
    assert!(healed.percentile(50) < Duration::from_secs(2));
}
