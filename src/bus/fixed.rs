//! Members whose role is fixed: a server, and its clients.
//!
//! In: a builder, or a listener. Out: a bus whose member only listens, or only connects. Touches nothing else.

use kyneta_uds_core::BoxError;
use kyneta_uds_negotiate::Only;
use kyneta_uds_unix::Listener;
use serde::{Serialize, de::DeserializeOwned};
use tower_service::Service;

use super::{
    builder::{BusBuilder, BusJoinError},
    handle::Bus,
    incoming::BusIncoming,
};

impl<M: Serialize + DeserializeOwned + Send + 'static> BusBuilder<M> {
    /// Joins as a server: this member only listens. It is a member as any other, with the same promises.
    ///
    /// ```
    /// use kyneta_uds::{Bus, BusIncoming, Identity};
    /// use tower::{Service as _, ServiceExt as _, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let answer = service_fn(async |incoming: BusIncoming<String>| match incoming.request {
    ///     Some(request) => request.answer(&incoming.message.to_uppercase()),
    ///     None => Ok(()),
    /// });
    /// let server = Bus::<String>::builder(&path).identity(Identity::service("loud")?).listen(answer).await?;
    ///
    /// let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, std::convert::Infallible>(()));
    /// let client = Bus::<String>::builder(&path).connect(ignore).await?; // and again after a loss
    /// let answer = client.member("loud")?.request("hello".into()).await?;
    /// assert_eq!(answer, "HELLO");
    /// # client.dispose().await;
    /// # server.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of [`join`](Self::join). That another process listens is [`BusJoinError::InTheWay`], with its
    /// [`BindError`](crate::BindError).
    pub async fn listen<H>(self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        self.only(Only::Listener).join(handler).await
    }

    /// Joins as a client: this member only connects, and connects again after a loss. Where no process listens it waits
    /// for one. What it has published meanwhile is kept, as on every bus.
    ///
    /// # Errors
    /// As of [`join`](Self::join). Where no process has listened within the
    /// [`join_timeout`](Self::join_timeout) it is [`BusJoinError::TimedOut`], which says so.
    pub async fn connect<H>(self, handler: H) -> Result<Bus<M>, BusJoinError>
    where
        H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
            + Send
            + 'static,
    {
        self.only(Only::Connector).join(handler).await
    }
}

impl<M> BusBuilder<M> {
    /// Takes one role alone, as [`listen`](Self::listen) and [`connect`](Self::connect) do: for the other ways to join.
    pub fn only(mut self, only: Only) -> Self {
        self.only = Some(only);
        self
    }

    /// Serves a listener of your own: one that is bound already, or that systemd has opened
    /// ([`ListenerOptions::adopt`](crate::ListenerOptions::adopt)). This member only listens; the path is the one that
    /// clients connect to.
    ///
    /// ```
    /// use kyneta_uds::{Bus, BusIncoming, Listener};
    /// use tower::service_fn;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let print = service_fn(async |said: BusIncoming<String>| Ok::<_, std::io::Error>(println!("{}", said.message)));
    /// let listener = Listener::bind(&path).await?;
    /// let server = Bus::<String>::builder(&path).serve(listener).join(print).await?;
    /// let client = Bus::<String>::builder(&path).connect(print).await?;
    /// # client.dispose().await;
    /// # server.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve(mut self, listener: Listener) -> Self {
        self.bound = Some(listener);
        self.only(Only::Listener)
    }
}
