//! "I have my own message type, not kyneta's": an enum with serde's derives over the same layers, for services
//! without a leader. The process that starts first listens; when it ends, another takes over.
//!
//! `cargo run --example typed_bus`

use kyneta_uds::{
    BoxError, CborLayer, FramingLayer, Handle, Message, NegotiateLayer, QueueLayer, Role,
    RoleWatch, SocketPath, UnixConnector, join,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Started { service: String },
    Price { article: u64, cents: u32 },
    Picture(#[serde(with = "serde_bytes")] Vec<u8>), // bytes, not an array of numbers
}

impl Message for Event {
    /// What a queue counts against its bound in bytes.
    fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Started { service } => service.len(),
                Self::Price { .. } => 0,
                Self::Picture(bytes) => bytes.len(),
            }
    }
}

/// A member of the bus: a handle to send with, received messages, and its role.
struct Member {
    send: Handle<Event>,
    inbox: mpsc::Receiver<Event>,
    roles: RoleWatch,
}

async fn member(path: &SocketPath) -> Result<Member, BoxError> {
    let (seen, inbox) = mpsc::channel(8);
    let handler = service_fn(move |event: Event| {
        let seen = seen.clone();
        async move { seen.send(event).await }
    });
    let negotiate = NegotiateLayer::new(handler.clone()); // for accepted connections
    let roles = negotiate.role_watch();
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(handler)) // for the connection that we make
        .layer(negotiate)
        .layer(CborLayer::typed::<Event>()) // without a HandshakeLayer, whose messages are kyneta's
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let send = join(stack, path.clone()).await?;
    roles.settled().await?;
    Ok(Member { send, inbox, roles })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = SocketPath::new(dir.path().join("bus.sock"))?;
    let (mut shop, mut till) = (member(&path).await?, member(&path).await?);
    println!("shop: {}, till: {}", shop.roles.role(), till.roles.role());

    let started = Event::Started {
        service: "till".into(),
    };
    till.send.ready().await?.call(started).await?;
    println!("shop got {:?}", shop.inbox.recv().await);

    let price = Event::Price {
        article: 7,
        cents: 499,
    };
    shop.send.ready().await?.call(price.clone()).await?;
    assert_eq!(till.inbox.recv().await, Some(price));

    // The listener leaves, another process joins.
    shop.send.close();
    println!("shop: {}", shop.send.closed().await);
    till.roles.wait_for(|role| role == Role::Listener).await;
    println!("till: {}", till.roles.role());
    let mut stock = member(&path).await?;
    let picture = Event::Picture(vec![0xff; 100_000]);
    stock.send.ready().await?.call(picture.clone()).await?;
    assert_eq!(till.inbox.recv().await, Some(picture));
    Ok(())
}
