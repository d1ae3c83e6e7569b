//! `wire`: bytes to messages and back, the routing of documents and the bus, without a socket.
//!
//! In: JSON lines, or raw bytes. Out: JSON lines. Touches nothing but the pure cores of the
//! framing, cbor, relay and bus layers.

mod args;
mod bus;
mod decode;
mod encode;
mod json_lines;
mod relay;

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
        WireCommand::Bus => bus::bus(),
    }
}
