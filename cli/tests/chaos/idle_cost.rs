//! The cost of an idle bus.
//!
//! Held: processor time, wake-ups and inotify instances of each process, over seconds in which nothing happens. A
//! failure lists them by process.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    DEADLINE, bus::Bus, foreign_listener::ForeignListener, support::durations::Durations, times,
};

#[test]
fn an_idle_bus_of_8_uses_no_processor() {
    let span = Duration::from_secs(times(4, 60) as u64);
    let (mut bus, _) = Bus::of(8);
    let members = bus.all();
    let on_cpu = |bus: &mut Bus| -> Vec<Duration> {
        let each = members.iter();
        each.map(|id| bus.process(id).on_cpu()).collect()
    };
    let before = on_cpu(&mut bus);
    // The test is that nothing happens, so it can only wait.
    sleep(span);
    let mut used = Durations::default();
    for (before, after) in before.into_iter().zip(on_cpu(&mut bus)) {
        used.add(after - before);
    }
    println!(
        "in {span:?} each process used {used}; {}",
        used.against(100, span / 1000)
    );
    assert!(used.max() < span / 100);
}

#[test]
fn on_an_idle_bus_only_the_listener_has_inotify_and_all_sleep() {
    const SPAN: Duration = Duration::from_secs(10);
    /// 0.3 a second.
    const MOST: u64 = 3;
    let (mut bus, _) = Bus::of(7);
    // One process also has a status socket.
    let status = bus.directory.path().join("status.sock");
    bus.start(&["--status", status.to_str().unwrap()]);
    let one = bus.one();
    let members = bus.all();
    // The end of the startup.
    sleep(Duration::from_secs(1));
    for id in &members {
        let instances = bus.process(id).inotify_instances();
        assert_eq!(instances, usize::from(*id == one.listener), "{id}");
    }
    let wake_ups = |bus: &mut Bus| -> Vec<u64> {
        let each = members.iter();
        each.map(|id| bus.process(id).wake_ups()).collect()
    };
    let before = wake_ups(&mut bus);
    sleep(SPAN);
    let after = wake_ups(&mut bus);
    let each: Vec<_> = before.iter().zip(after).map(|(b, a)| a - b).collect();
    println!("in {SPAN:?} each process woke up {each:?} times");
    assert!(each.iter().all(|times| *times <= MOST), "{each:?}");
}

#[test]
fn a_listener_that_becomes_a_connector_closes_its_inotify_instance() {
    let (mut bus, one) = Bus::of(2);
    let mark = bus.log.mark();
    // Another listener takes the path; the peers connect to it.
    let foreign = ForeignListener::bind(&bus.path, None, &bus.log);
    bus.taken_by(foreign);
    let connector = json!({"event": "role", "role": "connector"});
    bus.until(mark, &one.listener, &connector);
    let start = Instant::now();
    while bus.process(&one.listener).inotify_instances() > 0 {
        assert!(start.elapsed() < DEADLINE);
        sleep(Duration::from_millis(10));
    }
}
