//! Many start at the same instant.

use std::{fs::File, os::unix::net::UnixListener, time::Duration};

use crate::{bus::Bus, round_results::Toll, support::durations::Figures, times};

/// What they find at the path.
#[derive(Debug, Clone, Copy)]
enum Found {
    Nothing,
    StaleSocket,
    StaleLock,
}

impl Found {
    fn leave(self, bus: &Bus) {
        match self {
            Self::Nothing => {}
            // Closed at once, and its file stays.
            Self::StaleSocket => drop(UnixListener::bind(&bus.path).unwrap()),
            Self::StaleLock => drop(File::create(bus.lock_path()).unwrap()),
        }
    }
}

#[test]
fn all_who_start_at_the_same_instant_are_one_bus() {
    let rounds = times(3, 45);
    let mut toll = Toll::default();
    for found in [Found::Nothing, Found::StaleSocket, Found::StaleLock] {
        for peers in [2, 4, 8] {
            let mut figures = Figures::default();
            for _ in 0..rounds {
                let mut bus = Bus::new();
                found.leave(&bus);
                let start = bus.start_together(peers);
                match bus.settled() {
                    Ok(one) => {
                        toll.went_well(bus.took_over(0).len());
                        figures.add(one.since - start);
                    }
                    Err(trouble) => toll.went_wrong(&bus, &trouble),
                }
            }
            println!("{peers} peers start, {found:?}: one bus after {figures}");
            assert!(figures.percentile(50) < Duration::from_secs(2));
        }
    }
    println!("{toll}");
    toll.judge();
}
