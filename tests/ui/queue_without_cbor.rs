use std::convert::Infallible;

use kyneta_uds::{ChannelMsg, FramingLayer, QueueLayer, UnixConnector, UnixTarget};
use tower::{Service, ServiceBuilder, service_fn};

fn connect<S: Service<UnixTarget>>(_stack: S) {}

fn main() {
    let ignore = service_fn(async |_: ChannelMsg| Ok::<(), Infallible>(()));
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore))
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    connect(stack);
}
