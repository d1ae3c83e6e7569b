//! The client of kyneta-uds for programs without a runtime, at the server of kyneta-uds.
//!
//! Its calls block the thread that measures, which has nothing else to do.

use std::path::Path;

use kyneta_uds::{
    ChannelMsg, DocEntry, DocId, Identity, Offer, ReplicaType, SchemaHash, SocketPath, Version,
};
use kyneta_uds_blocking::Client;

use super::{Contender, Facts, ours::Ours};
use crate::{
    BoxError,
    link::{Duplex, Link},
    offer::{DOC, VERSION},
    works::Task,
};

pub(super) struct Blocking;

impl Contender for Blocking {
    const FACTS: Facts = Facts {
        name: "blocking",
        title: "**kyneta-uds-blocking**",
        package: "kyneta-uds-blocking",
        note: "the same offers, by a client without a runtime, whose calls block; the server is that of kyneta-uds",
        pace: Ours::FACTS.pace,
    };

    async fn serve(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError> {
        Ours::serve(path, task, ready).await
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        let identity = Identity::service("client")?;
        let mut client = Client::builder(SocketPath::new(path)?, identity).connect()?;
        let replica = ReplicaType::new("bench", 1.0, 0.0)?;
        let entry = DocEntry::new(DocId::new(DOC)?, replica, SchemaHash::new("00")?);
        client.send(&ChannelMsg::Present(vec![entry]), None)?;
        let offer = Offer::binary(DocId::new(DOC)?, Version::new(VERSION)?, task.data()).delta();
        let offer = offer.into();
        Ok(Measured { client, offer })
    }
}

struct Measured {
    client: Client,
    offer: ChannelMsg,
}

impl Duplex for Measured {
    async fn feed(&mut self) -> Result<(), BoxError> {
        Ok(self.client.queue(&self.offer, None)?)
    }

    async fn flush(&mut self) -> Result<(), BoxError> {
        Ok(self.client.flush(None)?)
    }

    async fn back(&mut self) -> Result<u64, BoxError> {
        self.client.recv(None)?;
        Ok(1)
    }
}
