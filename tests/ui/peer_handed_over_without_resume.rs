// error: this stack cannot go on with a connection that was handed over: `tower::timeout::Timeout<
// note: implement `Save` for its channel and `Resume` for its make service
use std::time::Duration;

use kyneta_uds::{CborLayer, FramingLayer, Peer, UnixConnector};
use tower::ServiceBuilder;

fn main() {
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(2))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let _ = Peer::builder("/run/app/bus.sock").stack(stack).take_over();
}
