use std::{convert::Infallible, time::Duration};

use kyneta_uds::{
    CborLayer, ChannelMsg, FramingLayer, HandshakeLayer, Identity, NegotiateLayer, QueueLayer,
    SocketPath, UnixConnector, connect, join,
};
use tower::limit::RateLimitLayer as _; // so that it compiles with no tower that lacks what the other cases use
use tower::{ServiceBuilder, service_fn};

fn main() {
    let path = SocketPath::new("/run/bus.sock").unwrap();
    let ignore = service_fn(async |_: ChannelMsg| Ok::<(), Infallible>(()));
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(HandshakeLayer::new(Identity::service("me").unwrap()))
        .timeout(Duration::from_secs(1))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = connect(stack, path.clone());
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(NegotiateLayer::new(ignore))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = join(stack, path);
}
