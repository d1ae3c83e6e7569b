//! Looks after a bound path: notices that it was lost, and restores it.
//!
//! In: a `BoundPath`. Out: how it was lost; a new socket at the path. May touch: the path, its lock file; at most
//! two threads and one inotify instance per process.
//!
//! `trigger` says when a check is due, `machine` orders its steps, which are carried out here. `poller` and
//! `inotify` are the threads, `notify` is how they wake a task. `pause` has the former wake one once.

#[cfg(target_os = "linux")]
mod inotify;
mod machine;
mod notify;
mod pause;
mod per_process;
mod poller;
mod restore;
mod trigger;

use std::task::{Context, Poll};

pub use self::{
    machine::{Observation, PathLoss, Verdict, WatchStep},
    pause::Pause,
};
pub(crate) use self::{
    notify::{Notify, Reason},
    poller::PeriodicCheck,
    restore::restore,
    trigger::Trigger,
};
use crate::{
    bind::BoundPath,
    probe::{Probe, probe},
    socket_file::Found,
};

/// Prepares the process for watching its paths: on Linux, it opens the process's inotify instance if there
/// is none.
///
/// Optional: the first [`Listener::next`](crate::Listener::next) does the same. It helps a process that has made
/// connections before it listens: a killed process closes descriptors from the highest to the lowest, and
/// closing this one takes some milliseconds. Best called before the first connection. A process that only
/// connects should not call it: a user has 128 instances.
///
/// ```
/// kyneta_uds_unix::prepare();
/// ```
pub fn prepare() {
    #[cfg(target_os = "linux")]
    inotify::prepare();
}

/// Checks the path when a check is due, and has the task woken for the next one. Returns a loss.
pub(crate) fn poll_loss(
    bound: &mut BoundPath,
    trigger: &mut Trigger,
    cx: &mut Context<'_>,
) -> Option<PathLoss> {
    loop {
        let Poll::Ready(reason) = trigger.poll_due(cx) else {
            return None;
        };
        let was_lost = trigger.is_lost();
        let loss = check(bound);
        if let Some(loss) = loss {
            // Logged once per loss, however often it is checked.
            if !was_lost {
                tracing::warn!(why = %loss, "the path is lost");
            }
            trigger.lose();
            return Some(loss);
        }
        if was_lost || reason == Reason::Change {
            // The files may be others now. The former watch ends after the new one has begun, so that the
            // process keeps its inotify instance.
            *trigger = Trigger::new(bound);
        } else {
            trigger.wake_always(!bound.holds_lock());
        }
    }
}

/// How the path was lost, if it was. Three system calls while it is ours.
fn check(bound: &mut BoundPath) -> Option<PathLoss> {
    let mut step = WatchStep::FIRST;
    loop {
        let seen = match step {
            WatchStep::KeepLock if bound.keep_lock() => Observation::Ours,
            WatchStep::KeepLock => Observation::Other,
            WatchStep::Look => match bound.look() {
                Ok((_, true)) => Observation::Ours,
                Ok((Found::Socket(_), false)) => Observation::Socket,
                Ok((Found::Nothing, false)) => Observation::Nothing,
                Ok((Found::Other(_), false)) | Err(_) => Observation::Other,
            },
            WatchStep::Probe => match probe(&bound.file) {
                Ok(Probe::Refused | Probe::NotYetListening) => Observation::Nothing,
                Ok(Probe::Listening | Probe::Busy) => Observation::Alive,
                Err(_) => Observation::Other,
            },
        };
        step = match step.then(seen) {
            Verdict::Do(step) => step,
            Verdict::Ours => return None,
            Verdict::Lost(loss) => return Some(loss),
        };
    }
}
