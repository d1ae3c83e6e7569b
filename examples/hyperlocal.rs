//! "I already use hyper and hyperlocal": a stack on hyperlocal's connector.
//!
//! `cargo run --example hyperlocal`

use std::{convert::Infallible, time::Duration};

use kyneta_uds::{
    BoxError, CborLayer, Client, DocId, FramingLayer, HyperlocalConnector, Identity, Incoming,
    Offer, Server, Version,
};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bus.sock");

    // Only the bottom differs. It connects through hyperlocal, and passes accepted streams through.
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(2))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(HyperlocalConnector::new());

    let echo = service_fn(async |incoming: Incoming| {
        println!(
            "server: {} from {}",
            incoming.message.kind(),
            incoming.peer().identity().peer_id
        );
        incoming.from().ready().await?.call(incoming.message).await
    });
    let server = Server::builder(&path)
        .identity(Identity::service("echo")?)
        .stack(stack.clone())
        .relay(false) // it answers each client itself
        .listen(echo)
        .await?;
    println!("server: listening at {}", path.display());

    let (received, mut inbox) = mpsc::channel(8);
    let mut client = Client::builder(&path)
        .identity(Identity::service("billing-1")?)
        .stack(stack)
        .connect(service_fn(move |incoming: Incoming| {
            let received = received.clone();
            async move {
                let _ = received.send(incoming.message).await;
                Ok::<_, Infallible>(())
            }
        }))
        .await?;
    if let Some(peer) = client.peer() {
        println!("client: connected to {}", peer.identity().peer_id);
    }

    let msg = Offer::binary(DocId::new("invoice")?, Version::new("1")?, vec![7; 100_000]).into();
    client.ready().await?.call(msg).await?;
    let back = inbox.recv().await.ok_or("the connection ended")?;
    println!("client: {} came back", back.kind());

    println!("client: {}", client.dispose().await);
    server.dispose().await;
    println!(
        "server: done, the path is {}",
        if path.exists() { "still there" } else { "free" }
    );
    Ok(())
}
