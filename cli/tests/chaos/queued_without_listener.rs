//! Messages sent while no process listens wait, and arrive.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{bus::Bus, times};

#[test]
fn messages_sent_while_no_process_listens_arrive_afterwards() {
    for _ in 0..times(2, 20) {
        let (mut bus, one) = Bus::of(3);
        let mark = bus.log.mark();
        let lock = bus.kill_and_lock(&one.listener);
        let killed = Instant::now();
        let [a, b] = &bus.all_but(&one.listener)[..] else {
            panic!("two are left");
        };
        let lost = json!({"event": "peer", "peer": one.listener, "change": "disconnected"});
        for id in [a, b] {
            bus.until(mark, id, &lost);
            bus.send(id, 0..10);
        }
        // For a second the lock keeps both from listening.
        let listens = json!({"event": "role", "role": "listener"});
        for id in [a, b] {
            let left = Duration::from_secs(1).saturating_sub(killed.elapsed());
            assert_eq!(
                bus.soon(left, mark, id, &listens),
                None,
                "{id} without a lock"
            );
        }
        drop(lock);
        bus.one();
        for (id, from) in [(a, b), (b, a)] {
            bus.expect_received(id, from, 0..10);
            let reported = bus.log.wait(crate::DEADLINE, |known| {
                let sent = json!({"event": "sent", "count": 1});
                let sent = known.entries.iter().filter(|entry| entry.is(id, &sent));
                (sent.count() == 10).then_some(())
            });
            assert!(
                reported.is_some(),
                "{id} does not report that its messages were sent"
            );
        }
    }
}
