//! Hands a listening socket and its live connections to a successor process, so that no peer sees a restart.
//!
//! A process that listens makes an [`Offer`]. A process that is started to replace it calls [`take_over`]: it
//! receives the descriptors and the state of everything, and serves. A peer sees a pause of some milliseconds.
//! Whichever of the two processes crashes at whichever step, one serves, and nothing that was acknowledged is lost.
//!
//! ```
//! # #[cfg(target_os = "linux")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::os::{fd::{AsFd, BorrowedFd}, unix::net::{UnixListener, UnixStream}};
//! use kyneta_uds_core::{Saved, SavedBytes};
//! use kyneta_uds_handoff::{
//!     Frozen, HandOver, Limits, Offer, Outcome, Refusal, TakeOver, take_over,
//! };
//!
//! struct Service { listener: UnixListener, offer: Option<Offer>, connection: UnixStream, count: u64 }
//!
//! impl HandOver for Service {
//!     fn shared(&mut self) -> Vec<BorrowedFd<'_>> {
//!         let offer = self.offer.iter().map(|offer| offer.as_fd());
//!         [self.listener.as_fd()].into_iter().chain(offer).collect()
//!     }
//!     fn connections(&self) -> usize {
//!         1
//!     }
//!     fn freeze(&mut self) -> Result<Frozen, Refusal> {
//!         let copy = self.connection.try_clone().map_err(|error| Refusal::Other(error.to_string()))?;
//!         let state = SavedBytes::from(&Saved::new(1, 1).with("count", self.count));
//!         Ok(Frozen { process: Saved::new(1, 1), connections: vec![(copy.into(), state)] })
//!     }
//!     fn thaw(&mut self, _: Option<Frozen>) {} // it reads and writes in this thread alone
//! }
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bus.sock");
//! let listener = UnixListener::bind(&path)?;
//! let client = UnixStream::connect(&path)?;
//! let (connection, _) = listener.accept()?;
//! let offer = Some(Offer::bind(&path)?);
//! let mut service = Service { listener, offer, connection, count: 7 };
//!
//! // The successor, which is another process outside of examples.
//! let successor = std::thread::spawn(move || {
//!     take_over(&path, Limits::default(), |received| {
//!         let (connection, state) = &received.connections[0];
//!         let count = state.decode().and_then(|state| state.number("count"));
//!         let count = count.map_err(|error| Refusal::Other(error.to_string()))?;
//!         Ok((received.shared.len(), connection.try_clone(), count))
//!     })
//! });
//! let asking = loop {
//!     if let Some(asking) = service.offer.as_ref().ok_or("closed")?.accept()? {
//!         break asking;
//!     }
//! };
//! assert!(matches!(asking.hand_over(&mut service, Limits::default()), Outcome::Left { .. }));
//! let Ok(TakeOver::All { prepared: (2, _, 7), .. }) = successor.join().map_err(|_| "panic")? else {
//!     panic!("taken over");
//! };
//! # drop(client);
//! # Ok(())
//! # }
//! # #[cfg(not(target_os = "linux"))]
//! # fn main() {}
//! ```
//!
//! The order of the steps, and why each crash is safe, is told at [`Word`]. Only processes of the same user hand
//! over to each other, and never those of the overflow uid, which stands for many users.
//!
//! | | |
//! |---|---|
//! | needs below | the lock of a path, held by the process that offers |
//! | gives above | [`Offer`] and [`take_over`], over any descriptors with a state ([`Saved`](kyneta_uds_core::Saved)); the two machines, [`Predecessor`] and [`Successor`] |
//! | touches | the socket file `PATH.handoff`, descriptors, the clock; no tokio. Elsewhere than on Linux: nothing, and only the machines are there |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod machine;
#[cfg(target_os = "linux")]
mod shell;

pub use machine::{
    BATCH, FORMAT, Formats, Limits, Predecessor, PredecessorEffect, PredecessorInput, Refusal,
    Successor, SuccessorEffect, SuccessorInput, Word,
};
#[cfg(target_os = "linux")]
pub use shell::{
    Asking, Frozen, HandOver, Memory, Offer, Outcome, Received, TakeOver, TakeOverError,
    control_path, take_over,
};
