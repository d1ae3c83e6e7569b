//! Checks files at intervals, on one thread per process.
//!
//! In: functions that check, each with the time until its next call. Out: their calls. May touch: one
//! thread, started with the first check and kept.
//!
//! The thread keeps the time because a tokio runtime with a timer reads the clock and sets the kernel's timer
//! in each of its turns, which costs some 4 % of a round trip. A wake-up serves all checks that are due within
//! half their interval, so that a process with several paths wakes only as often as the most frequent needs.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use super::per_process::PerProcess;
use crate::mutex::lock;

/// Checks once. Returns the time until the next check.
type Check = Box<dyn FnMut() -> Duration + Send>;

#[derive(Default)]
struct Poller {
    schedule: Mutex<Schedule>,
    added: Condvar,
}

#[derive(Default)]
struct Schedule {
    /// The thread runs.
    runs: bool,
    next_id: u64,
    slots: HashMap<u64, Slot>,
}

struct Slot {
    due: Instant,
    interval: Duration,
    /// `None` while the thread calls it.
    check: Option<Check>,
}

/// A check that is repeated until this is dropped.
#[derive(Debug)]
pub(crate) struct PeriodicCheck {
    poller: &'static PerProcess<Poller>,
    id: u64,
}

impl PeriodicCheck {
    /// Calls `check` after `first`, and then after what it returns. `None` when no thread can be started.
    pub(crate) fn start(
        first: Duration,
        check: impl FnMut() -> Duration + Send + 'static,
    ) -> Option<Self> {
        static POLLER: OnceLock<PerProcess<Poller>> = OnceLock::new();
        let poller = PerProcess::current(&POLLER);
        let mut schedule = lock(&poller.value.schedule);
        if !schedule.runs {
            let thread = thread::Builder::new().name("kyneta-uds-looks".to_owned());
            schedule.runs = thread.spawn(|| poller.value.run()).is_ok();
            if !schedule.runs {
                return None;
            }
        }
        let id = schedule.next_id;
        schedule.next_id += 1;
        let slot = Slot {
            due: Instant::now() + first,
            interval: first,
            check: Some(Box::new(check)),
        };
        schedule.slots.insert(id, slot);
        drop(schedule);
        poller.value.added.notify_one();
        Some(Self { poller, id })
    }
}

impl Drop for PeriodicCheck {
    fn drop(&mut self) {
        if self.poller.is_current() {
            let removed = lock(&self.poller.value.schedule).slots.remove(&self.id);
            drop(removed);
        }
    }
}

impl Poller {
    fn run(&self) {
        loop {
            let mut schedule = lock(&self.schedule);
            let now = Instant::now();
            let due = schedule.take_due(now);
            if due.is_empty() {
                let next = schedule.next_due();
                let pause = next.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
                drop(self.added.wait_timeout(schedule, pause));
                continue;
            }
            drop(schedule);
            let checked = due.into_iter().map(|(id, mut check)| (id, check(), check));
            let checked = checked.collect();
            // Not under the lock: a check may hold a waker, which is code of the user.
            let dropped = lock(&self.schedule).put_back(checked, Instant::now());
            drop(dropped);
        }
    }
}

impl Schedule {
    fn next_due(&self) -> Option<Instant> {
        self.slots.values().map(|slot| slot.due).min()
    }

    /// What to call now: nothing unless a check is due, and then also the checks that are due soon.
    fn take_due(&mut self, now: Instant) -> Vec<(u64, Check)> {
        if self.next_due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let due = self
            .slots
            .iter_mut()
            .filter(|(_, slot)| slot.due <= now + slot.interval / 2);
        due.filter_map(|(id, slot)| Some((*id, slot.check.take()?)))
            .collect()
    }

    /// Schedules the checks again. Returns those that were dropped meanwhile.
    fn put_back(&mut self, checked: Vec<(u64, Duration, Check)>, now: Instant) -> Vec<Check> {
        let put_back = |(id, interval, check)| match self.slots.get_mut(&id) {
            Some(slot) => {
                *slot = Slot {
                    due: now + interval,
                    interval,
                    check: Some(check),
                };
                None
            }
            None => Some(check),
        };
        checked.into_iter().filter_map(put_back).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(due: Instant, interval: u64) -> Slot {
        let interval = Duration::from_millis(interval);
        Slot {
            due,
            interval,
            check: Some(Box::new(move || interval)),
        }
    }

    #[test]
    fn one_wake_up_serves_all_checks_that_are_nearly_due() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut schedule = Schedule::default();
        for (id, due, interval) in [(0, 0, 4000), (1, 1500, 4000), (2, 2500, 4000)] {
            schedule.slots.insert(id, slot(at(due), interval));
        }
        assert!(
            schedule
                .take_due(start - Duration::from_millis(1))
                .is_empty()
        );
        let mut due = schedule.take_due(at(0));
        due.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(due.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1]);

        let checked = due.into_iter().map(|(id, mut check)| (id, check(), check));
        assert!(schedule.put_back(checked.collect(), at(0)).is_empty());
        assert_eq!(schedule.next_due(), Some(at(2500)));
        assert_eq!(schedule.take_due(at(2500)).len(), 3, "in step from now on");
    }

    #[test]
    fn a_check_that_was_dropped_while_it_ran_is_not_repeated() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.slots.insert(7, slot(start, 10));
        let (id, check) = schedule.take_due(start).pop().unwrap();
        schedule.slots.remove(&id);
        let over = schedule.put_back(vec![(id, Duration::from_millis(10), check)], start);
        assert_eq!(over.len(), 1);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn checks_are_repeated_until_they_are_dropped() {
        let (seen, calls) = std::sync::mpsc::channel();
        let interval = Duration::from_millis(1);
        let check = move || {
            let _ = seen.send(());
            interval
        };
        let repeated = PeriodicCheck::start(interval, check).unwrap();
        for _ in 0..3 {
            calls.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        drop(repeated);
        // The check is dropped, and its sender with it.
        while calls.recv_timeout(Duration::from_secs(10)).is_ok() {}
    }
}
