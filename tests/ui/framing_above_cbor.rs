// error: this stack does not make frame transports: `
// error: this stack does not make channels: `
// error: is not a byte stream, so it cannot be cut into frames
// note: put a `FramingLayer` directly below the `CborLayer`

use kyneta_uds::{CborLayer, Client, FramingLayer, UnixConnector};
use tower::ServiceBuilder;

fn main() {
    let stack = ServiceBuilder::new()
        .layer(FramingLayer::new())
        .layer(CborLayer::new())
        .service(UnixConnector::new());
    let _ = Client::builder("/run/bus.sock").stack(stack);
}
