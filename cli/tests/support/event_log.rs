//! What all processes of a bus have said, in the order in which it arrived; and waiting for it.
//!
//! In: lines, each from the thread that reads its process. Out: what is asked for, as soon as it is
//! there. Nothing is waited for but news and deadlines.

use std::{
    fmt::Write as _,
    sync::{Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::peer_state::Standings;

/// Something said.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) who: String,
    pub(crate) event: Value,
}

impl Entry {
    /// True when `who` said something with all of `fields`, whatever else it has.
    pub(crate) fn is(&self, who: &str, fields: &Value) -> bool {
        let mut fields = fields.as_object().unwrap().iter();
        self.who == who && fields.all(|(name, value)| &self.event[name] == value)
    }
}

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) entries: Vec<Entry>,
    pub(crate) standings: Standings,
}

#[derive(Debug)]
pub(crate) struct Log {
    began: Instant,
    known: Mutex<Known>,
    news: Condvar,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            known: Mutex::default(),
            news: Condvar::new(),
        }
    }

    /// `who` has said something.
    pub(crate) fn hear(&self, who: &str, at: Instant, event: Value) {
        let mut known = self.known();
        let standing = known.standings.entry(who.to_owned()).or_default();
        standing.hear(&event, at);
        let who = who.to_owned();
        known.entries.push(Entry { at, who, event });
        drop(known);
        self.news.notify_all();
    }

    /// `who` will say no more.
    pub(crate) fn end(&self, who: &str) {
        let mut known = self.known();
        known.standings.entry(who.to_owned()).or_default().ended = true;
        drop(known);
        self.news.notify_all();
    }

    /// How much has been said so far.
    pub(crate) fn mark(&self) -> usize {
        self.known().entries.len()
    }

    /// Forgets what was said, not how everybody stands.
    pub(crate) fn forget(&self) {
        self.known().entries.clear();
    }

    /// Looks at what is known, without waiting.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known())
    }

    /// Waits until `look` sees something; `None` when it does not in time.
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
            known = self.news.wait_timeout(known, left).unwrap().0;
        }
    }

    /// All of it, for a person.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for Entry { at, who, event } in &self.known().entries {
            let ms = at.saturating_duration_since(self.began).as_secs_f64() * 1e3;
            // An offer may be long.
            let event: String = event.to_string().chars().take(300).collect();
            writeln!(text, "{ms:10.2} ms {who:>4} {event}").unwrap();
        }
        text
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A test that has failed still wants to say why.
        match self.known.lock() {
            Ok(known) => known,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}
