//! Accepting that never dies, after axum and hyper-util.
//!
//! In: a listening socket. Out: accepted streams; at the end, those who still wait are turned away in
//! order. May touch: the socket, tokio's clock.

use std::{
    io::{self, Read as _},
    net::Shutdown,
    time::Duration,
};

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

/// Ends those who wait in order: without it, closing the listener resets them (the reference
/// crashes of that).
pub(super) fn turn_away(socket: UnixListener) {
    // Asked directly: what tokio has not been told of yet waits just as well.
    let Ok(socket) = socket.into_std() else {
        return;
    };
    for _ in 0..MOST_WAITING {
        match socket.accept() {
            Ok((stream, _)) => end(stream),
            Err(error) if error.kind() == io::ErrorKind::Interrupted || is_about_one(&error) => {}
            Err(_) => return,
        }
    }
}

/// Reads what nobody will hear: a socket that is closed with words unread resets the other end.
/// Shut down first, so that no more can come and reading does not wait.
fn end(mut stream: std::os::unix::net::UnixStream) {
    let mut unread = [0; 4096];
    if stream.shutdown(Shutdown::Both).is_ok() {
        while matches!(stream.read(&mut unread), Ok(1..)) {}
    }
}
