//! Plain JSON documents: a value, and a log of the batches that made it.
//!
//! `change` is what a batch is made of, `apply` makes it on a value, `edit` is what a user does, `zero` is what a
//! new document holds, `log` what is kept of the past, `replica` puts them together. All pure.

mod apply;
mod change;
mod edit;
mod instructions;
mod log;
mod replica;
mod richtext;
mod text;
mod zero;

pub use edit::{Action, Edit, EditError, edit_object, fits};
pub use replica::{PlainLimits, PlainReplica};
pub use zero::zero;

pub(crate) use change::entirety_object;
pub(crate) use edit::Editor;
pub(crate) use zero::zero_object;
