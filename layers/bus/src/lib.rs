//! The bus as pure machines: a message that was accepted arrives exactly once, in its sender's order, at each
//! member that the sender listed and that stays, however many hubs die meanwhile.
//!
//! A [`Member`] keeps what it sends until each [listed](MemberEffect::Present) member has it. As a receiver it
//! keeps one number for each sender. A [`Hub`] routes between members, and what it knows may die with it: after a
//! new connection each pair of members meets anew, and the sender sends copies of what the receiver lacks. Both
//! are generic over the body of a message, which a hub never looks at.
//!
//! ```
//! use kyneta_uds_bus::{
//!     ConnectionKey, Hub, HubEffect, HubEvent, Incarnation, Member, MemberConfig, MemberEffect, MemberEvent,
//!     MemberId,
//! };
//! use kyneta_uds_core::PeerId;
//!
//! let id = |name| Ok::<_, kyneta_uds_core::TextTooLong>(MemberId::new(PeerId::new(name)?, Incarnation(1)));
//! let mut hub = Hub::new(id("shop")?);
//! let mut members = [id("shop")?, id("till")?].map(|id| Member::new(id, MemberConfig::default()));
//!
//! // What a shell does: it carries the frames, each connection's in order.
//! fn run(hub: &mut Hub, members: &mut [Member<&'static str>], mut effects: Vec<(usize, MemberEffect<&'static str>)>) -> Vec<&'static str> {
//!     let (mut delivered, mut at) = (Vec::new(), 0);
//!     while let Some((from, effect)) = effects.get(at).cloned() {
//!         at += 1;
//!         match effect {
//!             MemberEffect::Send(frame) => {
//!                 let mut out = Vec::new();
//!                 let connection = ConnectionKey(from as u64);
//!                 hub.handle(HubEvent::Frame { from: connection, frame }, &mut out);
//!                 for effect in out {
//!                     if let HubEffect::Send { to, frame } = effect {
//!                         let (to, mut out) = (to.0 as usize, Vec::new());
//!                         members[to].handle(MemberEvent::Frame(frame), &mut out);
//!                         effects.extend(out.into_iter().map(|effect| (to, effect)));
//!                     }
//!                 }
//!             }
//!             MemberEffect::Deliver { message, .. } => delivered.push(message.body),
//!             _ => {}
//!         }
//!     }
//!     delivered
//! }
//!
//! for member in 0..2 {
//!     let mut out = Vec::new();
//!     members[member].handle(MemberEvent::Connected, &mut out);
//!     run(&mut hub, &mut members, out.into_iter().map(|effect| (member, effect)).collect());
//! }
//! let mut out = Vec::new();
//! members[1].accept(None, "sold", 4, &mut out)?;
//! let delivered = run(&mut hub, &mut members, out.into_iter().map(|effect| (1, effect)).collect());
//! assert_eq!(delivered, ["sold"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a connection that carries frames in order, or ends |
//! | gives above | effects: frames to send, messages to deliver, who is present |
//! | touches | nothing: no I/O, no clock, no randomness, no tokio |
//!
//! # What a shell does
//!
//! * **Order.** Frames go out in the order of their effects. A connection that ends may lose any number of frames
//!   at its end, in either direction, and none before one that arrives. Frames that wait for a connection that has
//!   ended are dropped.
//! * **Copies.** [`MemberEffect::SendCopies`] stands in the queue of a connection like a frame. The shell draws
//!   from it with [`Member::next_copy`] when the connection takes more, so a connection that is cut often does not
//!   send the same copies each time. To draw all at once is right too.
//! * **What waits for a member** stands in a [`MemberQueue`]. It joins acknowledgements and drops old messages for
//!   members that keep the newest.
//! * **Time.** A hub says [`HubEffect::Awaited`]; the shell starts a timer and reports [`HubEvent::WaitOver`]. Any
//!   time is safe, it only decides which members are named. [`HubEvent::Removed`] ends a member that is too slow.
//! * **Acknowledging.** A member says what it has at [`MemberEvent::Acknowledge`], which the shell reports after a
//!   turn or after a while.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod frame;
mod hub;
mod id;
mod limits;
mod meeting;
mod member;
mod queue;
mod saved;

pub use frame::{
    DownFrame, Hello, LinkFrame, Message, PeerPlace, Place, Recipients, Refusal, SlowPolicy,
    UpFrame,
};
pub use hub::{Hub, HubCounts, HubEffect, HubEvent, KnownMember, Route};
pub use id::{Attempt, ConnectionKey, Incarnation, MachineId, MemberId, SeqNo, Session, Token};
pub use limits::{max_frame, reason};
pub use meeting::Meeting;
pub use member::{
    Copies, HeldSender, ListedReceiver, Member, MemberConfig, MemberCounts, MemberEffect,
    MemberEvent, NotAccepted, UnresolvedMessage,
};
pub use queue::MemberQueue;
