//! The socket file is removed under a live listener, as those who tidy up a directory do.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{DEADLINE, bus::Bus, support::durations::Figures, times};

#[test]
fn a_socket_file_that_is_removed_is_there_again() {
    remove(times(5, 50), |bus| fs::remove_file(&bus.path).unwrap());
}

#[test]
fn a_socket_file_that_is_removed_with_its_lock_is_there_again() {
    remove(times(5, 50), |bus| {
        fs::remove_file(&bus.path).unwrap();
        fs::remove_file(bus.lock_path()).unwrap();
    });
}

fn remove(rounds: usize, tidy_up: fn(&Bus)) {
    let (mut back, mut healed) = (Figures::default(), Figures::default());
    for _ in 0..rounds {
        let (mut bus, _) = Bus::of(4);
        let removed = Instant::now();
        tidy_up(&bus);
        // Right into it.
        bus.start(&[]);
        back.add(until_there(&bus) - removed);
        let one = bus.one();
        healed.add(one.since.saturating_duration_since(removed));
        // Each reaches the listener, and is reached.
        let others = bus.all_but(&one.listener);
        for other in &others {
            bus.send(other, 0..3);
        }
        bus.send(&one.listener, 3..6);
        for other in &others {
            bus.gets(&one.listener, other, 0..3);
            bus.gets(other, &one.listener, 3..6);
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

/// Somebody answers at the path.
fn until_there(bus: &Bus) -> Instant {
    let start = Instant::now();
    while bus.who_answers().is_none() {
        assert!(start.elapsed() < DEADLINE, "the path does not come back");
        // Of the file system there is no news.
        std::thread::sleep(Duration::from_millis(1));
    }
    Instant::now()
}
