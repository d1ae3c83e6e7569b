//! Checks files at intervals, and calls once after a while, on one thread per process.
//!
//! In: functions, each with the time until its next call, if there is one. Out: their calls. May touch: one
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

/// Checks once. Returns the time until the next check; `None`: this was the last.
type Check = Box<dyn FnMut() -> Option<Duration> + Send>;

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
    /// How much earlier it may be called.
    early: Duration,
    /// `None` while the thread calls it.
    check: Option<Check>,
}

/// A call that is repeated, or made once, unless this is dropped.
#[derive(Debug)]
pub(crate) struct PeriodicCheck {
    poller: &'static PerProcess<Poller>,
    id: u64,
}

impl PeriodicCheck {
    /// Calls `check` after `first`, and then after what it returns. `None` when no thread can be started.
    pub(crate) fn start(
        first: Duration,
        mut check: impl FnMut() -> Duration + Send + 'static,
    ) -> Option<Self> {
        Self::schedule(first, first / 2, Box::new(move || Some(check())))
    }

    /// Calls `call` once, `after` this time and not earlier. `None` when no thread can be started, or never.
    pub(crate) fn once(after: Duration, call: impl FnOnce() + Send + 'static) -> Option<Self> {
        let mut call = Some(call);
        let call = move || {
            if let Some(call) = call.take() {
                call();
            }
            None
        };
        Self::schedule(after, Duration::ZERO, Box::new(call))
    }

    fn schedule(after: Duration, early: Duration, check: Check) -> Option<Self> {
        static POLLER: OnceLock<PerProcess<Poller>> = OnceLock::new();
        let poller = PerProcess::current(&POLLER);
        let due = Instant::now().checked_add(after)?;
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
        let is_first = schedule.next_due().is_none_or(|first| due < first);
        let check = Some(check);
        schedule.slots.insert(id, Slot { due, early, check });
        drop(schedule);
        if is_first {
            poller.value.added.notify_one();
        }
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
            .filter(|(_, slot)| slot.due <= now + slot.early);
        due.filter_map(|(id, slot)| Some((*id, slot.check.take()?)))
            .collect()
    }

    /// Schedules the checks again. Returns those that are over, or were dropped meanwhile.
    fn put_back(
        &mut self,
        checked: Vec<(u64, Option<Duration>, Check)>,
        now: Instant,
    ) -> Vec<Check> {
        let put_back = |(id, interval, check)| match (self.slots.get_mut(&id), interval) {
            (Some(slot), Some(interval)) => {
                *slot = Slot {
                    due: now + interval,
                    early: interval / 2,
                    check: Some(check),
                };
                None
            }
            _ => {
                self.slots.remove(&id);
                Some(check)
            }
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
            early: interval / 2,
            check: Some(Box::new(move || Some(interval))),
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
        let over = schedule.put_back(vec![(id, Some(Duration::from_millis(10)), check)], start);
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

    #[test]
    fn what_is_called_once_is_not_called_early_and_is_dropped_then() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut schedule = Schedule::default();
        schedule.slots.insert(0, slot(at(0), 100));
        let once = Slot {
            due: at(10),
            early: Duration::ZERO,
            check: Some(Box::new(|| None)),
        };
        schedule.slots.insert(1, once);
        assert_eq!(schedule.take_due(at(0)).len(), 1);
        let due = schedule.take_due(at(10));
        let checked = due.into_iter().map(|(id, mut check)| (id, check(), check));
        assert_eq!(schedule.put_back(checked.collect(), at(10)).len(), 1);
        assert_eq!(schedule.slots.keys().collect::<Vec<_>>(), [&0]);
    }
}
