//! What is noted down so that it can be asked for later: once a role, once a connection.
//!
//! In: who, where, and a queue's mark at begin and end. Out: the same, and how long ago. May touch: the
//! clock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds_core::{ChannelMsg, PeerId, SocketPath};
use kyneta_uds_queue::Handle;

/// What a role is known by.
#[derive(Debug)]
pub(crate) struct About {
    since: Instant,
    id: OnceLock<PeerId>,
    path: OnceLock<SocketPath>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            id: OnceLock::new(),
            path: OnceLock::new(),
        }
    }
}

impl About {
    /// Said once, before anybody is here.
    pub(crate) fn is(&self, id: PeerId) {
        let _ = self.id.set(id);
    }

    /// Said once, before anybody is here.
    pub(crate) fn at(&self, path: SocketPath) {
        let _ = self.path.set(path);
    }

    pub(super) fn id(&self) -> Option<&PeerId> {
        self.id.get()
    }

    pub(super) fn path(&self) -> Option<&SocketPath> {
        self.path.get()
    }

    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// A connection's time, by the clock and by its queue's marks.
#[derive(Debug)]
pub(crate) struct Tenure {
    since: Instant,
    /// Where the queue stood at the beginning, if it is shared with those before.
    after: Option<u64>,
    /// How many messages went out in it; set at the end.
    gone_out: OnceLock<u64>,
    /// How many have come in. Written by the connection's one driver alone.
    come_in: AtomicU64,
}

impl Default for Tenure {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            after: None,
            gone_out: OnceLock::new(),
            come_in: AtomicU64::new(0),
        }
    }
}

impl Tenure {
    /// Of one that shares a queue, which stood at this mark when it began.
    pub(crate) fn after(mark: u64) -> Self {
        Self {
            after: Some(mark),
            ..Self::default()
        }
    }

    /// Its queue stands at this mark now that it ends. The first one stays.
    pub(crate) fn over(&self, mark: u64) {
        let _ = self.gone_out.set(self.up_to(mark));
    }

    /// How many messages have gone out on a connection.
    pub(crate) fn gone_out(&self, handle: &Handle<ChannelMsg>) -> u64 {
        let so_far = self.up_to(handle.gone_out());
        // Looked at second: what goes out on the next connection is not this one's.
        self.gone_out.get().copied().unwrap_or(so_far)
    }

    /// A message has come in, and goes to the handler.
    #[inline]
    pub(crate) fn comes_in(&self) {
        // Not `fetch_add`: nobody else writes.
        let so_far = self.come_in.load(Ordering::Relaxed);
        self.come_in.store(so_far + 1, Ordering::Relaxed);
    }

    /// True once it has ended.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.gone_out.get().is_some()
    }

    pub(crate) fn come_in(&self) -> u64 {
        self.come_in.load(Ordering::Relaxed)
    }

    pub(super) fn shares_its_queue(&self) -> bool {
        self.after.is_some()
    }

    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn up_to(&self, mark: u64) -> u64 {
        mark.saturating_sub(self.after.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenure_counts_from_its_mark_to_its_end() {
        for (tenure, mark, expected) in [
            (Tenure::default(), 3, 3),
            (Tenure::after(2), 3, 1),
            (Tenure::after(3), 3, 0),
        ] {
            tenure.over(mark);
            tenure.over(mark + 10);
            assert_eq!(tenure.gone_out.get(), Some(&expected), "{tenure:?}");
        }
    }
}
