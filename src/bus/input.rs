//! What connections bring.

use kyneta_uds_bus::{ConnectionKey, DownFrame, MemberId, SeqNo, UpFrame};

use super::{
    info::MemberInfo,
    wire::{Body, Greeting, Observation, Refused, Welcome},
};

/// One payload, with its members by their ids.
#[derive(Debug)]
pub(crate) enum Input {
    /// Of a connection that was accepted.
    Up(ConnectionKey, UpInput),
    /// Of the connection with this number, which this side has made.
    Down(u64, DownInput),
}

impl kyneta_uds_core::Message for Input {
    fn size(&self) -> usize {
        64
    }
}

/// From a member.
#[derive(Debug)]
pub(crate) enum UpInput {
    Greet(Box<Greeting>),
    Observe(Box<Observation>),
    Acks(Vec<(MemberId, SeqNo)>),
    Frame(UpFrame<Body>),
}

/// From a hub.
#[derive(Debug)]
pub(crate) enum DownInput {
    Welcome(Box<Welcome>),
    Refused(Box<Refused>),
    Introduced(Box<MemberInfo>),
    Acks(Vec<(MemberId, SeqNo)>),
    Frame(DownFrame<Body>),
}
