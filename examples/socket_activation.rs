//! "systemd opens my socket": a server on a listener that was handed over (`LISTEN_FDS`). Its file is
//! the one's who opened it, and is never removed. Without one, it binds the path itself.
//!
//! `cargo run --example socket_activation`: started so, it opens a socket, hands it to itself as
//! systemd would, and is its client.

use std::{
    future::ready,
    io::{BufRead as _, BufReader},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use kyneta_uds::{
    BoxError, ChannelMsg, Client, DocId, Identity, Incoming, Listener, ListenerOptions, serve,
};
use listenfd::ListenFd;
use tokio::sync::Notify;
use tower::{Service as _, ServiceExt as _, make::Shared, service_fn};

/// The server: the socket that was handed over, or its own.
async fn server(path: &Path, handed_over: Option<UnixListener>) -> Result<(), BoxError> {
    let listener = match handed_over {
        Some(socket) => {
            socket.set_nonblocking(true)?; // tokio expects it so
            ListenerOptions::new().adopt(tokio::net::UnixListener::from_std(socket)?)
        }
        None => Listener::bind(path).await?,
    };
    // For the example's sake one message is enough.
    let done = Arc::new(Notify::new());
    let enough = done.clone();
    let print = service_fn(move |incoming: Incoming| {
        println!("server: {incoming:?}");
        enough.notify_one();
        ready(Ok::<_, BoxError>(()))
    });
    serve(listener, Shared::new(print))
        .identity(Identity::service("activated")?)
        .with_graceful_shutdown(async move { done.notified().await })
        .await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    if let Some(path) = std::env::args_os().nth(1) {
        let handed_over = ListenFd::from_env().take_unix_listener(0)?;
        return server(Path::new(&path), handed_over).await;
    }

    // As systemd does it: open the socket, wait for whatever, then start the service with the socket
    // as descriptor 3. Who connects before the service runs waits in the backlog.
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bus.sock");
    let socket = UnixListener::bind(&path)?;
    let mut service = Command::new("sh")
        .args(["-c", r#"LISTEN_PID=$$ exec "$0" "$1" 3<&0 0</dev/null"#])
        .arg(std::env::current_exe()?)
        .arg(&path)
        .env("LISTEN_FDS", "1")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::piped())
        .spawn()?;

    let ignore = service_fn(async |_: Incoming| Ok::<_, BoxError>(()));
    let mut client = Client::builder(&path).connect(ignore).await?;
    let msg = ChannelMsg::Dismiss(DocId::new("settings")?);
    client.ready().await?.call(msg).await?;
    let said = service.stdout.take().ok_or("no output")?;
    for line in BufReader::new(said).lines() {
        println!("{}", line?);
    }
    println!("service: {}", service.wait()?);
    assert!(path.exists(), "the file is not the service's to remove");
    Ok(())
}
