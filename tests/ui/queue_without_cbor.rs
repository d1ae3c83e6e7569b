// error: this stack does not make channels: `
// note: put a `CborLayer` above the `FramingLayer`: bytes become frames, frames become messages

use std::convert::Infallible;

use kyneta_uds::{ChannelMsg, FramingLayer, QueueLayer, SocketPath, UnixConnector, connect};
use tower::{ServiceBuilder, service_fn};

fn main() {
    let path = SocketPath::new("/run/bus.sock").unwrap();
    let ignore = service_fn(async |_: ChannelMsg| Ok::<(), Infallible>(()));
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = connect(stack, path);
}
