//! Both ends of a Unix socket path: the bottom of a stack, and the listener.
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
//! assert_eq!(theirs.peer_cred()?.uid(), ours.peer_cred()?.uid());
//!
//! listener.close()?; // removes the file, if it is still its own
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing: a path ([`SocketPath`](kyneta_uds_core::SocketPath)), or an accepted stream |
//! | gives above | [`UnixConnector`], a make service of Unix streams (tower's `MakeConnection`); beside the stack, the [`Listener`] that owns a path |
//! | touches | sockets, the lock and the temporary name beside a path, tokio's clock; one thread for periodic checks of paths and for a [`Pause`], and on Linux, for all listeners, one inotify thread |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept;
mod access_policy;
mod authorize_listener;
pub mod bind;
mod connector;
mod credentials;
mod directory;
mod fs;
mod handoff;
mod listener;
mod mutex;
mod options;
mod probe;
pub mod replacement;
mod socket_file;
mod user_namespace;
pub mod watch;

pub use accept::admission::{ConnectionPermit, RejectReason};
pub use access_policy::AccessPolicy;
pub use authorize_listener::{Authorize, AuthorizeFuture, AuthorizeLayer, NotAllowed};
pub use bind::BindError;
pub use connector::{ConnectError, UnixConnector, UnixTarget, no_symlink};
pub use directory::DirectoryRisk;
pub use listener::{Listener, ListenerEvent};
pub use options::ListenerOptions;
pub use replacement::ReplacementWatch;
pub use watch::{PathLoss, Pause, prepare};
