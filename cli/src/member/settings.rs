//! What the options of a member ask for: its identity, its stack, its queue.
//!
//! In: options. Out: layers and bounds of the library. Touches nothing but the number of this process, for an id.

use std::time::Duration;

use kyneta_uds::{
    CborLayer, DefaultStack, Features, FramingLayer, HandshakeLayer, Identity, Overflow, PeerId,
    QueueConfig, TextTooLong, UnixConnector,
};
use tower::Layer as _;

use super::args::MemberArgs;
use crate::failure::Failure;

/// The handshake, with the identity; without `--id` it is the command's name and the process number.
pub(super) fn handshake(args: &MemberArgs, command: &str) -> Result<HandshakeLayer, Failure> {
    let id = args.id.clone();
    let id = id.unwrap_or_else(|| format!("{command}-{}", std::process::id()));
    let usage = |error: TextTooLong| Failure::Usage(error.to_string());
    let mut identity = Identity::new(PeerId::new(id).map_err(usage)?, args.peer_type);
    if let Some(name) = &args.name {
        identity = identity.named(name.clone()).map_err(usage)?;
    }
    let layer = HandshakeLayer::new(identity);
    if !args.no_alias {
        return Ok(layer);
    }
    Ok(layer.features(Features {
        alias: Some(false),
        ..Features::default()
    }))
}

pub(super) fn stack(args: &MemberArgs) -> DefaultStack {
    let framing = FramingLayer::new()
        .wire(args.wire)
        .max_frame(args.max_frame as usize);
    CborLayer::new().layer(framing.layer(UnixConnector::new()))
}

pub(super) fn queue(args: &MemberArgs) -> QueueConfig {
    QueueConfig::default()
        .max_messages(args.max_queue)
        .overflow(Overflow::Disconnect {
            after: stall_limit(args),
        })
}

pub(super) const fn stall_limit(args: &MemberArgs) -> Duration {
    Duration::from_millis(args.stall_limit)
}
