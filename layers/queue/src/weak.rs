//! A handle that does not keep its connection open.
//!
//! In: nothing. Out: a [`Handle`], while another one is alive. May touch: the count of handles.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use crate::{handle::Handle, shared::Shared};

/// A handle that does not keep its connection open: for a handler that answers on its own connection,
/// and for tables of connections.
///
/// ```
/// # use kyneta_uds_core::ChannelMsg;
/// # use kyneta_uds_queue::Handle;
/// # fn keep(handle: Handle<ChannelMsg>) {
/// let weak = handle.downgrade();
/// assert!(weak.upgrade().is_some());
/// drop(handle); // the last one: the connection closes
/// assert!(weak.upgrade().is_none());
/// # }
/// ```
pub struct WeakHandle<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Handle<M> {
    /// A handle that does not keep the connection open.
    pub fn downgrade(&self) -> WeakHandle<M> {
        WeakHandle::new(self.shared.clone())
    }
}

impl<M> WeakHandle<M> {
    const fn new(shared: Arc<Shared<M>>) -> Self {
        Self { shared }
    }

    /// A handle, if any other one is alive; `None` once the last one was dropped.
    pub fn upgrade(&self) -> Option<Handle<M>> {
        let more = |handles| (handles > 0).then_some(handles + 1);
        self.shared
            .handles
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()
            .map(|_| Handle::counted(self.shared.clone()))
    }
}

impl<M> Clone for WeakHandle<M> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl<M> fmt::Debug for WeakHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakHandle").finish_non_exhaustive()
    }
}
