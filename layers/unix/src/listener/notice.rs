//! When to look whether a path is still ours.
//!
//! In: the files that are ours. Out: a wake when something may have happened to one of them. May
//! touch: tokio's clock.
//!
//! Where the kernel tells of each change to the two files themselves (inotify(7)), a look a second
//! is for what it does not tell of: a directory above that is renamed or mounted over. Elsewhere it
//! is ten looks a second. A change to other files in the directory wakes nobody.

use std::{
    path::Path,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

use super::changes::Changes;

/// How often to look where the kernel tells of changes.
const SELDOM: Duration = Duration::from_secs(1);

/// How often to look where it does not.
const OFTEN: Duration = Duration::from_millis(100);

/// Says when to look.
#[derive(Debug)]
pub(super) struct Notice {
    ticks: Interval,
    changes: Option<Changes>,
    is_of_none: bool,
}

impl Notice {
    /// Of these files. The first look is due at once.
    pub(super) fn of(files: [&Path; 2]) -> Self {
        let changes = Changes::of(files);
        let mut ticks = interval(if changes.is_some() { SELDOM } else { OFTEN });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            changes,
            is_of_none: false,
        }
    }

    /// Of a path that is not ours: there is no file to be told of.
    pub(super) fn of_none() -> Self {
        let mut ticks = interval_at(Instant::now() + OFTEN, OFTEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            changes: None,
            is_of_none: true,
        }
    }

    /// Made by [`of_none`](Self::of_none)? Then that the path is lost is known.
    pub(super) const fn knows_of_a_loss(&self) -> bool {
        self.is_of_none
    }

    /// Ready when a look is due. True when a file has changed, and others may be there now.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let Some(changes) = &mut self.changes
            && changes.poll(cx).is_ready()
        {
            return Poll::Ready(true);
        }
        self.ticks.poll_tick(cx).map(|_| false)
    }
}
