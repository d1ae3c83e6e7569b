//! The events of all processes, in the order in which they arrived; and waiting for them.
//!
//! In: events, each from the thread that reads its process. Out: what a test looks for, as soon as it is
//! there. A wait ends with an event or at its deadline.

use std::{
    fmt::Write as _,
    sync::{Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::peer_state::PeerStates;

/// An event of a process.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) id: String,
    pub(crate) event: Value,
}

impl Entry {
    /// True if it is an event of `id` with all of `fields`, and possibly more.
    pub(crate) fn is(&self, id: &str, fields: &Value) -> bool {
        let mut fields = fields.as_object().unwrap().iter();
        self.id == id && fields.all(|(name, value)| &self.event[name] == value)
    }
}

/// All events so far, and the state that follows from them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) entries: Vec<Entry>,
    pub(crate) peers: PeerStates,
}

#[derive(Debug)]
pub(crate) struct EventLog {
    began: Instant,
    known: Mutex<Known>,
    changed: Condvar,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            known: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Adds an event of `id`.
    pub(crate) fn record(&self, id: &str, at: Instant, event: Value) {
        let mut known = self.known();
        let state = known.peers.entry(id.to_owned()).or_default();
        state.record(&event, at);
        let id = id.to_owned();
        known.entries.push(Entry { at, id, event });
        drop(known);
        self.changed.notify_all();
    }

    /// The stdout of `id` has ended.
    pub(crate) fn end(&self, id: &str) {
        let mut known = self.known();
        known.peers.entry(id.to_owned()).or_default().ended = true;
        drop(known);
        self.changed.notify_all();
    }

    /// The number of events so far.
    pub(crate) fn mark(&self) -> usize {
        self.known().entries.len()
    }

    /// Removes the events; the states stay.
    pub(crate) fn forget(&self) {
        self.known().entries.clear();
    }

    /// Looks at the events without waiting.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known())
    }

    /// Waits until `look` finds something; `None` at the deadline.
    pub(crate) fn wait<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Known) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut known = self.known();
        loop {
            if let Some(seen) = look(&known) {
                return Some(seen);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            known = self.changed.wait_timeout(known, left).unwrap().0;
        }
    }

    /// All events as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for Entry { at, id, event } in &self.known().entries {
            let ms = at.saturating_duration_since(self.began).as_secs_f64() * 1e3;
            // An offer may be long.
            let event: String = event.to_string().chars().take(300).collect();
            writeln!(text, "{ms:10.2} ms {id:>4} {event}").unwrap();
        }
        text
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A failed test still prints the log.
        match self.known.lock() {
            Ok(known) => known,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}
