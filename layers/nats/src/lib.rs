//! NATS JetStream as the engine of links between machines: [`NatsEngine`] is a machine at a server, [`NatsConnector`] opens
//! sessions, [`NatsAcceptor`] accepts them.
//!
//! ```no_run
//! use kyneta_uds_machines::{LinkEvent, Links};
//! use kyneta_uds_nats::{NatsEngine, NatsSettings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = NatsEngine::connect("nats://127.0.0.1:4222", "oslo".parse()?, NatsSettings::default()).await?;
//! let rome = NatsEngine::machine("rome".parse()?);
//! let mut links = Links::builder(engine.name().clone(), engine.key())
//!     .machine(rome)
//!     .start(engine.connector(), engine.acceptor().await?)?;
//! while let Some(event) = links.next().await {
//!     if let LinkEvent::Up { machine, .. } = event {
//!         println!("{machine} is linked"); // and `io` is its byte stream
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What passes
//!
//! A session is a pair of byte streams between two machines. Its bytes go as frames into the stream `kyneta-uds` of the
//! server, under the subject `kyneta-uds.data.FROM.TO`. A frame is sent until the server has stored it, with the same
//! `Nats-Msg-Id`; numbers in frames put them in order and drop repeated ones. Each machine has one durable consumer, and
//! acknowledges a frame when it is in the memory of its session, which has a bound: a machine that does not read makes
//! the other one wait. So a session goes on when the server is killed and started again, or the connection to it breaks,
//! for less than the [idle timeout](NatsSettings::idle_timeout). Every tenth of that, each side says what it has had, under
//! `kyneta-uds.live.FROM.TO`, which the server does not store.
//!
//! A session ends visibly at both sides: when a side ends, is silent for the idle timeout, or lacks a frame that the server
//! has lost. The next process of a machine has sessions of its own.
//!
//! # Who may
//!
//! A machine is what its name says, and its key is [made of that](machine_key). Only the server can say which client may
//! use which name. Without such permissions each client of the account is trusted with all names; for `oslo` they are:
//!
//! | | |
//! |---|---|
//! | publish | `kyneta-uds.data.oslo.*`, `kyneta-uds.live.oslo.*`, `$JS.API.>`, `$JS.ACK.>` |
//! | subscribe | `kyneta-uds.live.*.oslo`, `_INBOX.>` |
//!
//! | | |
//! |---|---|
//! | needs below | a NATS server with JetStream |
//! | gives above | a tower service of [`Remote`](kyneta_uds_machines::Remote), an [`Accept`](kyneta_uds_machines::Accept), byte streams |
//! | touches | the connection to the server, tasks of tokio's, randomness for the names of sessions |

mod accept;
mod connect;
mod consume;
mod drive;
mod engine;
mod frame;
mod hub;
mod names;
mod session;
mod settings;
mod stream;
mod window;

pub use accept::NatsAcceptor;
pub use connect::{ConnectError, NatsConnector};
pub use engine::{NatsEngine, ServerError};
pub use names::machine_key;
pub use settings::NatsSettings;
pub use stream::NatsStream;
