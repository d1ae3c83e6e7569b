//! Looks at files at intervals, on one thread per process.
//!
//! In: functions that look, each with the time until its next call. Out: their calls. May touch: one
//! thread, started with the first look and kept.
//!
//! A wake-up of the thread serves all looks that are due within half their interval, so that a process
//! that watches several paths wakes as often as for the most frequent of them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Process, lock};

/// Looks once. Returns the time until the next look.
type Look = Box<dyn FnMut() -> Duration + Send>;

#[derive(Debug, Default)]
pub(crate) struct Looks {
    schedule: Mutex<Schedule>,
    added: Condvar,
}

#[derive(Debug, Default)]
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
    look: Option<Look>,
}

/// A look that is repeated until this is dropped.
#[derive(Debug)]
pub(crate) struct Looking {
    process: &'static Process,
    id: u64,
}

impl Looking {
    /// Calls `look` after `first`, and then after what it returns. `None` when no thread can be started.
    pub(crate) fn start(
        first: Duration,
        look: impl FnMut() -> Duration + Send + 'static,
    ) -> Option<Self> {
        let process = Process::current();
        let looks = &process.looks;
        let mut schedule = lock(&looks.schedule);
        if !schedule.runs {
            let thread = thread::Builder::new().name("kyneta-uds-looks".to_owned());
            schedule.runs = thread.spawn(|| looks.run()).is_ok();
            if !schedule.runs {
                return None;
            }
        }
        let id = schedule.next_id;
        schedule.next_id += 1;
        let slot = Slot {
            due: Instant::now() + first,
            interval: first,
            look: Some(Box::new(look)),
        };
        schedule.slots.insert(id, slot);
        drop(schedule);
        looks.added.notify_one();
        Some(Self { process, id })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if self.process.is_current() {
            let removed = lock(&self.process.looks.schedule).slots.remove(&self.id);
            drop(removed);
        }
    }
}

impl Looks {
    fn run(&self) {
        let mut schedule = lock(&self.schedule);
        loop {
            let now = Instant::now();
            let due = schedule.take_due(now);
            if due.is_empty() {
                schedule = self.wait(schedule, now);
                continue;
            }
            drop(schedule);
            let looked: Vec<_> = due
                .into_iter()
                .map(|(id, mut look)| (id, look(), look))
                .collect();
            schedule = lock(&self.schedule);
            let over = schedule.put_back(looked, Instant::now());
            if !over.is_empty() {
                drop(schedule);
                drop(over);
                schedule = lock(&self.schedule);
            }
        }
    }

    fn wait<'a>(
        &'a self,
        schedule: MutexGuard<'a, Schedule>,
        now: Instant,
    ) -> MutexGuard<'a, Schedule> {
        match schedule.next_due() {
            None => self
                .added
                .wait(schedule)
                .unwrap_or_else(PoisonError::into_inner),
            Some(due) => {
                let wait = due.saturating_duration_since(now);
                let waited = self.added.wait_timeout(schedule, wait);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl Schedule {
    fn next_due(&self) -> Option<Instant> {
        self.slots.values().map(|slot| slot.due).min()
    }

    /// What to call now: nothing unless one is due, and then those as well that soon would be.
    fn take_due(&mut self, now: Instant) -> Vec<(u64, Look)> {
        if self.next_due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let due = self
            .slots
            .iter_mut()
            .filter(|(_, slot)| slot.due <= now + slot.interval / 2);
        due.filter_map(|(id, slot)| Some((*id, slot.look.take()?)))
            .collect()
    }

    /// Schedules them again. Returns those that are over.
    fn put_back(&mut self, looked: Vec<(u64, Duration, Look)>, now: Instant) -> Vec<Look> {
        let put_back = |(id, interval, look)| match self.slots.get_mut(&id) {
            Some(slot) => {
                *slot = Slot {
                    due: now + interval,
                    interval,
                    look: Some(look),
                };
                None
            }
            None => Some(look),
        };
        looked.into_iter().filter_map(put_back).collect()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("due", &self.due)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
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
            look: Some(Box::new(move || interval)),
        }
    }

    #[test]
    fn one_wake_up_serves_all_looks_that_are_nearly_due() {
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

        let looked = due.into_iter().map(|(id, mut look)| (id, look(), look));
        assert!(schedule.put_back(looked.collect(), at(0)).is_empty());
        assert_eq!(schedule.next_due(), Some(at(2500)));
        assert_eq!(schedule.take_due(at(2500)).len(), 3, "in step from now on");
    }

    #[test]
    fn a_look_that_was_dropped_while_it_ran_is_not_repeated() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.slots.insert(7, slot(start, 10));
        let (id, look) = schedule.take_due(start).pop().unwrap();
        schedule.slots.remove(&id);
        let over = schedule.put_back(vec![(id, Duration::from_millis(10), look)], start);
        assert_eq!(over.len(), 1);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn looks_are_repeated_until_they_are_dropped() {
        let (seen, looks) = std::sync::mpsc::channel();
        let interval = Duration::from_millis(1);
        let look = move || {
            let _ = seen.send(());
            interval
        };
        let looking = Looking::start(interval, look).unwrap();
        for _ in 0..3 {
            looks.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        drop(looking);
        // The look is dropped, and its sender with it.
        while looks.recv_timeout(Duration::from_secs(10)).is_ok() {}
    }
}
