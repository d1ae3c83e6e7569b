//! A line: a stream of messages in each direction between two peers, made of two plain JSON documents.
//!
//! Each peer writes one document, its outbox, and reads the other's, its inbox. A message stays in the outbox until the
//! other peer has said in *its* outbox that it has processed it. So a line works without a connection, and survives one.
//!
//! In: what is to be sent, what the inbox holds. Out: edits of the outbox, messages to deliver. Touches nothing.

mod form;
mod machine;

#[cfg(test)]
mod tests;

pub use form::{LineForm, LineTopic, LineTopicError};
pub use machine::{Delivered, Delivery, LineMachine, LineState};
