//! What keeps a role from its work, and since when.
//!
//! In: why, each time that something fails; the end of it. Out: the last reason, with the time of the
//! first; a reminder from time to time. May touch: tokio's clock, and one task as long as a client waits.

use std::time::Duration;

use kyneta_uds_core::SharedError;
use kyneta_uds_negotiate::RoleWait;
use tokio::{
    runtime,
    sync::watch,
    time::{Instant, sleep_until},
};

/// After so long it is told what is waited for, and again after as long a pause as it has waited, up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two reminders.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What keeps a role from its work, and since when: see [`Server::waiting`](crate::Server::waiting),
/// [`Client::waiting`](crate::Client::waiting), [`Peer::waiting`](crate::Peer::waiting) and
/// [`Event::Waiting`](crate::Event::Waiting).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # use kyneta_uds::{Incoming, Server};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// # let ignore = tower::service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
/// let server = Server::builder(&path).listen(ignore).await?;
/// if let Some(waiting) = server.waiting() {
///     println!("not to be found for {:?}: {}", waiting.elapsed(), waiting.why());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Waiting {
    why: SharedError,
    since: Instant,
}

impl Waiting {
    pub(crate) const fn new(why: SharedError, since: Instant) -> Self {
        Self { why, since }
    }

    pub(crate) fn for_role(waiting: &RoleWait) -> Self {
        let now = Instant::now();
        let since = now.checked_sub(waiting.waited).unwrap_or(now);
        Self::new(SharedError::new(waiting.clone()), since)
    }

    /// The last reason. Its text says what caused it, too. That of a [`Peer`](crate::Peer) is a
    /// [`RoleWait`](crate::RoleWait).
    pub const fn why(&self) -> &SharedError {
        &self.why
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// For how long, by now, there has been a reason, whichever it was.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Where a role notes what it waits for.
#[derive(Debug)]
pub(crate) struct WaitingNote {
    present: watch::Sender<Option<Waiting>>,
}

impl Default for WaitingNote {
    fn default() -> Self {
        Self {
            present: watch::Sender::new(None),
        }
    }
}

impl WaitingNote {
    /// The reason from now on; it waits since the first one. True of the first one.
    pub(crate) fn note(&self, why: SharedError) -> bool {
        let since = self.get().map(|waiting| waiting.since());
        let first = since.is_none();
        let waiting = Waiting::new(why, since.unwrap_or_else(Instant::now));
        // The old one is dropped here, outside the lock: its reason may be a user's error.
        drop(self.present.send_replace(Some(waiting)));
        first
    }

    /// It waits no longer. How long it did, if it did.
    pub(crate) fn over(&self) -> Option<Duration> {
        let old = self.present.send_replace(None);
        old.map(|waiting| waiting.elapsed())
    }

    pub(crate) fn get(&self) -> Option<Waiting> {
        self.present.borrow().clone()
    }

    /// Calls `tell` from time to time with what is waited for, until that is over. In a task of its own,
    /// which keeps nothing alive but `tell`.
    pub(crate) fn remind(&self, tell: impl Fn(Waiting) + Send + 'static) {
        let mut present = self.present.subscribe();
        // Without a runtime nothing is waited for.
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        let first = present.borrow_and_update().as_ref().map(Waiting::since);
        let Some(since) = first else { return };
        runtime.spawn(async move {
            let mut next = since + FIRST_PAUSE;
            loop {
                let over =
                    |present: &Option<Waiting>| present.as_ref().map(Waiting::since) != Some(since);
                tokio::select! {
                    biased;
                    // Over, or the role is gone.
                    _ = present.wait_for(over) => return,
                    () = sleep_until(next) => {}
                }
                let waiting = present.borrow_and_update().clone();
                waiting.into_iter().for_each(&tell);
                next = Instant::now() + since.elapsed().clamp(FIRST_PAUSE, LONGEST_PAUSE);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, time::sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_reason_counts_and_the_first_time() {
        let note = WaitingNote::default();
        assert!(note.get().is_none() && note.over().is_none());
        assert!(note.note(SharedError::new("one")));
        sleep(Duration::from_secs(2)).await;
        assert!(!note.note(SharedError::new("two")));
        let waiting = note.get().map(|of| (of.why().to_string(), of.elapsed()));
        assert_eq!(waiting, Some(("two".to_owned(), Duration::from_secs(2))));
        assert_eq!(note.over(), Some(Duration::from_secs(2)));
        assert!(note.get().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_after_a_second_and_after_pauses_that_grow_until_it_is_over() {
        let note = WaitingNote::default();
        let (told, mut telling) = mpsc::unbounded_channel();
        let begin = Instant::now();
        note.note(SharedError::new("one"));
        note.remind(move |waiting| {
            let _ = told.send((waiting.why().to_string(), begin.elapsed().as_secs()));
        });
        let mut seen = Vec::new();
        while seen.len() < 9 {
            seen.extend(telling.recv().await);
            note.note(SharedError::new("two"));
        }
        assert_eq!(seen.remove(0), ("one".to_owned(), 1));
        assert!(seen.iter().all(|(why, _)| why == "two"), "{seen:?}");
        let times: Vec<_> = seen.iter().map(|(_, at)| *at).collect();
        assert_eq!(times, [2, 4, 8, 16, 32, 64, 124, 184]);
        note.over();
        // A new one is not its own.
        note.note(SharedError::new("three"));
        assert_eq!(telling.recv().await, None);
    }
}
