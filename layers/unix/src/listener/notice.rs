//! When to look whether a path is still ours.
//!
//! In: the files that are ours. Out: a wake when something may have happened to one of them. May
//! touch: tokio's clock, where the kernel does not tell.
//!
//! Where the kernel tells of each change to the two files themselves (inotify(7)), a look a second
//! is for what it does not tell of: a directory above that is renamed or mounted over. Elsewhere it
//! is ten looks a second. A change to other files in the directory wakes nobody.

use std::{
    path::Path,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::changes::Changes;

/// How often to look where the kernel tells of changes.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) const SELDOM: Duration = Duration::from_secs(1);

/// How often to look where it does not.
const OFTEN: Duration = Duration::from_millis(100);

/// Says when to look.
#[derive(Debug)]
pub(super) enum Notice {
    /// The kernel tells.
    Changes(Changes),
    /// It does not.
    Ticks(Interval),
    /// Of a path that is not ours there is no file to be told of.
    None(Interval),
}

impl Notice {
    /// Of these files. The first look is due at once.
    pub(super) fn of(files: [&Path; 2]) -> Self {
        match Changes::of(files) {
            Some(changes) => Self::Changes(changes),
            None => Self::Ticks(ticks(Instant::now())),
        }
    }

    /// Of a path that is not ours.
    pub(super) fn of_none() -> Self {
        Self::None(ticks(Instant::now() + OFTEN))
    }

    /// Made by [`of_none`](Self::of_none)? Then that the path is lost is known.
    pub(super) const fn knows_of_a_loss(&self) -> bool {
        matches!(self, Self::None(_))
    }

    /// Ready when a look is due. True when a file has changed, and others may be there now.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Changes(changes) => changes.poll(cx),
            Self::Ticks(ticks) | Self::None(ticks) => ticks.poll_tick(cx).map(|_| false),
        }
    }
}

fn ticks(first: Instant) -> Interval {
    let mut ticks = interval_at(first, OFTEN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
