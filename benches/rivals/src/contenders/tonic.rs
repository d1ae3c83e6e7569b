//! tonic: gRPC over HTTP/2. One-way work is one client-streaming call, the rest a bidirectional one.

use std::path::Path;

use futures::stream;
use tokio::{
    net::UnixListener,
    sync::mpsc::{self, Sender},
};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Server},
};

use super::{Contender, Facts, gone};
use crate::{
    BoxError,
    link::{Duplex, Link},
    offer::Offer,
    works::{IN_FLIGHT, Pace, Task},
};

/// What build.rs made.
#[allow(clippy::all, unreachable_pub)]
mod made {
    tonic::include_proto!("rivals.Bus");
}

use made::{
    bus_client::BusClient,
    bus_server::{Bus, BusServer},
};

pub(super) struct Tonic;

impl Contender for Tonic {
    const FACTS: Facts = Facts {
        name: "tonic",
        title: "tonic",
        package: "tonic",
        note: "prost messages; stream and bulk are one client-streaming call, rtt and pipe one \
               bidirectional call",
        pace: Pace {
            one_way: 4e6,
            piped: 600e3,
            bytes: 1.5e9,
        },
    };

    async fn serve(path: &Path, _: Task, ready: fn()) -> Result<(), BoxError> {
        let listener = UnixListener::bind(path)?;
        ready();
        let incoming = UnixListenerStream::new(listener);
        let router = Server::builder().add_service(BusServer::new(Hub));
        Ok(router.serve_with_incoming(incoming).await?)
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        let mut client = BusClient::connect(format!("unix://{}", path.display())).await?;
        let (outbound, queue) = mpsc::channel(IN_FLIGHT as usize);
        let response = client.exchange(ReceiverStream::new(queue)).await?;
        let exchange = Exchange {
            outbound,
            inbound: response.into_inner(),
            offer: Offer::of(task),
        };
        Ok(Calls { client, exchange })
    }
}

struct Hub;

#[tonic::async_trait]
impl Bus for Hub {
    type ExchangeStream = Streaming<Offer>;

    async fn exchange(
        &self,
        request: Request<Streaming<Offer>>,
    ) -> Result<Response<Streaming<Offer>>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn push(&self, request: Request<Streaming<Offer>>) -> Result<Response<Offer>, Status> {
        let mut offers = request.into_inner();
        let mut last = Offer::default();
        while let Some(offer) = offers.message().await? {
            last = offer;
        }
        Ok(Response::new(last))
    }
}

struct Calls {
    client: BusClient<Channel>,
    exchange: Exchange,
}

impl Link for Calls {
    async fn round_trips(&mut self, count: u64, window: u64) -> Result<(), BoxError> {
        self.exchange.round_trips(count, window).await
    }

    async fn one_way(&mut self, count: u64) -> Result<(), BoxError> {
        let offers = std::iter::repeat_n(self.exchange.offer.clone(), count as usize);
        self.client.push(stream::iter(offers)).await?;
        Ok(())
    }
}

/// The bidirectional call, open all the while.
struct Exchange {
    outbound: Sender<Offer>,
    inbound: Streaming<Offer>,
    offer: Offer,
}

impl Duplex for Exchange {
    async fn feed(&mut self) -> Result<(), BoxError> {
        Ok(self.outbound.send(self.offer.clone()).await?)
    }

    async fn flush(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn back(&mut self) -> Result<u64, BoxError> {
        self.inbound.message().await?.ok_or_else(gone)?;
        Ok(1)
    }
}
