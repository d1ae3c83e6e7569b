// error: is not a byte stream, so it cannot be cut into frames
// note: a `FramingLayer` goes directly above the connector, which makes byte streams

use kyneta_uds::{CborLayer, FramingLayer, Server, UnixConnector};
use tower::ServiceBuilder;

fn main() {
    let stack = ServiceBuilder::new()
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = Server::builder("/run/bus.sock").stack(stack);
}
