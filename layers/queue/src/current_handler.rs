//! Which connection's handler is at work on this thread.
//!
//! In: a queue. Out: whether a call on it comes from its own handler. Touches a thread-local variable.

use std::{cell::Cell, ptr, sync::Arc};

use crate::shared::Shared;

thread_local! {
    /// The queue whose driver is polling its handler; compared, never followed.
    static AT_WORK: Cell<*const ()> = const { Cell::new(ptr::null()) };
}

/// Says so for as long as it lives.
pub(crate) struct Answering {
    before: *const (),
}

impl Answering {
    #[inline]
    pub(crate) fn on<M>(shared: &Arc<Shared<M>>) -> Self {
        Self {
            before: AT_WORK.replace(Arc::as_ptr(shared).cast()),
        }
    }
}

impl Drop for Answering {
    #[inline]
    fn drop(&mut self) {
        AT_WORK.set(self.before);
    }
}

/// True inside of the handler of the connection that the queue is of.
#[inline]
pub(crate) fn is_answering<M>(shared: &Arc<Shared<M>>) -> bool {
    AT_WORK.get() == Arc::as_ptr(shared).cast()
}
