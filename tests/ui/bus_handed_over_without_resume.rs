// error: this stack cannot go on with a connection that was handed over: `tower::timeout::Timeout<
// note: implement `Save` for its channel and `Resume` for its make service
use std::time::Duration;

use kyneta_uds::{Bus, FramingLayer, HandoffPolicy, UnixConnector};
use tower::ServiceBuilder;

fn main() {
    let frames = ServiceBuilder::new()
        .timeout(Duration::from_secs(2))
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let bus = Bus::<String>::builder("/run/app/bus.sock").frames(frames);
    let _ = bus.offer_handoff(HandoffPolicy::default());
}
