//! Accepting that never dies, after axum and hyper-util.

use std::{io, time::Duration};

use tokio::{
    net::{UnixListener, UnixStream},
    time::sleep,
};

/// How long to wait when the system is out of something: long enough for a connection to end.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

/// How many at most are turned away at the end; more than any backlog holds.
const MOST_WAITING: usize = 65_536;

/// The next stream.
pub(super) async fn accept(socket: &UnixListener) -> UnixStream {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_about_one(&error) => {}
            Err(error) => {
                tracing::error!(%error, "accept failed; trying again in {OUT_OF_RESOURCES:?}");
                sleep(OUT_OF_RESOURCES).await;
            }
        }
    }
}

/// Concerns one connection, which is gone; the next may be taken at once.
fn is_about_one(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}

/// Accepts and drops those who wait: without it, closing the listener resets them (the reference
/// crashes of that).
pub(super) fn turn_away(socket: &UnixListener) {
    use std::task::{Context, Waker};
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..MOST_WAITING {
        match socket.poll_accept(&mut cx) {
            std::task::Poll::Ready(Ok(_)) => {}
            _ => return,
        }
    }
}
