// error: this stack does not make channels: `
// note: put a `CborLayer` above the `FramingLayer`: bytes become frames, frames become messages

use kyneta_uds::{HandshakeLayer, FramingLayer, Identity, SocketPath, UnixConnector, connect};
use tower::ServiceBuilder;

fn main() {
    let path = SocketPath::new("/run/bus.sock").unwrap();
    let stack = ServiceBuilder::new()
        .layer(HandshakeLayer::new(Identity::service("me").unwrap()))
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = connect(stack, path);
}
