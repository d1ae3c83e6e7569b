//! Which member of a kyneta path holds which documents.
//!
//! In: a path. Out: what its listener knows. May touch: one connection; another for the other wire version.

use std::sync::Arc;

use kyneta_uds_cbor::{ChannelCodec, Codec as _};
use kyneta_uds_core::{ChannelMsg, Observe, Payload, PeerId, SocketPath};
use kyneta_uds_relay::Holdings;
use tokio::time::timeout;

use super::{ANSWER, LookError, Passed, kyneta::KynetaLook, not_connected};

/// The documents at a path whose listener passes them on ([`Relay`](crate::Relay)): those of each member that holds
/// some, as it presents them. Asked of the listener, without joining.
///
/// ```
/// use kyneta_uds::{BoxError, ChannelMsg, DocEntry, DocId, Identity, Incoming, ReplicaType, SchemaHash};
/// use kyneta_uds::{Client, Server, SocketPath, bus::holdings};
/// use tower::{Service as _, ServiceExt as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let dir = tempfile::tempdir()?;
/// # let path = SocketPath::new(dir.path().join("bus.sock"))?;
/// # let ignore = tower::service_fn(async |_: Incoming| Ok::<(), BoxError>(()));
/// # let server = Server::builder(path.clone()).listen(ignore).await?;
/// let client = Client::builder(path.clone()).identity(Identity::service("billing-1")?);
/// let mut client = client.connect(ignore).await?;
/// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
/// let entry = DocEntry::new(DocId::new("settings")?, loro, SchemaHash::new("02ab")?);
/// client.ready().await?.call(ChannelMsg::Present(vec![entry])).await?;
///
/// # let found = loop {
/// #     let found = holdings(path.clone()).await?;
/// #     if !found.is_empty() { break found; }
/// # };
/// # let _ = stringify!(
/// let found = holdings(path).await?;
/// # );
/// assert_eq!(found[0].holder.as_str(), "billing-1");
/// assert_eq!(found[0].entries[0].doc.as_str(), "settings");
/// # client.dispose().await;
/// # server.dispose().await;
/// # Ok(())
/// # }
/// ```
///
/// Cancel safe.
///
/// # Errors
/// [`LookError`]; [`LookError::NotTold`] where the listener is of another implementation.
pub async fn holdings(path: SocketPath) -> Result<Vec<Holdings>, LookError> {
    let (mut look, _) = KynetaLook::new(&path, Observe::Documents).await?;
    let mut found: Vec<Holdings> = Vec::new();
    let told = async {
        while let Some(passed) = look.next().await? {
            let Some((holder, entries)) = read(&passed) else {
                continue;
            };
            match found.last_mut().filter(|last| last.holder == holder) {
                Some(last) => last.entries.extend(entries),
                None => found.push(Holdings { holder, entries }),
            }
        }
        Ok(())
    };
    match timeout(ANSWER, told).await {
        Ok(Ok(())) => Ok(found),
        Ok(Err(error)) => Err(not_connected(&path, error)),
        Err(_) => Err(LookError::NoBus { path }),
    }
}

/// What a member holds; `None` if the report is about something else.
fn read(passed: &Passed) -> Option<(PeerId, Vec<Arc<kyneta_uds_core::DocEntry>>)> {
    let payload = Payload::new(&passed.data, 0..passed.data.len());
    let ChannelMsg::Present(entries) = ChannelCodec::new().decode(payload).ok()? else {
        return None;
    };
    let holder = PeerId::new(passed.from.as_str()).ok()?;
    Some((holder, entries.into_iter().map(Arc::new).collect()))
}
