//! The bus.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod frame;
mod hub;
mod id;
mod member;

pub use frame::{
    DownFrame, Hello, LinkFrame, Message, PeerPlace, Place, Recipients, Refusal, SlowPolicy,
    UpFrame,
};
pub use hub::{Hub, HubCounts, HubEffect, HubEvent, KnownMember, Route};
pub use id::{Attempt, ConnectionKey, Incarnation, MachineId, MemberId, SeqNo, Session, Token};
pub use member::{
    Copies, HeldSender, ListedReceiver, Member, MemberConfig, MemberCounts, MemberEffect,
    MemberEvent, NotAccepted, UnresolvedMessage,
};
