//! When to look whether a path is still ours.
//!
//! In: the files that are ours. Out: a wake when something may have happened to one of them. May touch:
//! the process's watching threads; tokio's clock, where the path is lost or no thread can be had.
//!
//! Linux tells of each change to the two files (inotify(7)). A look every four seconds is for what it does
//! not tell of: a directory above that is renamed or mounted over. Where the kernel does not tell, it is a
//! look a second. The looks are made by a thread, and the task is woken only if they show a change. A change
//! to other files in the directory wakes nothing.

use std::{
    os::fd::RawFd,
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
use super::inotify::Watches;
use super::{Bell, Looking, Process, Why};
use crate::{bind::machine::FileId, socket_file::identity};

/// Between looks where the kernel tells of changes, or they matter little: at most 0.3 wake-ups a second.
const SELDOM: Duration = Duration::from_secs(4);

/// Between looks where it does not.
const UNTOLD: Duration = Duration::from_secs(1);

/// Between looks at a path that is lost: the first, and the longest of those that follow, each twice as long
/// as the one before. A look connects to the process that has taken the path: often enough, it would fill
/// the backlog of one that is slow.
const LOST: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Readies the process for watching its paths: on Linux, it opens the process's inotify instance, if there
/// is none. Not needed: the first [`Listener::next`](crate::Listener::next) does the same. Of use to a
/// process that listens, and has made connections before: a killed process closes descriptors from the
/// highest to the lowest, and closing this one takes some milliseconds. Best called before the first
/// connection. A process that only connects should not call it: a user has 128 instances.
///
/// ```
/// kyneta_uds_unix::prepare();
/// ```
pub fn prepare() {
    Process::current().prepare();
}

/// Says when to look.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Threads watch the files.
    Watched(Watched),
    /// There are no threads.
    Ticks(Interval),
    /// Of a path that is not ours there is no file to watch.
    None { due: Interval, pause: Duration },
}

/// Two files that threads watch.
#[derive(Debug)]
pub(crate) struct Watched {
    bell: Arc<Bell>,
    /// The task is woken at each look, not only at a change.
    always: Arc<AtomicBool>,
    _looking: Looking,
    #[cfg(target_os = "linux")]
    watches: Option<Watches>,
}

impl Notice {
    /// Of these files, told by inotify or not. The first look is due at once.
    pub(crate) fn of(files: [&Path; 2], inotify: bool) -> Self {
        match Watched::of(files, inotify) {
            Some(watched) => Self::Watched(watched),
            None => Self::Ticks(ticks(Instant::now(), UNTOLD)),
        }
    }

    /// The path is not ours, or not ours still.
    pub(crate) fn lose(&mut self) {
        let [first, longest] = LOST;
        let pause = match self {
            Self::None { pause, .. } => (*pause * 2).min(longest),
            Self::Watched(_) | Self::Ticks(_) => first,
        };
        let due = ticks(Instant::now() + pause, pause);
        *self = Self::None { due, pause };
    }

    /// That the path is lost is known.
    pub(crate) const fn knows_of_a_loss(&self) -> bool {
        matches!(self, Self::None { .. })
    }

    /// Ready when a look is due. True when a file has changed, and others may be there now.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Watched(watched) => watched.bell.poll(cx).map(|why| why == Why::Change),
            Self::Ticks(due) | Self::None { due, .. } => due.poll_tick(cx).map(|_| false),
        }
    }

    /// The descriptor below those that others wait for when the process is killed.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Watched(watched) => watched.watches.as_ref()?.descriptor(),
            Self::Ticks(_) | Self::None { .. } => None,
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) const fn descriptor(&self) -> Option<RawFd> {
        None
    }

    /// Whether the task is to be woken at each look. For what no look at the files shows: that another
    /// process has given up a lock.
    pub(crate) fn wake_always(&self, always: bool) {
        if let Self::Watched(watched) = self {
            watched.always.store(always, Ordering::Relaxed);
        }
    }
}

impl Watched {
    /// `None` when no thread can be had.
    fn of(files: [&Path; 2], inotify: bool) -> Option<Self> {
        let bell = Arc::<Bell>::default();
        bell.ring(Why::Time);
        #[cfg(target_os = "linux")]
        let watches = inotify.then(|| Watches::of(files, &bell)).transpose();
        #[cfg(target_os = "linux")]
        let interval = if watches.is_ok() { SELDOM } else { UNTOLD };
        #[cfg(not(target_os = "linux"))]
        let interval = if inotify { UNTOLD } else { SELDOM };
        let always = Arc::<AtomicBool>::default();
        let files = files.map(PathBuf::from);
        let look = {
            let (bell, always) = (bell.clone(), always.clone());
            let known = files.each_ref().map(|file| file_at(file));
            move || {
                if files.each_ref().map(|file| file_at(file)) != known {
                    bell.ring(Why::Change);
                } else if always.load(Ordering::Relaxed) {
                    bell.ring(Why::Time);
                }
                interval
            }
        };
        Some(Self {
            bell,
            always,
            _looking: Looking::start(interval, look)?,
            #[cfg(target_os = "linux")]
            watches: watches.ok().flatten(),
        })
    }
}

/// Which file is there: device and inode.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    let FileId { device, inode, .. } = identity(path).ok()?;
    Some((device, inode))
}

fn ticks(first: Instant, interval: Duration) -> Interval {
    let mut ticks = interval_at(first, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
