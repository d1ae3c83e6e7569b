// error: this stack makes channels one at a time, and cannot be cloned for each connection: `
// note: tower's `rate_limit` is one: put tower's `buffer` directly above it, whose clones share it

use std::time::Duration;

use kyneta_uds::{
    CborLayer, ChannelMsg, FramingLayer, NegotiateLayer, QueueLayer, SocketPath, UnixConnector, join,
};
use tower::{ServiceBuilder, service_fn};

fn main() {
    let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(NegotiateLayer::new(ignore))
        .rate_limit(1, Duration::from_secs(1))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = join(stack, SocketPath::new("/run/bus.sock").unwrap());
}
