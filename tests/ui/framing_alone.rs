// error: this stack does not make channels: `
// note: put a `CborLayer` above the `FramingLayer`: bytes become frames, frames become messages

use kyneta_uds::{Client, FramingLayer, UnixConnector};
use tower::ServiceBuilder;

fn main() {
    let stack = ServiceBuilder::new()
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = Client::builder("/run/bus.sock").stack(stack);
}
