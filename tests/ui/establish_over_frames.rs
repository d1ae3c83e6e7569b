use kyneta_uds::{EstablishLayer, FramingLayer, Identity, SocketPath, UnixConnector, connect};
use tower::ServiceBuilder;

fn main() {
    let path = SocketPath::new("/run/bus.sock").unwrap();
    let stack = ServiceBuilder::new()
        .layer(EstablishLayer::new(Identity::service("me").unwrap()))
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = connect(stack, path);
}
