//! What is sent while nobody listens waits, and arrives.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{bus::Bus, times};

#[test]
fn what_is_sent_while_nobody_listens_arrives_afterwards() {
    for _ in 0..times(2, 20) {
        let (mut bus, one) = Bus::of(3);
        let mark = bus.log.mark();
        let lock = bus.orphan(&one.listener);
        let orphaned = Instant::now();
        let [a, b] = &bus.all_but(&one.listener)[..] else {
            panic!("two are left");
        };
        let lost = json!({"event": "peer", "peer": one.listener, "change": "disconnected"});
        for id in [a, b] {
            bus.until(mark, id, &lost);
            bus.send(id, 0..10);
        }
        // A second, in which nobody can.
        let listens = json!({"event": "role", "role": "listener"});
        for id in [a, b] {
            let left = Duration::from_secs(1).saturating_sub(orphaned.elapsed());
            assert_eq!(
                bus.soon(left, mark, id, &listens),
                None,
                "{id} without a lock"
            );
        }
        drop(lock);
        bus.one();
        for (id, from) in [(a, b), (b, a)] {
            bus.gets(id, from, 0..10);
            let told = bus.log.wait(crate::DEADLINE, |known| {
                let sent = json!({"event": "sent", "count": 1});
                let told = known.entries.iter().filter(|entry| entry.is(id, &sent));
                (told.count() == 10).then_some(())
            });
            assert!(
                told.is_some(),
                "{id} does not say that its messages were sent"
            );
        }
    }
}
