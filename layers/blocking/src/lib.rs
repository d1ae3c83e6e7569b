//! A client, and a member of a bus, for programs without an async runtime: they send and receive on the calling thread.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kyneta_uds_blocking::Client;
//! use kyneta_uds_core::{ChannelMsg, DocId, Identity, Interest, SocketPath};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let path = SocketPath::new("/run/app/bus.sock")?;
//! let mut client = Client::builder(path, Identity::service("reader")?).connect()?;
//! println!("connected to {}", client.peer().identity.peer_id);
//!
//! let doc = DocId::new("settings")?;
//! let ask = ChannelMsg::from(Interest::new(doc.clone()));
//! let is_answer = |msg: &ChannelMsg| matches!(msg, ChannelMsg::Offer(offer) if offer.doc == doc);
//! let answer = client.request(&ask, is_answer, Some(Duration::from_secs(1)))?;
//! println!("{answer:?}");
//! client.leave()?;
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a listener at a path: a `Server` or `Peer` of [kyneta-uds](https://docs.rs/kyneta-uds), or the reference |
//! | gives above | [`Client`]: messages of [`ChannelMsg`](kyneta_uds_core::ChannelMsg), taken by reference, received by value |
//! | and | [`BusMember`]: a member of a bus of messages of your own, which connects |
//! | touches | one blocking socket and the clock; no thread, no runtime |
//!
//! Frames, codec and handshake are those of the async client. Both wire versions are tried, as there.
//!
//! What it does not do: connect again after a loss (the member of a bus does), listen, take over a path, report events. A program that has
//! more than one connection, or that must send and receive at the same time, is better served by the async client.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod bus;
mod client;
mod connection;
mod deadline;
mod error;
mod handshake;
mod held;
mod socket;

pub use builder::Builder;
pub use bus::{BusBuilder, BusError, BusIncoming, BusMember, BusRequest, Delivered};
pub use client::Client;
pub use error::Error;
