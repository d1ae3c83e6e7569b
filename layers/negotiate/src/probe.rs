//! One attempt to connect.
//!
//! In: a make service, a path, which listeners are allowed. Out: an admitted channel. May touch: the path,
//! tokio's clock.

use std::{future::poll_fn, time::Duration};

use kyneta_uds_core::{Admission, BoxError, Channel, SocketPath};
use kyneta_uds_unix::{AccessPolicy, NotAllowed, replacement::Sighting};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::make_channel::MakeChannel;

/// How long a listener may take to admit a connection.
const ADMISSION: Duration = Duration::from_secs(5);

/// After this long without an admission the listener is asked whether it speaks another protocol.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// The listener has accepted the connection and not admitted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the listener has not admitted the connection within {ADMISSION:?}: it is stopped, or a program of another kind"
)]
struct NotAdmitted;

/// Connects, and waits until the listener, if it is allowed, has admitted the connection.
pub(crate) async fn probe<S: MakeChannel<M>, M>(
    make: S,
    path: SocketPath,
    allow: AccessPolicy,
) -> Result<(S::Channel, Sighting), BoxError> {
    let before = Sighting::of(&path);
    let mut channel = make.oneshot(path.into()).await.map_err(Into::into)?;
    let credentials = channel.connection().credentials;
    if !allow.allows(credentials) {
        return Err(NotAllowed { credentials }.into());
    }
    match timeout(ADMISSION, admission(&mut channel)).await {
        Ok(admitted) => admitted.map_err(Into::into)?,
        Err(_) => return Err(NotAdmitted.into()),
    }
    Ok((channel, before))
}

/// Waits for the admission. A listener of kyneta's waits for `establish` meanwhile: asked with an empty frame, which no
/// message is, it answers with one of its own.
async fn admission<C: Channel<M>, M>(channel: &mut C) -> Result<(), C::Error> {
    let admitted = poll_fn(|cx| channel.poll_admission(cx, Admission::Await));
    if let Ok(admitted) = timeout(ASK_AFTER, admitted).await {
        return admitted;
    }
    poll_fn(|cx| channel.poll_admission(cx, Admission::Grant)).await?;
    poll_fn(|cx| channel.poll_flush(cx)).await?;
    poll_fn(|cx| channel.poll_admission(cx, Admission::Await)).await
}
