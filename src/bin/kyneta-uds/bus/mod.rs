//! Being on a bus: `listen` and `connect`.
//!
//! In: JSON lines on stdin, messages from peers. Out: events on stdout, messages to peers. Touches
//! the socket, and stdin and stdout by a thread of their own each, so that neither ever holds up
//! the connections by more than the queues allow.

mod input;
mod print;
mod report;
mod summary;
