//! When to check whether a path is still ours.
//!
//! In: our files. Out: a wake when one of them may have changed. May touch: the process's threads; tokio's
//! clock while the path is lost, or when no thread can be started.
//!
//! Linux reports each change to the two files (inotify(7)). A check every four seconds covers what it does not
//! report: a directory above that is renamed or mounted over. Elsewhere it is a check a second. A thread checks,
//! and wakes the task only if a file has changed. Changes to other files in the directory wake nothing.

#[cfg(target_os = "linux")]
use std::os::fd::RawFd;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

#[cfg(target_os = "linux")]
use super::inotify::FileWatches;
use super::{
    notify::{Notify, Reason},
    poller::PeriodicCheck,
};
use crate::{bind::BoundPath, socket_file::FileId};

/// Between checks where the kernel reports changes, or late notice does no harm: 0.3 wake-ups a second.
const LONG_INTERVAL: Duration = Duration::from_secs(4);

/// Between checks where the kernel does not report changes.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);

/// Between checks of a lost path: the first pause, and the longest; each is twice as long as the one before.
/// A check connects to the process that has taken the path; too many would fill the backlog of a slow one.
const LOST_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

#[derive(Debug)]
pub(crate) enum Trigger {
    /// Threads watch the files.
    Watched(WatchedFiles),
    /// No thread could be started.
    Timer(Interval),
    /// While the path is lost there is no file to watch.
    Lost { due: Interval, pause: Duration },
}

/// Two files that threads watch.
#[derive(Debug)]
pub(crate) struct WatchedFiles {
    notify: Arc<Notify>,
    /// Wakes the task at each check, not only at a change.
    always: Arc<AtomicBool>,
    _check: PeriodicCheck,
    #[cfg(target_os = "linux")]
    watches: Option<FileWatches>,
}

impl Trigger {
    /// Watches the files of a path. The first check is due at once.
    pub(crate) fn new(bound: &BoundPath) -> Self {
        match WatchedFiles::new(bound.files(), bound.options.inotify) {
            Some(watched) => Self::Watched(watched),
            None => Self::Timer(timer(Instant::now(), SHORT_INTERVAL)),
        }
    }

    /// The path is lost, or still lost.
    pub(crate) fn lose(&mut self) {
        let [first, longest] = LOST_PAUSES;
        let pause = match self {
            Self::Lost { pause, .. } => (*pause * 2).min(longest),
            Self::Watched(_) | Self::Timer(_) => first,
        };
        let due = timer(Instant::now() + pause, pause);
        *self = Self::Lost { due, pause };
    }

    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Ready when a check is due, with the reason.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        match self {
            Self::Watched(watched) => watched.notify.poll(cx),
            Self::Timer(due) | Self::Lost { due, .. } => {
                due.poll_tick(cx).map(|_| Reason::Interval)
            }
        }
    }

    /// The inotify instance's descriptor.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Watched(watched) => watched.watches.as_ref()?.descriptor(),
            Self::Timer(_) | Self::Lost { .. } => None,
        }
    }

    /// Whether to wake the task at each check: that another process has released a lock shows on no file.
    pub(crate) fn wake_always(&self, always: bool) {
        if let Self::Watched(watched) = self {
            watched.always.store(always, Ordering::Relaxed);
        }
    }
}

impl WatchedFiles {
    /// `None` when no thread can be started.
    fn new(files: [&Path; 2], inotify: bool) -> Option<Self> {
        let notify = Arc::<Notify>::default();
        notify.notify(Reason::Interval);
        #[cfg(target_os = "linux")]
        let watches = inotify.then(|| FileWatches::of(files, &notify)).transpose();
        #[cfg(target_os = "linux")]
        let reports_changes = watches.is_ok();
        #[cfg(not(target_os = "linux"))]
        let reports_changes = !inotify;
        let interval = match reports_changes {
            true => LONG_INTERVAL,
            false => SHORT_INTERVAL,
        };
        let always = Arc::<AtomicBool>::default();
        let files = files.map(PathBuf::from);
        let check = {
            let (notify, always) = (notify.clone(), always.clone());
            let known = files.each_ref().map(|file| file_at(file));
            move || {
                if files.each_ref().map(|file| file_at(file)) != known {
                    notify.notify(Reason::Change);
                } else if always.load(Ordering::Relaxed) {
                    notify.notify(Reason::Interval);
                }
                interval
            }
        };
        Some(Self {
            notify,
            always,
            _check: PeriodicCheck::start(interval, check)?,
            #[cfg(target_os = "linux")]
            watches: watches.ok().flatten(),
        })
    }
}

/// Device and inode of the file at a path.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    let FileId { device, inode, .. } = FileId::at(path).ok()?;
    Some((device, inode))
}

fn timer(first: Instant, interval: Duration) -> Interval {
    let mut timer = interval_at(first, interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
