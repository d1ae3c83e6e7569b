// error: a connection of this stack cannot be handed over: `Mine<
// error: this stack cannot go on with a connection that was handed over: `Mine<
// note: implement `Save` for its channel and `Resume` for its make service
#![allow(dead_code)]

use kyneta_uds::{CborLayer, FramingLayer, UnixConnector, protocol::{Resume, Save}};
use tower::ServiceBuilder;

struct Mine<S>(S);

fn hands_over<C: Save, Io>(_: C) {}
fn goes_on<S: Resume<Io>, Io>(_: S, _: Io) {}

fn main() {
    let stack = ServiceBuilder::new()
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    hands_over::<_, ()>(Mine(()));
    goes_on(Mine(stack), ());
}
