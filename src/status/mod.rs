//! The status of a role: as a value, over HTTP on a Unix socket, and as metrics.
//!
//! [`Inspect::snapshot`] copies the status of a [`Server`](crate::Server), [`Peer`](crate::Peer) or
//! [`Client`](crate::Client). [`Endpoint`] serves it:
//!
//! | `GET` | |
//! |---|---|
//! | `/status` | the [`Snapshot`] as JSON, on one line |
//! | `/metrics` | the same as Prometheus text, without a series for each peer |
//! | `/healthz` | 200 `ok`, or 503 with the reason ([`Snapshot::health`]) |
//!
//! ```
//! use kyneta_uds::{Incoming, Server, status::{Endpoint, Inspect as _}};
//! use tokio::{io::{AsyncReadExt as _, AsyncWriteExt as _}, net::UnixStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! # let (path, status) = (dir.path().join("bus.sock"), dir.path().join("status.sock"));
//! # let ignore = tower::service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
//! let server = Server::builder(&path).listen(ignore).await?;
//! let endpoint = Endpoint::bind(&status, server.clone()).await?;
//!
//! // As `curl --unix-socket status.sock http://localhost/healthz` does.
//! let mut curl = UnixStream::connect(&status).await?;
//! curl.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
//! let mut answer = String::new();
//! curl.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"));
//!
//! assert!(server.snapshot().peers.is_empty());
//! endpoint.close().await;
//! server.dispose().await;
//! # Ok(())
//! # }
//! ```
//!
//! A snapshot is made when it is asked for. Messages sent are known from the queue's marks; messages
//! received are a number that the connection's task counts.

mod about;
mod answer;
mod endpoint;
mod inspect;
mod metrics;
mod snapshot;

pub use endpoint::Endpoint;
pub use inspect::Inspect;
pub use snapshot::{
    LinkStatus, LinksFailureStatus, PeerStatus, Queued, RelayStatus, Snapshot, Standing, Unhealthy,
    WaitingStatus,
};

pub(crate) use about::About;
