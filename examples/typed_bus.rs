//! "I have my own message type, not kyneta's": an enum with serde's derives on a bus where everyone hears everyone, one
//! is asked, and it is known which members are there. The process that starts first listens; when it ends, another takes
//! over, and no message is lost.
//!
//! `cargo run --example typed_bus`

use std::path::Path;

use kyneta_uds::{BoxError, Bus, BusIncoming, Identity};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceExt as _, service_fn};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Price { article: u64, cents: u32 },
    HowMany { article: u64 },
    Left(u32),
    Picture(#[serde(with = "serde_bytes")] Vec<u8>), // bytes, not an array of numbers
}

/// A member of the bus, and what it hears.
struct Member {
    bus: Bus<Event>,
    inbox: mpsc::Receiver<Event>,
}

async fn member(path: &Path, id: &str) -> Result<Member, BoxError> {
    let (heard, inbox) = mpsc::channel(8);
    let handler = service_fn(move |incoming: BusIncoming<Event>| {
        let heard = heard.clone();
        async move {
            match incoming.request {
                Some(request) => request.answer(&Event::Left(3))?,
                None => heard.send(incoming.message).await?,
            }
            Ok::<_, BoxError>(())
        }
    });
    let bus = Bus::builder(path)
        .identity(Identity::service(id)?)
        .protocol("shop/1") // a member with another one is refused, with both names
        .join(handler)
        .await?;
    Ok(Member { bus, inbox })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bus.sock");
    let shop = member(&path, "shop").await?;
    let mut till = member(&path, "till").await?;
    let mut stock = member(&path, "stock").await?;
    println!("shop: {}, till: {}", shop.bus.role(), till.bus.role());

    // To all; ready when each of them has it, or has left and is named.
    let price = Event::Price {
        article: 7,
        cents: 499,
    };
    let delivered = till.bus.ready().await?.call(price.clone()).await?;
    assert!(delivered.missed.is_empty());
    assert_eq!(stock.inbox.recv().await, Some(price));

    // One is asked.
    let how_many = Event::HowMany { article: 7 };
    let answer = till.bus.member("stock")?.request(how_many).await?;
    println!("stock answers {answer:?}");

    // The listener leaves. What is published meanwhile arrives all the same.
    let picture = Event::Picture(vec![0xff; 100_000]);
    let sending = till.bus.ready().await?.call(picture.clone());
    shop.bus.dispose().await;
    sending.await?;
    assert_eq!(stock.inbox.recv().await, Some(picture));
    println!("till: {}, stock: {}", till.bus.role(), stock.bus.role());
    Ok(())
}
