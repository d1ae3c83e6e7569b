//! What connections bring.
//!
//! In: payloads, taken apart by a connection. Out: one message for the queue of the hub or the member, which knows
//! its size. Pure.

use kyneta_uds_bus::{ConnectionKey, DownFrame, MemberId, Message, SeqNo, UpFrame};

use super::{
    info::MemberInfo,
    wire::{Body, Greeting, Observation, Refused, Welcome},
};

/// Payloads that came at one time, in order, with their members by their ids.
#[derive(Debug)]
pub(crate) enum Input {
    /// Of a connection that was accepted.
    Up(ConnectionKey, Vec<UpInput>),
    /// Of the connection with this number, which this side has made.
    Down(u64, Vec<DownInput>),
}

impl kyneta_uds_core::Message for Input {
    fn size(&self) -> usize {
        64
    }
}

/// From a member.
#[derive(Debug)]
pub(crate) enum UpInput {
    /// It speaks kyneta's protocol, and has this id there.
    Kyneta(Option<String>),
    Greet(Box<Greeting>),
    Observe(Box<Observation>),
    Acks(Vec<(MemberId, SeqNo)>),
    /// Messages to all.
    Run(Vec<Message<Body>>),
    Frame(UpFrame<Body>),
}

/// From a hub.
#[derive(Debug)]
pub(crate) enum DownInput {
    Welcome(Box<Welcome>),
    Refused(Box<Refused>),
    Introduced(Box<MemberInfo>),
    Acks(Vec<(MemberId, SeqNo)>),
    /// Messages of one sender.
    Run(MemberId, Vec<Message<Body>>),
    Frame(DownFrame<Body>),
}
