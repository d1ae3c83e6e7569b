//! The socket file of a live listener is removed, as programs that clean up directories do.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{DEADLINE, bus::Bus, support::durations::Durations, times};

#[test]
fn a_socket_file_that_is_removed_is_created_again() {
    recovers(times(5, 50), |bus| fs::remove_file(&bus.path).unwrap());
}

#[test]
fn a_socket_file_that_is_removed_with_its_lock_is_created_again() {
    recovers(times(5, 50), |bus| {
        fs::remove_file(&bus.path).unwrap();
        fs::remove_file(bus.lock_path()).unwrap();
    });
}

fn recovers(rounds: usize, remove_files: fn(&Bus)) {
    let (mut back, mut healed) = (Durations::default(), Durations::default());
    for _ in 0..rounds {
        let (mut bus, _) = Bus::of(4);
        let removed = Instant::now();
        remove_files(&bus);
        // A peer starts while the path is missing.
        bus.start(&[]);
        back.add(wait_for_listener(&bus) - removed);
        let one = bus.one();
        healed.add(one.since.saturating_duration_since(removed));
        // Messages pass in both directions.
        let others = bus.all_but(&one.listener);
        for other in &others {
            bus.send(other, 0..3);
        }
        bus.send(&one.listener, 3..6);
        for other in &others {
            bus.expect_received(&one.listener, other, 0..3);
            bus.expect_received(other, &one.listener, 3..6);
        }
    }
    println!(
        "the path is back after {back}; {}",
        back.against(100, Duration::from_millis(250))
    );
    println!(
        "one bus with a newcomer after {healed}; {}",
        healed.against(100, Duration::from_millis(500))
    );
    assert!(back.percentile(50) < Duration::from_secs(1));
    assert!(healed.percentile(50) < Duration::from_secs(2));
}

/// Waits until a process listens at the path; returns the time.
fn wait_for_listener(bus: &Bus) -> Instant {
    let start = Instant::now();
    while bus.pid_at_path().is_none() {
        assert!(start.elapsed() < DEADLINE, "the path does not come back");
        // No event reports it.
        std::thread::sleep(Duration::from_millis(1));
    }
    Instant::now()
}
