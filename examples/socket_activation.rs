//! "systemd opens my socket": a server on a listener that it inherits (`LISTEN_FDS`). The socket file belongs
//! to the process that opened it, and is never removed here. Without one, it binds the path itself.
//!
//! `cargo run --example socket_activation`: without arguments it opens a socket, starts itself with it as
//! systemd would, and connects as a client.

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

/// The server, on the inherited socket or on its own.
async fn server(path: &Path, handed_over: Option<UnixListener>) -> Result<(), BoxError> {
    let listener = match handed_over {
        Some(socket) => {
            socket.set_nonblocking(true)?; // tokio requires it
            ListenerOptions::new().adopt(tokio::net::UnixListener::from_std(socket)?)
        }
        None => Listener::bind(path).await?,
    };
    // One message is enough for the example.
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

    // As systemd does: open the socket, and later start the service with it as descriptor 3. Connections
    // that are made before the service runs wait in the backlog of the socket.
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
