// error: this stack does not make frame transports: `
// note: put a `FramingLayer` directly below the `CborLayer`

use kyneta_uds::{CborLayer, Client, UnixConnector};
use tower::ServiceBuilder;

fn main() {
    let stack = ServiceBuilder::new()
        .layer(CborLayer::new())
        .service(UnixConnector::new());
    let _ = Client::builder("/run/bus.sock").stack(stack);
}
