//! What others see of the command at the socket that it was given with `--status`.
//!
//! In: the path, and a role. Out: answers. Touches that path.

use kyneta_uds::{
    Listener,
    status::{Endpoint, Inspect},
};

use crate::{args::Bus, failure::Failure};

/// The socket, bound; nobody is answered yet.
#[derive(Debug)]
pub(super) struct Window {
    listener: Listener,
}

impl Window {
    /// Bound before the bus is joined: a path that cannot be had is said before anybody is disturbed.
    pub(super) async fn of(bus: &Bus) -> Result<Option<Self>, Failure> {
        let Some(path) = &bus.status else {
            return Ok(None);
        };
        if *path == bus.path {
            let what = format!("--status {path} is the path of the bus");
            return Err(Failure::Usage(what));
        }
        let listener = Endpoint::options().bind(path.clone()).await;
        let listener = listener.map_err(|error| Failure::Work(error.into()))?;
        Ok(Some(Self { listener }))
    }

    /// Answers from now on.
    pub(super) fn open(self, of: impl Inspect + Send + Sync + 'static) -> Endpoint {
        Endpoint::serve(self.listener, of)
    }
}
