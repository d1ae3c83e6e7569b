//! A member of a bus, for programs without a runtime: the machine of `kyneta-uds-bus` over a blocking socket.

mod builder;
mod error;
mod link;
mod member;
mod request;
mod wire;

pub use self::{
    builder::BusBuilder,
    error::BusError,
    member::{BusIncoming, BusMember, Delivered},
    request::BusRequest,
};
