//! Both ends of a Unix socket path: what stands at the bottom of a stack.
//!
//! In: a path, or a stream that somebody has accepted. Out: connected streams, from
//! [`UnixConnector`] (a `tower::make::MakeConnection`), and from the [`Listener`] that owns a path.
//! May touch: the file system's sockets, the lock and the temporary name beside a path.
//!
//! ```
//! use kyneta_uds_core::SocketPath;
//! use kyneta_uds_unix::{Listener, UnixConnector};
//! use tower::ServiceExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let path = SocketPath::new(dir.path().join("bus.sock"))?;
//! let mut listener = Listener::bind(path.clone()).await?;
//! let ours = UnixConnector::new().oneshot(path.into()).await?;
//! let (theirs, _permit) = listener.accept().await;
//! # Ok(())
//! # }
//! ```

mod allow;
mod authorize;
mod connector;
mod door;
mod listener;
mod who;

pub use allow::Allow;
pub use authorize::{Authorize, AuthorizeFuture, AuthorizeLayer, NotAllowed};
pub use connector::{ConnectError, UnixConnector, UnixTarget, no_symlink};
pub use door::{Permit, Refusal};
pub use listener::{
    BindError, DirectoryRisk, Listener, ListenerEvent, ListenerOptions, Lost, claim, prepare, watch,
};
