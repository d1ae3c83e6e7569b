//! Lines: reliable streams of messages between two peers, over documents of an exchange.
//!
//! In: messages. Out: messages, each once and in order, and word of what the other peer has processed. Touches: two
//! documents for each line, and a task of tokio's.

mod accept;
mod error;
mod open;
mod receiver;
mod rules;
mod sender;
mod shared;

pub use accept::Lines;
pub use error::{LineError, OpenLineError, ReceiveError};
pub use open::{Line, LineOptions};
pub use receiver::LineReceiver;
pub(super) use rules::LineRules;
pub use sender::{Acknowledged, LineSender};
