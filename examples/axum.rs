//! "I already have an axum service": its router and a peer in one process, with one graceful shutdown. Each
//! HTTP request becomes a message on the bus.
//!
//! `cargo run --example axum`

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use kyneta_uds::{BoxError, ChannelMsg, DocId, Identity, Incoming, Peer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tower::{Service as _, ServiceExt as _, service_fn};

/// A handle is `Clone`, so it can be the state of an axum router.
async fn dismiss(
    State(mut peer): State<Peer>,
    Path(doc): Path<String>,
) -> Result<String, StatusCode> {
    let doc = DocId::new(doc).map_err(|_| StatusCode::BAD_REQUEST)?;
    let peer = peer
        .ready()
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    match peer.call(ChannelMsg::Dismiss(doc)).await {
        Ok(()) => Ok("sent\n".into()),
        Err(error) if error.may_have_been_sent() => Err(StatusCode::BAD_GATEWAY),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn print(incoming: Incoming) -> Result<(), BoxError> {
    println!("{incoming:?}");
    Ok(())
}

/// The whole service, until `stop`.
async fn service(
    http: TcpListener,
    bus: std::path::PathBuf,
    stop: CancellationToken,
) -> Result<(), BoxError> {
    let print = service_fn(print);
    let peer = Peer::builder(bus)
        .identity(Identity::service("web")?)
        .join(print)
        .await?;
    let router = Router::new()
        .route("/dismiss/{doc}", post(dismiss))
        .with_state(peer.clone());
    // HTTP ends first, so that no request is served without the bus. `axum::serve` takes a UnixListener too.
    axum::serve(http, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    println!("http: done");
    println!("bus: {}", peer.dispose().await); // the last messages are sent first
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bus.sock");
    let stop = CancellationToken::new();

    // Another service on the bus.
    let (received, mut inbox) = mpsc::channel(8);
    let other = Peer::builder(&path)
        .join(service_fn(move |incoming: Incoming| {
            let received = received.clone();
            async move { received.send(incoming).await }
        }))
        .await?;

    let http = TcpListener::bind("127.0.0.1:0").await?;
    let address = http.local_addr()?;
    let running = tokio::spawn(service(http, path, stop.clone()));
    tokio::spawn({
        let stop = stop.clone();
        async move { tokio::signal::ctrl_c().await.map(|()| stop.cancel()) }
    });

    // An HTTP request arrives, and its message is received on the bus.
    let mut socket = TcpStream::connect(address).await?;
    let request = "POST /dismiss/settings HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    println!("{}", answer.lines().next().unwrap_or_default());
    let incoming = inbox.recv().await.ok_or("the bus has ended")?;
    println!(
        "{} says {:?}",
        incoming.peer().identity().peer_id,
        incoming.message
    );

    stop.cancel(); // as Ctrl-C would
    running.await??;
    other.dispose().await;
    Ok(())
}
