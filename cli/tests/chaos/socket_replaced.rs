//! Another process removes the socket of a live listener and binds its own, as the TypeScript package
//! does when it starts.

use std::time::{Duration, Instant};

use crate::{bus::Bus, foreign_listener::ForeignListener, support::durations::Durations, times};

#[test]
fn all_peers_connect_to_a_process_that_replaces_the_socket() {
    let mut healed = Durations::default();
    for _ in 0..times(3, 30) {
        let (mut bus, _) = Bus::of(4);
        let mark = bus.log.mark();
        let taken = Instant::now();
        let foreign = ForeignListener::bind(&bus.path, None, &bus.log);
        bus.taken_by(foreign);
        let one = bus.one();
        assert_eq!(one.listener, ForeignListener::ID);
        healed.add(one.since.saturating_duration_since(taken));
        // So does a process that starts now.
        bus.start(&[]);
        bus.one();
        let ours = bus.took_over(mark);
        assert!(
            ours.iter().all(|(id, _)| id == ForeignListener::ID),
            "{ours:?}"
        );
        for id in bus.all_but(ForeignListener::ID) {
            bus.send(&id, 0..3);
            bus.expect_received(ForeignListener::ID, &id, 0..3);
        }
    }
    println!("all are connected to the new listener after {healed}");
    assert!(healed.percentile(50) < Duration::from_secs(2));
}
