//! tarpc: calls only, no one-way messages.
//!
//! In: a path, a task. Out: a server or a client. Each one-way message is a call whose answer is awaited, since it
//! has no other kind.

use std::{future::ready as at_once, path::Path};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tarpc::{
    client::{Config, RpcError},
    context::{self, Context},
    serde_transport::unix,
    server::{BaseChannel, Channel as _},
    tokio_serde::formats::Bincode,
};

use super::{Contender, Facts, gone};
use crate::{
    BoxError,
    link::Link,
    offer::Offer,
    works::{IN_FLIGHT, Pace, Task},
};

pub(super) struct Tarpc;

impl Contender for Tarpc {
    const FACTS: Facts = Facts {
        name: "tarpc",
        title: "tarpc",
        package: "tarpc",
        note: "RPC, bincode: has nothing that goes one way, so stream and bulk are calls with 64 \
               in flight that return nothing",
        pace: Pace {
            one_way: 200e3,
            piped: 200e3,
            bytes: 800e6,
        },
    };

    async fn serve(path: &Path, _: Task, ready: fn()) -> Result<(), BoxError> {
        let mut listener = unix::listen(path, Bincode::default).await?;
        ready();
        let transport = listener.next().await.ok_or_else(gone)??;
        BaseChannel::with_defaults(transport)
            .execute(Hub.serve())
            .for_each(|response| {
                tokio::spawn(response);
                at_once(())
            })
            .await;
        Ok(())
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        let transport = unix::connect(path, Bincode::default).await?;
        Ok(Caller {
            client: BusClient::new(Config::default(), transport).spawn(),
            offer: Offer::of(task),
        })
    }
}

#[tarpc::service]
trait Bus {
    async fn exchange(offer: Offer) -> Offer;
    async fn push(offer: Offer);
}

#[derive(Clone)]
struct Hub;

impl Bus for Hub {
    async fn exchange(self, _: Context, offer: Offer) -> Offer {
        offer
    }

    async fn push(self, _: Context, _: Offer) {}
}

struct Caller {
    client: BusClient,
    offer: Offer,
}

impl Link for Caller {
    async fn round_trips(&mut self, count: u64, window: u64) -> Result<(), BoxError> {
        let call = |_| self.client.exchange(context::current(), self.offer.clone());
        all(stream::iter(0..count)
            .map(call)
            .buffer_unordered(window as usize))
        .await
    }

    async fn one_way(&mut self, count: u64) -> Result<(), BoxError> {
        let call = |_| self.client.push(context::current(), self.offer.clone());
        all(stream::iter(0..count)
            .map(call)
            .buffer_unordered(IN_FLIGHT as usize))
        .await
    }
}

/// Waits for all calls.
async fn all<T>(calls: impl stream::Stream<Item = Result<T, RpcError>>) -> Result<(), BoxError> {
    Ok(calls.try_for_each(|_| at_once(Ok(()))).await?)
}
