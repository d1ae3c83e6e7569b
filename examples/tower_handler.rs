//! "My handler is an ordinary tower service": received messages pass a `ServiceBuilder`, here with a timeout,
//! a limit for all peers together, and load shed when the limit is reached.
//!
//! `cargo run --example tower_handler`

use std::{sync::Arc, time::Duration};

use kyneta_uds::{
    BoxError, ChannelMsg, Client, DocId, Event, Events, Identity, Incoming, Server, SharedError,
};
use tokio::sync::Notify;
use tower::{
    Service as _, ServiceBuilder, ServiceExt as _, load_shed::error::Overloaded, service_fn,
    timeout::error::Elapsed,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bus.sock");
    let (begun, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));

    let work = {
        let (begun, done) = (begun.clone(), done.clone());
        service_fn(move |incoming: Incoming| {
            let (begun, done) = (begun.clone(), done.clone());
            async move {
                begun.notify_one();
                if incoming.message == dismiss("slow")? {
                    std::future::pending::<()>().await; // a database that does not answer
                }
                println!("{incoming:?}");
                done.notify_one();
                Ok::<_, BoxError>(())
            }
        })
    };
    // Each peer has a clone, which handles its messages one after the other. Clones share the limit, as in any
    // tower stack, so it is one limit for all peers.
    let limited = ServiceBuilder::new()
        .load_shed() // fail instead of waiting
        .concurrency_limit(1)
        .timeout(Duration::from_millis(200))
        .service(work);
    // A connection polls the readiness of its handler before it reads, so a silent peer would hold one of the
    // permits. Here each message takes its permit when it is handled.
    let handler = service_fn(move |incoming| limited.clone().oneshot(incoming));

    let server = Server::builder(&path).identity(Identity::service("worker")?);
    let mut events = server.events();
    let server = server.listen(handler).await?;
    let client = async |name| {
        let ignore = service_fn(async |_: Incoming| Ok::<_, BoxError>(()));
        let client = Client::builder(&path).identity(Identity::service(name)?);
        Ok::<_, BoxError>(client.connect(ignore).await?)
    };
    let (mut alice, mut bob) = (client("alice").await?, client("bob").await?);

    alice.ready().await?.call(dismiss("slow")?).await?;
    begun.notified().await; // alice's message is being handled
    bob.ready().await?.call(dismiss("settings")?).await?;

    // An error of the handler is an event; the connection stays open.
    let (peer, error) = failed(&mut events).await?;
    println!("{peer}: {error}");
    assert!(peer == "bob" && error.get_ref().is::<Overloaded>());
    let (peer, error) = failed(&mut events).await?;
    println!("{peer}: {error}");
    assert!(peer == "alice" && error.get_ref().is::<Elapsed>());

    bob.ready().await?.call(dismiss("settings")?).await?;
    done.notified().await;
    server.dispose().await;
    Ok(())
}

fn dismiss(doc: &str) -> Result<ChannelMsg, BoxError> {
    Ok(ChannelMsg::Dismiss(DocId::new(doc)?))
}

/// The next failure of the handler: its sender, and why.
async fn failed(events: &mut Events) -> Result<(String, SharedError), BoxError> {
    while let Some(event) = events.recv().await {
        if let Event::HandlerFailed { peer, error } = event {
            return Ok((peer.identity().peer_id.to_string(), error));
        }
    }
    Err("the server has ended".into())
}
