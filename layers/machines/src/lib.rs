//! Links between machines: one between each two, over any engine that gives byte streams with a verified key.
//!
//! [`Links`] dials the machines that are named, accepts theirs, and yields each link as a byte stream once both
//! sides have said who they are. Which side dials, what replaces a link and when it is tried again decides a pure
//! machine ([`Link`]).
//!
//! ```
//! use kyneta_uds_machines::{LinkEvent, Links, Machine, MachineKey, memory};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (oslo, rome) = (MachineKey::from([1; 32]), MachineKey::from([2; 32]));
//! let network = memory::Network::new(); // an engine inside this process, for tests
//! let start = |me, name: &str, other, other_name: &str| {
//!     let other = Machine::new(other_name.parse()?, other, other);
//!     let (dial, accept) = (network.dialer(me), network.listen(me));
//!     Ok::<_, Box<dyn std::error::Error>>(Links::builder(name.parse()?, me).machine(other).start(dial, accept)?)
//! };
//! let mut in_oslo = start(oslo, "oslo", rome, "rome")?;
//! let mut in_rome = start(rome, "rome", oslo, "oslo")?;
//!
//! let Some(LinkEvent::Up { mut io, .. }) = in_oslo.next().await else { panic!("no link") };
//! io.write_all(b"hello").await?;
//! let Some(LinkEvent::Up { machine, mut io, .. }) = in_rome.next().await else { panic!("no link") };
//! let mut hello = [0; 5];
//! io.read_exact(&mut hello).await?;
//! assert_eq!((machine.as_str(), &hello), ("oslo", b"hello"));
//! # Ok(())
//! # }
//! ```
//!
//! # Who dials
//!
//! The machine with the smaller key dials, with growing pauses. The other one, when it starts or has lost its link,
//! *knocks*: it asks to be dialed. So a process that takes the place of one that was killed is reached at once,
//! although its predecessor's link may look alive to the other side for seconds. Of links from one process the newest
//! counts; the one before ends as *replaced*. A process whose link was replaced by another process with the same key
//! is refused: a key belongs to one process at a time.
//!
//! # Who may
//!
//! A key that is not named is refused before a byte is read. A machine says its name; if it is not the one that its
//! key has here, it is refused before a byte of payload is read. Either is an event.
//!
//! | | |
//! |---|---|
//! | needs below | an engine: a tower service that dials, and an [`Accept`] |
//! | gives above | byte streams of links, events |
//! | touches | the engine's streams, tokio's clock and tasks, randomness for pauses |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod cut;
mod engine;
mod link;
pub mod memory;
mod name;
mod preface;
mod settings;
mod shell;

pub use admission::{Admission, SameKey};
pub use engine::{Accept, Accepted, Remote};
pub use link::{
    Conn, DownReason, Effect, Hello, Incarnation, Input, Knock, Link, Reason, Refusal, Role,
};
pub use name::{KeyError, Machine, MachineError, MachineKey, MachineName, NameError};
pub use settings::LinkSettings;
pub use shell::{EndWatch, LinkEvent, LinkIo, LinkStatus, LinkWatch, Links, LinksBuilder};
