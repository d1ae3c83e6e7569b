//! When to look whether a path is still ours.
//!
//! In: the files that are ours. Out: a wake when something may have happened to one of them. May
//! touch: an inotify descriptor, tokio's clock.
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

/// How often to look where the kernel tells of changes.
const SELDOM: Duration = Duration::from_secs(1);

/// How often to look where it does not.
const OFTEN: Duration = Duration::from_millis(100);

/// Says when to look.
#[derive(Debug)]
pub(super) struct Notice {
    ticks: Interval,
    changes: Option<changes::Changes>,
}

impl Notice {
    /// Of these files. The first look is due at once.
    pub(super) fn of(files: [&Path; 2]) -> Self {
        let changes = changes::Changes::of(files);
        let mut ticks = interval(if changes.is_some() { SELDOM } else { OFTEN });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, changes }
    }

    /// Of a path that is not ours: there is no file to be told of.
    pub(super) fn of_none() -> Self {
        let mut ticks = interval_at(Instant::now() + OFTEN, OFTEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            changes: None,
        }
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

#[cfg(target_os = "linux")]
mod changes {
    use std::{
        path::Path,
        pin::Pin,
        task::{Context, Poll, ready},
    };

    use futures_core::Stream as _;
    use inotify::{EventStream, Inotify, WatchMask};

    /// Room for some events; what does not fit is read by the next look.
    const ROOM: usize = 256;

    /// The kernel's word that a file was unlinked, replaced or moved.
    #[derive(Debug)]
    pub(super) struct Changes {
        events: EventStream<Vec<u8>>,
    }

    impl Changes {
        /// `None` when the kernel will not tell: out of watches, or a file that we may not read.
        pub(super) fn of(files: [&Path; 2]) -> Option<Self> {
            let inotify = Inotify::init().ok()?;
            let which = WatchMask::ATTRIB
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::DONT_FOLLOW;
            for file in files {
                inotify.watches().add(file, which).ok()?;
            }
            let events = inotify.into_event_stream(vec![0; ROOM]).ok()?;
            Some(Self { events })
        }

        /// What they were does not matter.
        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            match ready!(Pin::new(&mut self.events).poll_next(cx)) {
                Some(Ok(_)) => Poll::Ready(()),
                Some(Err(_)) | None => Poll::Pending,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod changes {
    use std::{
        path::Path,
        task::{Context, Poll},
    };

    /// Not told of here.
    #[derive(Debug)]
    pub(super) enum Changes {}

    impl Changes {
        pub(super) fn of(_: [&Path; 2]) -> Option<Self> {
            None
        }

        pub(super) fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
            match *self {}
        }
    }
}
