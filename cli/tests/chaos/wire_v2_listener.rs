//! A listener that knows only wire version 2 takes over.

use std::time::{Duration, Instant};

use kyneta_uds::WireVersion;
use serde_json::json;

use crate::{DEADLINE, bus::Bus, foreign_listener::Stranger, support::durations::Figures, times};

#[test]
fn a_listener_of_the_old_wire_is_joined_and_gets_what_waited() {
    let mut joined = Figures::default();
    for _ in 0..times(2, 20) {
        let (mut bus, one) = Bus::of(3);
        let lock = bus.orphan(&one.listener);
        let lost = json!({"event": "peer", "peer": one.listener, "change": "disconnected"});
        let ours = bus.all_but(&one.listener);
        for id in &ours {
            bus.until(0, id, &lost);
            bus.send(id, 0..20);
        }
        let mark = bus.log.mark();
        let taken = Instant::now();
        let stranger = Stranger::takes(&bus.path, Some(WireVersion::V2), &bus.log);
        bus.taken_by(stranger);
        let now = bus.one();
        assert_eq!(now.listener, Stranger::ID);
        joined.add(now.since.saturating_duration_since(taken));
        let established = json!({"event": "peer", "peer": Stranger::ID, "wire": 2});
        for id in &ours {
            bus.until(mark, id, &established);
            bus.gets(Stranger::ID, id, 0..20);
        }
        // Nobody wants the lock any more.
        drop(lock);
        for id in &ours {
            bus.send(id, 20..23);
            bus.gets(Stranger::ID, id, 0..23);
        }
        assert_eq!(bus.one().listener, Stranger::ID);
    }
    println!(
        "all have joined the old one after {joined}; {}",
        joined.against(100, Duration::from_secs(1))
    );
    assert!(joined.max() < DEADLINE / 4);
}
