// error: this stack does not make channels: `
// note: put a `CborLayer` above the `FramingLayer`: bytes become frames, frames become messages

use kyneta_uds::{ChannelMsg, FramingLayer, NegotiateLayer, QueueLayer, SocketPath, UnixConnector, join};
use tower::{ServiceBuilder, service_fn};

fn main() {
    let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(NegotiateLayer::new(ignore))
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = join(stack, SocketPath::new("/run/bus.sock").unwrap());
}
