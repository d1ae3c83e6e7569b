//! iroh as the engine of links between machines: [`IrohEngine`] binds an address with a key, [`IrohConnector`] dials,
//! [`IrohAcceptor`] accepts.
//!
//! ```
//! use kyneta_uds_iroh::{IrohEngine, IrohSettings, SecretKey};
//! use kyneta_uds_machines::{LinkEvent, Links, Machine};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let at = "127.0.0.1:0".parse()?;
//! let oslo = IrohEngine::bind(&SecretKey::at(dir.path().join("oslo.key"))?, at, IrohSettings::default()).await?;
//! let rome = IrohEngine::bind(&SecretKey::at(dir.path().join("rome.key"))?, at, IrohSettings::default()).await?;
//!
//! let links = |name: &str, engine: &IrohEngine, other: &str, at: &IrohEngine| {
//!     let other = Machine::new(other.parse()?, at.key(), at.address());
//!     let builder = Links::builder(name.parse()?, engine.key()).machine(other);
//!     Ok::<_, Box<dyn std::error::Error>>(builder.start(engine.connector(), engine.acceptor())?)
//! };
//! let mut in_oslo = links("oslo", &oslo, "rome", &rome)?;
//! let mut in_rome = links("rome", &rome, "oslo", &oslo)?;
//! assert!(matches!(in_oslo.next().await, Some(LinkEvent::Up { .. })));
//! assert!(matches!(in_rome.next().await, Some(LinkEvent::Up { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! # What leaves the machine
//!
//! Packets to the addresses of the machines that are named, and answers to those that dial here. No relay, no discovery,
//! no DNS, no port mapping: bound to loopback, nothing leaves loopback.
//!
//! # Times
//!
//! A connection over which nothing comes for the [idle timeout](IrohSettings::idle_timeout) ends at both sides. A cut
//! that is shorter does not end it.
//!
//! | | |
//! |---|---|
//! | needs below | a UDP socket |
//! | gives above | a tower service of [`Remote`](kyneta_uds_machines::Remote), an [`Accept`](kyneta_uds_machines::Accept), byte streams |
//! | touches | that socket, key files, tasks of tokio's |

mod accept;
mod connect;
mod engine;
mod key;
mod settings;
mod stream;

pub use accept::IrohAcceptor;
pub use connect::{ConnectError, IrohConnector};
pub use engine::{BindError, IrohEngine};
pub use key::{KeyFileError, SecretKey};
pub use settings::IrohSettings;
pub use stream::IrohStream;
