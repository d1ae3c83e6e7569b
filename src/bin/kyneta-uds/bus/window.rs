//! What others see of the command at the socket that it was given with `--status`.
//!
//! In: the path, and what has been joined. Out: answers. Touches that path.

use std::{sync::Arc, time::Instant};

use kyneta_uds::{
    EstablishLayer, Listener,
    status::{Endpoint, Inspect as _, Snapshot, Standing},
};
use tokio::sync::SetOnce;

use super::role::Peers;
use crate::{args::Bus, failure::Failure};

/// The socket, bound; nobody is answered yet.
#[derive(Debug)]
pub(super) struct Window {
    listener: Listener,
    /// What there is to see before anything is joined.
    before: Snapshot,
    since: Instant,
}

impl Window {
    /// Bound before the bus is joined: a path that cannot be had is said before anybody is disturbed.
    pub(super) async fn of(
        bus: &Bus,
        introduction: &EstablishLayer,
    ) -> Result<Option<Self>, Failure> {
        let Some(path) = &bus.status else {
            return Ok(None);
        };
        if *path == bus.path {
            let what = format!("--status {path} is the path of the bus");
            return Err(Failure::Usage(what));
        }
        let listener = Endpoint::options().bind(path.clone()).await;
        let listener = listener.map_err(|error| Failure::Work(error.into()))?;
        let id = introduction.introduction().identity.peer_id.as_str();
        let mut before = Snapshot::new(Standing::Negotiating, id);
        before.path = Some(bus.path.to_string());
        Ok(Some(Self {
            listener,
            before,
            since: Instant::now(),
        }))
    }

    /// Answers from now on.
    pub(super) fn open(self, joined: Arc<SetOnce<Peers>>) -> Endpoint {
        let Self {
            listener,
            before,
            since,
        } = self;
        Endpoint::serve(listener, move || match joined.get() {
            Some(peers) => peers.snapshot(),
            None => {
                let mut snapshot = before.clone();
                snapshot.uptime_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                snapshot
            }
        })
    }
}
