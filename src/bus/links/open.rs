//! One link of a bus, from its bytes on: both sides say what they speak, then frames pass.
//!
//! In: a byte stream. Out: a link of the hub for as long as the stream lasts. May touch: the stream, the bus.

use std::{future::poll_fn, future::ready, io, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use kyneta_uds_bus::{MachineId, max_frame};
use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{BoxError, Channel, Inbound, Name, SharedError, WireVersion};
use kyneta_uds_framing::{FramingLayer, WireMode};
use kyneta_uds_machines::{LinkIo, MachineName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use super::{
    codec::LinkCodec,
    names::Names,
    outbox::LinkBox,
    pump::{LinkEnd, Pump},
    wire::{LinkHello, LinkWire},
};
use crate::bus::{channel::MAGIC, event::BusEvent, shared::Shared, wire::VERSIONS};

/// How long the other side may take to say what it speaks.
const HELLO: Duration = Duration::from_secs(3);

/// Why a link does not become one of the bus.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkFault {
    #[error("the other machine has said nothing within {HELLO:?}")]
    Silent,
    #[error("the other machine has ended the link")]
    Ended,
    #[error("the link is broken: {0}")]
    Broken(SharedError),
    #[error("the other machine runs no bus: {0}")]
    NoBus(SharedError),
    #[error("the other machine speaks versions {lo} to {hi} of the bus, this one {} to {}", VERSIONS.0, VERSIONS.1)]
    Version { lo: u32, hi: u32 },
    #[error("the other machine's protocol is {theirs:?}, this machine's is {ours:?}")]
    Protocol {
        ours: Vec<String>,
        theirs: Vec<String>,
    },
    #[error("this process does not listen any more")]
    NotListening,
    #[error("a newer link has taken its place")]
    Replaced,
}

impl LinkFault {
    /// True if the next link would end in the same way.
    pub(crate) const fn lasts(&self) -> bool {
        matches!(
            self,
            Self::NoBus(_) | Self::Version { .. } | Self::Protocol { .. }
        )
    }
}

/// Runs the link until it ends, and says why it has ended; `up` is called when frames pass. Of the links to a machine,
/// that with the larger number is the newer one.
///
/// # Errors
/// [`LinkFault`]: it has not become a link of the bus.
pub(crate) async fn run<Io>(
    shared: Arc<Shared>,
    machine: MachineName,
    number: u64,
    io: LinkIo<Io>,
    up: impl FnOnce(Arc<LinkBox>),
) -> Result<LinkEnd, LinkFault>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let once = service_fn(|io: LinkIo<Io>| ready(Ok::<_, io::Error>(io)));
    let framing = FramingLayer::new()
        .wire(WireMode::Fixed(WireVersion::V3))
        .max_frame(max_frame(shared.settings().max_message));
    let stack = CborLayer::with_codec(LinkCodec).layer(framing.layer(once));
    let mut channel = stack.oneshot(io).await.map_err(broken)?;
    let hello = timeout(HELLO, hello(&shared, &mut channel)).await;
    hello.map_err(|_| LinkFault::Silent)??;
    // The name of a machine is shorter than any name.
    let name = Name::new(machine.as_str()).map_err(broken)?;
    let id = MachineId::of_name(name.as_str());
    let outbox = Arc::new(LinkBox::default());
    shared.linked(id, number, outbox.clone())?;
    let pump = Pump {
        number,
        channel,
        names: Names::new(name),
        outbox: outbox.clone(),
        shared: shared.clone(),
        machine: id,
    };
    up(outbox);
    let end = pump.run().await;
    if let LinkEnd::Protocol(error) = &end {
        let error = error.clone();
        shared.events.send(BusEvent::Rejected { error });
    }
    Ok(end)
}

fn broken(error: impl Into<BoxError>) -> LinkFault {
    LinkFault::Broken(SharedError::new(error))
}

/// Says what this side speaks, and hears the other.
async fn hello<C>(shared: &Shared, channel: &mut C) -> Result<(), LinkFault>
where
    C: Channel<LinkWire, In = LinkWire>,
{
    let ours = shared.protocols().to_vec();
    let words = LinkHello {
        bus: MAGIC.to_owned(),
        lo: VERSIONS.0,
        hi: VERSIONS.1,
        protocols: ours.clone(),
    };
    poll_fn(|cx| channel.poll_ready(cx)).await.map_err(broken)?;
    let sent = channel.call(LinkWire::Hello(Box::new(words)));
    sent.await.map_err(broken)?;
    poll_fn(|cx| channel.poll_flush(cx)).await.map_err(broken)?;
    let no_bus = |why: BoxError| Err(LinkFault::NoBus(SharedError::new(why)));
    let theirs = match channel.next().await {
        Some(Ok(Inbound::Message(LinkWire::Hello(hello)))) if hello.bus == MAGIC => hello,
        Some(Ok(Inbound::Rejected(rejection))) => return no_bus(rejection.into()),
        Some(Ok(_)) => return no_bus("its first words are not those of a bus".into()),
        Some(Err(error)) => return Err(broken(error)),
        None => return Err(LinkFault::Ended),
    };
    let LinkHello { lo, hi, .. } = *theirs;
    if lo > VERSIONS.1 || hi < VERSIONS.0 {
        return Err(LinkFault::Version { lo, hi });
    }
    let theirs = theirs.protocols;
    match theirs.iter().any(|of| ours.contains(of)) {
        true => Ok(()),
        false => Err(LinkFault::Protocol { ours, theirs }),
    }
}
