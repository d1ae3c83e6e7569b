//! Many processes start at the same instant.

use std::{fs::File, os::unix::net::UnixListener, time::Duration};

use crate::{bus::Bus, round_results::RoundResults, support::durations::Durations, times};

/// The files at the path before the start.
#[derive(Debug, Clone, Copy)]
enum Found {
    Nothing,
    StaleSocket,
    StaleLock,
}

impl Found {
    fn create(self, bus: &Bus) {
        match self {
            Self::Nothing => {}
            // Closed at once; the file stays.
            Self::StaleSocket => drop(UnixListener::bind(&bus.path).unwrap()),
            Self::StaleLock => drop(File::create(bus.lock_path()).unwrap()),
        }
    }
}

#[test]
fn processes_that_start_at_the_same_instant_are_one_bus() {
    let rounds = times(3, 45);
    let mut results = RoundResults::default();
    for found in [Found::Nothing, Found::StaleSocket, Found::StaleLock] {
        for peers in [2, 4, 8] {
            let mut figures = Durations::default();
            for _ in 0..rounds {
                let mut bus = Bus::new();
                found.create(&bus);
                let start = bus.start_together(peers);
                match bus.settled() {
                    Ok(one) => {
                        results.succeeded(bus.took_over(0).len());
                        figures.add(one.since - start);
                    }
                    Err(failure) => results.failed(&bus, &failure),
                }
            }
            println!("{peers} peers start, {found:?}: one bus after {figures}");
            assert!(figures.percentile(50) < Duration::from_secs(2));
        }
    }
    println!("{results}");
    results.check();
}
