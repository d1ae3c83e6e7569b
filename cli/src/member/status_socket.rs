//! The socket of `--status`, which serves the status of this process.
//!
//! In: the path, and a role. Out: answers. Touches that path.

use kyneta_uds::{
    Listener,
    status::{Endpoint, Inspect},
};

use super::args::MemberArgs;
use crate::failure::Failure;

/// The socket, bound. No request is answered yet.
#[derive(Debug)]
pub(super) struct StatusSocket {
    listener: Listener,
}

impl StatusSocket {
    /// Binds the socket before the process joins its path, so that a failure disturbs no peer.
    pub(super) async fn bind(args: &MemberArgs) -> Result<Option<Self>, Failure> {
        let Some(path) = &args.status else {
            return Ok(None);
        };
        if *path == args.path {
            let what = format!("--status {path} is the path of the bus");
            return Err(Failure::Usage(what));
        }
        let listener = Endpoint::options().bind(path.clone()).await?;
        Ok(Some(Self { listener }))
    }

    /// Answers from now on.
    pub(super) fn serve(self, of: impl Inspect + Send + Sync + 'static) -> Endpoint {
        Endpoint::serve(self.listener, of)
    }
}
