//! The hub of a listener: runs a [`Router`] over its members.
//!
//! A [`Hub`] gives each event to the router (a member is there, it has sent something, it is gone) and queues
//! what the router answers for the members that it names. A member is a connection, or code in this process.
//!
//! ```
//! use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, ReplicaType, SchemaHash, WireVersion};
//! use kyneta_uds_hub::{Hub, Rates};
//! use kyneta_uds_queue::QueueConfig;
//! use kyneta_uds_relay::{MemberFacts, Switch, SwitchConfig};
//! use futures_util::StreamExt as _;
//! use kyneta_uds_core::Inbound;
//! use tower::{Service as _, ServiceExt as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
//! let local = || hub.local(MemberFacts::local(WireVersion::V3), QueueConfig::default());
//! let (mut a, mut b) = (local(), local());
//!
//! let loro = ReplicaType::new("loro", 1.0, 0.0)?;
//! let entry = DocEntry::new(DocId::new("settings")?, loro, SchemaHash::new("02ab")?);
//! let present = ChannelMsg::Present(vec![entry]);
//! a.ready().await?.call(present.clone()).await?;
//! let Some(Ok(Inbound::Message(told))) = b.next().await else { panic!("b learns of the document") };
//! assert_eq!(told, present);
//! # Ok(())
//! # }
//! ```
//!
//! A connection becomes a member by [`Hub::enter`] and the [`RelayHandler`], which shows each received message to
//! the hub and then to the handler below it.
//!
//! # Backpressure
//!
//! What the router answers is queued at once, above the bounds of a queue if need be: an effect cannot wait
//! while others follow it. Then the *sender* waits: nothing more is read from it until each queue that its
//! message has filled has room again. So a queue exceeds its bounds by what one message of each member causes. No
//! message is left out. A member that comes is not read before the router knows it: so what waits to be routed is bounded by
//! what the connections that are open may send, 32 messages or 256 KiB each, however many come and go. A queue that stays
//! full ends its connection as its [`Overflow::Disconnect`](kyneta_uds_queue::Overflow) says.
//!
//! # Order, threads, panics
//!
//! Events are routed one after the other, those of a member in the order in which they were read, by the task that
//! brings them. What a member's driver reads in one round ([`Look::round_over`](kyneta_uds_core::Look::round_over)) is
//! routed in two turns: the first message at once, the others together, 32 at most. Where members [leave in
//! parts](kyneta_uds_relay::Router::leaving), those that come wait for that. No task of the hub's own runs but for what is in
//! parts and a router's timer. The router runs without a lock. If it panics, all members are disconnected
//! ([`HubEvent::RouterPanicked`]) and the hub goes on with a new router.
//!
//! | | |
//! |---|---|
//! | needs below | members' queues ([`Handle`](kyneta_uds_queue::Handle)), a pure router |
//! | gives above | a handler that relays, local members |
//! | touches | the queues, tokio's clock for rates and the router's timer |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod event;
mod gate;
mod handler;
mod hub;
mod local;
mod member;
mod outgoing;
mod rates;
mod resume;
mod round;
mod routing;

pub use event::{HubEvent, RouterPanicked};
pub use handler::RelayHandler;
pub use hub::{Hub, HubStatus};
pub use local::{LocalChannel, LocalClosed};
pub use member::Member;
pub use rates::{Load, Metered, Rate, Rates};

#[doc(no_inline)]
pub use kyneta_uds_relay::Router;
