//! What is found at a path: a status endpoint, or the members of a bus or of a kyneta path.
//!
//! In: a path. Out: what answers there. Touches the socket, up to four times; a silent process, once.

use kyneta_uds::{
    SocketPath,
    bus::{Look, LookError, who},
};

use super::request::{NoStatus, get_status};
use crate::failure::Failure;

/// What answers.
pub(super) enum Found {
    /// A status endpoint, with its JSON.
    Status(Vec<u8>),
    /// A path that members share, and no status endpoint.
    Members(Box<Look>),
}

/// Asks.
pub(super) async fn find(path: &SocketPath) -> Result<Found, Failure> {
    let other = match get_status(path).await {
        Ok(json) => return Ok(Found::Status(json)),
        Err(NoStatus::Absent(failure) | NoStatus::Silent(failure)) => return Err(failure),
        Err(NoStatus::Other(why)) => why,
    };
    match who(path.clone()).await {
        Ok(look) => Ok(Found::Members(Box::new(look))),
        Err(error @ LookError::NotTold { .. }) => Err(Failure::work(format!(
            "{path} is no status endpoint: {error}"
        ))),
        Err(_) => Err(Failure::work(format!(
            "{path} is neither a status endpoint ({other}) nor a bus or a kyneta path"
        ))),
    }
}
