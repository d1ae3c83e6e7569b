//! Where the two ends of a measurement run.
//!
//! In: a flavour of runtime. Out: where to send futures. Touches threads.

use std::{future::Future, thread};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

use crate::Error;

/// A runtime; it ends when this is dropped.
#[derive(Clone)]
pub(crate) struct Place {
    runtime: Handle,
    _alive: std::sync::Arc<oneshot::Sender<()>>,
}

impl Place {
    /// One thread, and a `current_thread` runtime on it.
    pub(crate) fn thread() -> Result<Self, Error> {
        Ok(Self::of(
            Builder::new_current_thread().enable_all().build()?,
        ))
    }

    /// A `multi_thread` runtime.
    pub(crate) fn pool(workers: usize) -> Result<Self, Error> {
        let mut builder = Builder::new_multi_thread();
        Ok(Self::of(
            builder.worker_threads(workers).enable_all().build()?,
        ))
    }

    /// Runs the runtime in a thread of its own, where it is dropped, too.
    fn of(runtime: Runtime) -> Self {
        let (alive, over) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        thread::spawn(move || {
            // Nothing is ever sent; the sender is dropped.
            let _ = runtime.block_on(over);
        });
        Self {
            runtime: handle,
            _alive: std::sync::Arc::new(alive),
        }
    }

    /// Runs a future there.
    pub(crate) async fn run<T, F>(&self, future: F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        self.runtime.spawn(future).await?
    }
}

/// The places of both ends.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) sender: Place,
    pub(crate) receiver: Place,
}

impl Places {
    /// A thread for each, as in all curves but that of the runtimes.
    pub(crate) fn apart() -> Result<Self, Error> {
        Ok(Self {
            sender: Place::thread()?,
            receiver: Place::thread()?,
        })
    }

    /// Both in one place.
    pub(crate) fn together(place: Place) -> Self {
        Self {
            sender: place.clone(),
            receiver: place,
        }
    }
}
