//! `wire`: bytes to messages and back, and the pure machines of documents and buses, without a socket.
//!
//! In: JSON lines, or raw bytes. Out: JSON lines. Touches nothing but the pure cores of the framing, cbor,
//! relay, schema, sync and bus layers.

mod args;
mod bus;
mod decode;
mod diagnostic;
mod encode;
mod json_lines;
mod relay;
mod schema;
mod sync;
mod version;

pub(crate) use args::WireCommand;

use crate::failure::Failure;

/// Converts stdin, to its end.
pub(crate) fn wire(command: WireCommand) -> Result<(), Failure> {
    match command {
        WireCommand::Decode {
            raw,
            wire,
            max_frame,
        } => {
            if raw {
                decode::decode_raw(wire, max_frame)
            } else {
                decode::decode(wire, max_frame)
            }
        }
        WireCommand::Encode { wire, max_frame } => encode::encode(wire, max_frame),
        WireCommand::Relay => relay::relay(),
        WireCommand::Schema => schema::schema(),
        WireCommand::Version => version::version(),
        WireCommand::Sync => sync::sync(),
        WireCommand::Bus => bus::bus(),
    }
}
