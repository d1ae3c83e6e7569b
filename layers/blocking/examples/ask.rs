//! "My program has no async runtime": it asks a server for a document and waits for the answer.
//!
//! `cargo run -p kyneta-uds-blocking --example ask`

use std::{error::Error, sync::mpsc, thread, time::Duration};

use kyneta_uds::{BoxError, Incoming, Server};
use kyneta_uds_blocking::Client;
use kyneta_uds_core::{ChannelMsg, DocId, Identity, Interest, Offer, SocketPath, Version};
use tower::service_fn;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let dir = tempfile::tempdir()?;
    let path = SocketPath::new(dir.path().join("bus.sock"))?;
    let (started, ready) = mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = thread::spawn({
        let path = path.clone();
        move || serve(path, &started, ended)
    });
    ready.recv()?;

    let limit = Some(Duration::from_secs(1));
    let mut client = Client::builder(path, Identity::service("reader")?).connect()?;
    let doc = DocId::new("settings")?;
    let ask = ChannelMsg::from(Interest::new(doc.clone()));
    let is_answer = |msg: &ChannelMsg| matches!(msg, ChannelMsg::Offer(offer) if offer.doc == doc);
    println!("{:?}", client.request(&ask, is_answer, limit)?);
    client.leave()?;

    drop(end);
    server.join().map_err(|_| "the server has panicked")?
}

/// In another program, as a rule. It answers an interest with an offer.
#[tokio::main(flavor = "current_thread")]
async fn serve(
    path: SocketPath,
    started: &mpsc::Sender<()>,
    ended: tokio::sync::oneshot::Receiver<()>,
) -> Result<(), BoxError> {
    let answer = service_fn(async |incoming: Incoming| {
        if let ChannelMsg::Interest(interest) = &incoming.message {
            let version = Version::new("1")?;
            let offer = Offer::binary(interest.doc.clone(), version, b"dark mode".to_vec());
            incoming.from().queue(offer.into()).await?;
        }
        Ok::<(), BoxError>(())
    });
    let server = Server::builder(path).listen(answer).await?;
    started.send(())?;
    let _ = ended.await;
    server.dispose().await;
    Ok(())
}
