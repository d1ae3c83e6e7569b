//! The threads that watch paths: one per process for looks, and one per process that listens for inotify.
//!
//! In: what to look at, and how often. Out: a [`Bell`] that wakes a task. May touch: at most two threads
//! and one inotify instance per process; the files that they look at.
//!
//! A thread keeps the time because a tokio runtime with a timer asks for the time and sets the kernel's
//! timer in each of its turns, which costs some 4 % of a round trip.
//!
//! Threads do not survive fork(2). So the state belongs to a process id, and the child starts anew.

#[cfg(target_os = "linux")]
pub(crate) mod inotify;
pub mod machine;
mod notify;
mod poller;
pub(crate) mod trigger;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub use self::machine::{Seen, Verdict, Watch};
pub(crate) use self::{
    notify::{Bell, Why},
    poller::Looking,
};

/// What watches paths in one process.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    looks: poller::Looks,
    #[cfg(target_os = "linux")]
    inotify: inotify::Inotify,
    /// Of a child that this process has forked, in the child's copy of the memory.
    child: OnceLock<Box<Self>>,
}

impl Process {
    /// The one that this is called in.
    pub(crate) fn current() -> &'static Self {
        static FIRST: OnceLock<Process> = OnceLock::new();
        let id = std::process::id();
        FIRST.get_or_init(|| Self::new(id)).or_child(id)
    }

    /// This one, or that of the child with this id which has inherited it.
    fn or_child(&self, id: u32) -> &Self {
        let mut process = self;
        while process.id != id {
            process = process.child.get_or_init(|| Box::new(Self::new(id)));
        }
        process
    }

    fn new(id: u32) -> Self {
        Self {
            id,
            looks: poller::Looks::default(),
            #[cfg(target_os = "linux")]
            inotify: inotify::Inotify::default(),
            child: OnceLock::new(),
        }
    }

    /// Opens the inotify instance of a process that is going to listen.
    pub(crate) fn prepare(&'static self) {
        #[cfg(target_os = "linux")]
        self.inotify.prepare(self);
    }

    /// False in a forked child that has inherited it. There its locks may be held forever.
    fn is_current(&self) -> bool {
        self.id == std::process::id()
    }
}

/// No code that can panic runs under these locks, so poison means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_starts_anew_whatever_its_parent_had_started() {
        let (parent, child) = (Process::new(1), std::process::id());
        assert!(!parent.is_current());
        assert!(parent.or_child(child).is_current());
        assert!(std::ptr::eq(parent.or_child(child), parent.or_child(child)));
        assert!(std::ptr::eq(parent.or_child(1), &parent));
        let of_a_grandchild = parent.or_child(child).or_child(2);
        assert!(std::ptr::eq(parent.or_child(2), of_a_grandchild));
    }
}
