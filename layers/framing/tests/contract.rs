//! What tower expects of a layer: readiness and errors pass through, the service that was ready is the one that
//! is called, and the auto traits are right.

use std::io;

use kyneta_uds_framing::{FrameTransport, Framing, FramingFuture, FramingLayer};
use tokio::io::{DuplexStream, duplex};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower_test::mock;

type Mock = mock::Mock<&'static str, DuplexStream>;

#[tokio::test]
async fn readiness_and_the_response_pass_through() {
    let (mut service, mut handle) = mock::spawn_layer::<&str, _, _>(FramingLayer::new());
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());

    let mut response = tokio_test::task::spawn(service.call("a path"));
    assert_pending!(response.poll());
    let (target, respond) = handle.next_request().await.expect("a request");
    assert_eq!(target, "a path");
    respond.send_response(duplex(64).0);
    let transport: FrameTransport<DuplexStream> = assert_ready_ok!(response.poll());
    assert!(format!("{transport:?}").contains("FrameTransport"));
}

#[tokio::test]
async fn errors_pass_through_unchanged() {
    let (mut service, mut handle) =
        mock::spawn_layer::<&'static str, DuplexStream, _>(FramingLayer::new());
    assert_ready_ok!(service.poll_ready());
    let mut response = tokio_test::task::spawn(service.call("a path"));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_error(io::Error::from(io::ErrorKind::NotFound));
    let error = assert_ready_err!(response.poll());
    assert_eq!(
        error.downcast_ref::<io::Error>().map(io::Error::kind),
        Some(io::ErrorKind::NotFound)
    );

    handle.send_error(io::Error::other("gone"));
    assert_eq!(assert_ready_err!(service.poll_ready()).to_string(), "gone");
}

#[test]
fn auto_traits() {
    fn all<T: Send + Sync + Unpin + 'static>() {}
    fn send_and_sync<T: Send + Sync>() {}
    all::<FramingLayer>();
    all::<Framing<Mock>>();
    all::<FrameTransport<DuplexStream>>();
    send_and_sync::<FramingFuture<std::future::Ready<()>>>();
}
