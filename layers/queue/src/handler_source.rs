//! Where the handler of a connection comes from.
//!
//! In: a handle. Out: a handler. Touches nothing.

use std::sync::Arc;

use crate::{handle::Handle, weak::WeakHandle};

type Make<H, M> = Arc<dyn Fn(WeakHandle<M>) -> H + Send + Sync>;

pub(crate) enum HandlerSource<H, M> {
    /// A clone of it.
    Same(H),
    /// One that is made for the connection.
    Made(Make<H, M>),
}

impl<H, M> HandlerSource<H, M> {
    pub(crate) fn made(make: impl Fn(WeakHandle<M>) -> H + Send + Sync + 'static) -> Self {
        Self::Made(Arc::new(make))
    }

    /// The handler of the connection that `handle` is to.
    pub(crate) fn of(self, handle: &Handle<M>) -> H {
        match self {
            Self::Same(handler) => handler,
            Self::Made(make) => make(handle.downgrade()),
        }
    }
}

impl<H: Clone, M> Clone for HandlerSource<H, M> {
    fn clone(&self) -> Self {
        match self {
            Self::Same(handler) => Self::Same(handler.clone()),
            Self::Made(make) => Self::Made(make.clone()),
        }
    }
}
