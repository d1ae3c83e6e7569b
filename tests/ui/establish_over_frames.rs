use kyneta_uds::{EstablishLayer, FramingLayer, Identity, UnixConnector, UnixTarget};
use tower::{Service, ServiceBuilder};

fn connect<S: Service<UnixTarget>>(_stack: S) {}

fn main() {
    let stack = ServiceBuilder::new()
        .layer(EstablishLayer::new(Identity::service("me").unwrap()))
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    connect(stack);
}
