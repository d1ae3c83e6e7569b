//! Whether an edit of a process that ends at once has reached the others.
//!
//! In: a document that was edited. Out: when that is so. May touch: one more connection.
//!
//! Where another member has written before, the hub takes no edit of a JSON document before it has asked from where it
//! starts, and the edit would be gone with this process. So a second member waits for it: the hub sends it the edit when
//! it sends it to the others.

use std::time::Duration;

use kyneta_uds::{
    DocEntry, Identity, SocketPath,
    documents::{DocVersion, Document, Policy, Resolve, VersionOrder},
};
use tokio::time::{sleep, timeout};

use super::doc::{LIMIT, connect};
use crate::failure::Failure;

/// Waits until the others are sent an edit.
pub(super) async fn passed_on(path: &SocketPath, document: &Document) -> Result<(), Failure> {
    let wanted = document.id().clone();
    let resolve = move |entry: &DocEntry, _: &Identity| {
        let is_wanted = entry.doc == wanted;
        Some(if is_wanted {
            Resolve::Replicate
        } else {
            Resolve::Reject
        })
    };
    let id = format!("doc-{}-witness", std::process::id());
    let witness = connect(path, id, Policy::new().resolve(resolve)).await?;
    let has_come = async {
        let seen = loop {
            match witness.get(document.id()) {
                Some(seen) => break seen,
                None => sleep(Duration::from_millis(5)).await,
            }
        };
        let mut changes = seen.changes();
        while !covers(&seen.version(), &document.version()) {
            if changes.next().await.is_none() {
                break;
            }
        }
    };
    let waited = timeout(LIMIT, has_come).await;
    witness.dispose().await;
    waited.map_err(|_| {
        let doc = document.id();
        Failure::work(format!(
            "{doc} is set here, and was not passed on within {LIMIT:?}"
        ))
    })
}

/// Whether a version has all that another one has.
fn covers(seen: &DocVersion, wanted: &DocVersion) -> bool {
    let order = seen.compare(wanted);
    matches!(order, VersionOrder::Equal | VersionOrder::Ahead)
}
