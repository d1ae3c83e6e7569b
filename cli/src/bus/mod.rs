//! A bus of JSON values: `bus`, `send`, `who` and `tap`.

mod args;
mod input;
mod line;
mod look;
mod members;
#[cfg(feature = "nats")]
mod nats;
mod passed;
mod run;
mod send;

pub(crate) use args::{BusArgs, SendArgs, TapArgs, WhoArgs};
pub(crate) use look::{tap, who};
pub(crate) use members::{members_json, members_text};
pub(crate) use run::bus;
pub(crate) use send::send;
