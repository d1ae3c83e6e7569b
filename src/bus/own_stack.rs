//! A bus over a stack of the user's, and with a handler for each member.
//!
//! In: a builder, a make service of frames, a make service of handlers. Out: a bus. Touches nothing else.

use std::sync::Arc;

use kyneta_uds_cbor::CborChannel;
use kyneta_uds_core::{BoxError, Frames};
use kyneta_uds_unix::UnixTarget;
use serde::{Serialize, de::DeserializeOwned};
use tower_service::Service;

use super::{
    builder::{BusBuilder, BusJoinError},
    channel::SaveFn,
    codec::BusCodec,
    handle::Bus,
    handlers::{Each, One},
    incoming::BusIncoming,
    info::MemberInfo,
};

impl<M: Serialize + DeserializeOwned + Send + 'static> BusBuilder<M> {
    /// As [`join`](Self::join), with a handler for each member: `make` is called with a member at its first message, and
    /// the handler that it makes is dropped when the member has left. To clone one handler for all, use
    /// `tower::make::Shared::new(handler)`.
    ///
    /// One message is handled after the other, of whichever member: spawn a task for what takes long.
    ///
    /// ```
    /// use std::{convert::Infallible, sync::Arc};
    /// use kyneta_uds::{Bus, BusIncoming, bus::MemberInfo};
    /// use tower::service_fn;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let make = service_fn(async |member: Arc<MemberInfo>| {
    ///     let mut count = 0; // of this member alone
    ///     Ok::<_, Infallible>(service_fn(move |said: BusIncoming<String>| {
    ///         count += 1;
    ///         println!("{member}, message {count}: {}", said.message);
    ///         std::future::ready(Ok::<_, Infallible>(()))
    ///     }))
    /// });
    /// let bus = Bus::<String>::builder(&path).join_each(make).await?;
    /// # bus.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of [`join`](Self::join). A handler that cannot be made is a
    /// [`BusEvent::HandlerFailed`](super::BusEvent::HandlerFailed), and costs the message.
    pub async fn join_each<F, H>(self, make: F) -> Result<Bus<M>, BusJoinError>
    where
        F: Service<Arc<MemberInfo>, Response = H, Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let limit = self.join_timeout;
        let bus = self.start_default(Each::new(make))?;
        bus.join_within(limit).await
    }
}

impl<M> BusBuilder<M> {
    /// A bus over frames that a stack of your own makes, from a connector up to a
    /// [`FramingLayer`](crate::FramingLayer), with any layers of tower's or of yours around these. Connections that are
    /// accepted pass through it, too. It also has the limit of a frame: what [`max_message`](Self::max_message) allows,
    /// and 64 KiB more; a greeting, which names all members, is a frame, too. It is handed over ([`BusOverFrames::offer_handoff`]) if each layer gives its state.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kyneta_uds::{Bus, BusIncoming, FramingLayer, UnixConnector};
    /// use tower::{ServiceBuilder, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let frames = ServiceBuilder::new()
    ///     .timeout(Duration::from_secs(2)) // each attempt to connect
    ///     .layer(FramingLayer::new().max_frame(1 << 20))
    ///     .service(UnixConnector::new());
    /// let print = service_fn(async |said: BusIncoming<String>| Ok::<_, std::io::Error>(println!("{}", said.message)));
    /// let builder = Bus::<String>::builder(&path).max_message((1 << 20) - (64 << 10));
    /// let bus = builder.frames(frames).join(print).await?;
    /// # bus.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn frames<S: Service<UnixTarget>>(self, frames: S) -> BusOverFrames<M, S> {
        BusOverFrames {
            builder: self,
            frames,
            save: None,
        }
    }
}

/// A bus over a stack of your own, before it is joined. See [`BusBuilder::frames`].
#[must_use = "it does nothing until it joins"]
#[derive(Debug)]
pub struct BusOverFrames<M, S: Service<UnixTarget>> {
    pub(super) builder: BusBuilder<M>,
    pub(super) frames: S,
    /// How the state of a connection is taken, if the bus may be handed over.
    pub(super) save: Option<SaveFn<CborChannel<S::Response, BusCodec>>>,
}

impl<M, S> BusOverFrames<M, S>
where
    M: Serialize + DeserializeOwned + Send + 'static,
    S: Service<UnixTarget, Error: Into<BoxError> + Send + 'static, Future: Send>
        + Clone
        + Send
        + 'static,
    S::Response: Frames<Error: Send> + Send + 'static,
{
    /// As [`BusBuilder::join`].
    ///
    /// # Errors
    /// As of that.
    pub async fn join<H>(self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let limit = self.builder.join_timeout;
        let bus = self
            .builder
            .start(self.frames, self.save, One(handler), None)?;
        bus.join_within(limit).await
    }

    /// As [`BusBuilder::join_each`].
    ///
    /// # Errors
    /// As of that.
    pub async fn join_each<F, H>(self, make: F) -> Result<Bus<M>, BusJoinError>
    where
        F: Service<Arc<MemberInfo>, Response = H, Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        let limit = self.builder.join_timeout;
        let bus = self
            .builder
            .start(self.frames, self.save, Each::new(make), None)?;
        bus.join_within(limit).await
    }
}
