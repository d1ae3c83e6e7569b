//! Why a role waits, and since when.
//!
//! In: the reason of each failure; the end of the wait. Out: the last reason, with the time of the first;
//! reminders. May touch: tokio's clock, and one task while a client waits.

use std::time::Duration;

use kyneta_uds_core::SharedError;
use kyneta_uds_negotiate::{RoleWait, machine::reminder_pause};
use tokio::{
    runtime,
    sync::watch,
    time::{Instant, sleep_until},
};

/// Why a role does not work, and since when: see [`Server::waiting`](crate::Server::waiting),
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
///     println!("new peers cannot connect for {:?}: {}", waiting.elapsed(), waiting.why());
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

    /// The last reason; its text includes the causes. That of a [`Peer`](crate::Peer) is a
    /// [`RoleWait`](crate::RoleWait).
    pub const fn why(&self) -> &SharedError {
        &self.why
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// How long there has been a reason, the last or an earlier one.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Holds the reason that a role waits for.
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
    /// Sets the reason; the time of the first one stays. True if it is the first.
    pub(crate) fn note(&self, why: SharedError) -> bool {
        let since = self.get().map(|waiting| waiting.since());
        let first = since.is_none();
        let waiting = Waiting::new(why, since.unwrap_or_else(Instant::now));
        // The old reason may be a user's error: it is dropped outside the lock.
        drop(self.present.send_replace(Some(waiting)));
        first
    }

    /// Ends the wait. Returns how long it was, if there was one.
    pub(crate) fn over(&self) -> Option<Duration> {
        let old = self.present.send_replace(None);
        old.map(|waiting| waiting.elapsed())
    }

    pub(crate) fn get(&self) -> Option<Waiting> {
        self.present.borrow().clone()
    }

    /// Calls `report` at intervals until the wait is over, in a task that keeps only `report` alive.
    pub(crate) fn remind(&self, report: impl Fn(Waiting) + Send + 'static) {
        let mut present = self.present.subscribe();
        // Without a runtime nothing waits.
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        let first = present.borrow_and_update().as_ref().map(Waiting::since);
        let Some(since) = first else { return };
        runtime.spawn(async move {
            let (mut next, mut reports) = (since + reminder_pause(0), 0_u8);
            loop {
                let over =
                    |present: &Option<Waiting>| present.as_ref().map(Waiting::since) != Some(since);
                tokio::select! {
                    biased;
                    // The wait is over, or the role was dropped.
                    _ = present.wait_for(over) => return,
                    () = sleep_until(next) => {}
                }
                let waiting = present.borrow_and_update().clone();
                waiting.into_iter().for_each(&report);
                next = Instant::now() + reminder_pause(reports);
                reports = reports.saturating_add(1);
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
    async fn reminders_come_after_a_second_and_then_at_growing_intervals_until_the_end() {
        let note = WaitingNote::default();
        let (report, mut reports) = mpsc::unbounded_channel();
        let begin = Instant::now();
        note.note(SharedError::new("one"));
        note.remind(move |waiting| {
            let _ = report.send((waiting.why().to_string(), begin.elapsed().as_secs()));
        });
        let mut seen = Vec::new();
        while seen.len() < 9 {
            seen.extend(reports.recv().await);
            note.note(SharedError::new("two"));
        }
        assert_eq!(seen.remove(0), ("one".to_owned(), 1));
        assert!(seen.iter().all(|(why, _)| why == "two"), "{seen:?}");
        let times: Vec<_> = seen.iter().map(|(_, at)| *at).collect();
        assert_eq!(times, [2, 4, 8, 16, 32, 64, 124, 184]);
        note.over();
        // A later wait is not reported by this task.
        note.note(SharedError::new("three"));
        assert_eq!(reports.recv().await, None);
    }
}
