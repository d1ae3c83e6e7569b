//! A bus for messages of your own: each message reaches each other member exactly once.
//!
//! ```
//! use kyneta_uds::{Bus, BusIncoming, Identity};
//! use serde::{Deserialize, Serialize};
//! use tower::{Service as _, ServiceExt as _, service_fn};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Event {
//!     Opened,
//!     Sold { item: String },
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bus.sock");
//! let print = service_fn(async |incoming: BusIncoming<Event>| {
//!     println!("{}: {:?}", incoming.from, incoming.message);
//!     Ok::<_, std::convert::Infallible>(())
//! });
//! let join = async |id: &'static str| {
//!     let identity = Identity::service(id)?;
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
//!         Bus::<Event>::builder(&path).identity(identity).protocol("shop/1").join(print).await?,
//!     )
//! };
//! let shop = join("shop").await?;
//! let mut till = join("till").await?;
//!
//! // To all others; ready when each of them has it, or has left.
//! let delivered = till.ready().await?.call(Event::Opened).await?;
//! assert!(delivered.missed.is_empty());
//!
//! // To one.
//! till.member("shop")?.send(Event::Sold { item: "pen".into() }).await?;
//!
//! shop.dispose().await; // `till` listens now
//! till.dispose().await;
//! # Ok(())
//! # }
//! ```
//!
//! The process that starts first listens, the others connect to it, and one of them takes over when it ends, as with
//! a [`Peer`](crate::Peer). A message that was accepted arrives exactly once, in its sender's order, at each member
//! that the sender's [`members`](Bus::members) listed when it was accepted and that stays, however many listeners die
//! meanwhile. The listener passes bodies on as bytes.

mod accept;
mod builder;
mod bundle;
mod channel;
mod codec;
#[cfg(test)]
mod codec_checks;
mod deliver;
mod discover;
mod encode;
mod event;
mod event_log;
mod fault;
mod fixed;
mod hand_over;
mod handle;
mod handlers;
mod handoff;
mod inbox;
mod incoming;
mod info;
mod input;
#[cfg(feature = "machines")]
pub(crate) mod links;
mod load;
mod look;
mod looking;
mod make;
mod member;
mod newest;
mod outbox;
mod own_stack;
mod quick;
mod receipts;
mod refusal;
mod request;
pub(crate) mod shared;
mod stall;
pub mod trace;
mod usual;
#[cfg(test)]
mod vectors;
mod wire;

#[cfg(target_os = "linux")]
pub use self::handoff::BusTakeOver;
pub use self::{
    builder::{BusBuilder, BusJoinError, Delivery},
    discover::BusDiscover,
    event::{BusCounts, BusEvent, BusEventReader},
    handle::{Bus, BusError, Delivered, MembersWatch, Publish},
    incoming::{BusIncoming, Responder},
    info::MemberInfo,
    look::{Look, LookError, Passed, PathKind, Present, holdings, tap, who},
    looking::{BusIncomingRef, Looking, look},
    member::{BusMember, UnknownMember},
    own_stack::BusOverFrames,
    refusal::NotAdmittedToBus,
    request::RequestError,
    trace::TraceParent,
};
pub(crate) use self::{
    codec::BusCodec,
    wire::{Introduction, Kind, Passed as WirePassed, Wire},
};
