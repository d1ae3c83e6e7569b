//! A listener that knows only wire version 2 takes the path.

use std::time::{Duration, Instant};

use kyneta_uds::WireVersion;
use serde_json::json;

use crate::{
    DEADLINE, bus::Bus, foreign_listener::ForeignListener, support::durations::Durations, times,
};

#[test]
fn peers_connect_to_a_wire_2_listener_and_send_what_waited() {
    let mut joined = Durations::default();
    for _ in 0..times(2, 20) {
        let (mut bus, one) = Bus::of(3);
        let lock = bus.kill_and_lock(&one.listener);
        let lost = json!({"event": "peer", "peer": one.listener, "change": "disconnected"});
        let ours = bus.all_but(&one.listener);
        for id in &ours {
            bus.until(0, id, &lost);
            bus.send(id, 0..20);
        }
        let mark = bus.log.mark();
        let taken = Instant::now();
        let foreign = ForeignListener::bind(&bus.path, Some(WireVersion::V2), &bus.log);
        bus.taken_by(foreign);
        let now = bus.one();
        assert_eq!(now.listener, ForeignListener::ID);
        joined.add(now.since.saturating_duration_since(taken));
        let established = json!({"event": "peer", "peer": ForeignListener::ID, "wire": 2});
        for id in &ours {
            bus.until(mark, id, &established);
            bus.expect_received(ForeignListener::ID, id, 0..20);
        }
        // No peer needs the lock any more.
        drop(lock);
        for id in &ours {
            bus.send(id, 20..23);
            bus.expect_received(ForeignListener::ID, id, 0..23);
        }
        assert_eq!(bus.one().listener, ForeignListener::ID);
    }
    println!(
        "all are connected to the wire 2 listener after {joined}; {}",
        joined.against(100, Duration::from_secs(1))
    );
    assert!(joined.max() < DEADLINE / 4);
}
