//! Ends of a pipe as channels and handles, so that tests need no socket and can pause time.

use std::{convert::Infallible, future::ready, time::Duration};

use futures_util::StreamExt as _;
use kyneta_uds::{
    CborChannel, CborLayer, ChannelCodec, ChannelMsg, FrameTransport, FramingLayer, Handle,
    Inbound, QueueConfig, QueueLayer,
};
use tokio::{io::DuplexStream, sync::mpsc, time::timeout};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneService};

/// Puts messages into a channel.
pub(crate) fn inbox<M: Send + 'static>() -> (
    BoxCloneService<M, (), Infallible>,
    mpsc::UnboundedReceiver<M>,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = service_fn(move |msg| {
        let _ = sender.send(msg);
        ready(Ok(()))
    });
    (BoxCloneService::new(handler), receiver)
}

/// The bottom of a stack over pipes: the target is the stream.
pub(crate) fn pipes()
-> impl Service<DuplexStream, Response = DuplexStream, Error = Infallible, Future: Send> + Clone {
    service_fn(|io| ready(Ok(io)))
}

pub(crate) type End = CborChannel<FrameTransport<DuplexStream>, ChannelCodec>;

/// An end of a pipe that is read and written by hand.
pub(crate) async fn by_hand(io: DuplexStream) -> End {
    let stack = ServiceBuilder::new()
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(pipes());
    stack.oneshot(io).await.unwrap()
}

/// An end of a pipe with a queue.
pub(crate) async fn queued(io: DuplexStream, config: QueueConfig) -> Handle<ChannelMsg> {
    let ignore = service_fn(|_: ChannelMsg| ready(Ok::<_, Infallible>(())));
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(ignore).config(config))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(pipes());
    stack.oneshot(io).await.unwrap()
}

pub(crate) async fn receive(end: &mut End) -> ChannelMsg {
    match timeout(Duration::from_secs(60), end.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
    {
        Inbound::Message(msg) => msg,
        rejected => panic!("{rejected:?}"),
    }
}

/// A size that fills the pipe and the write buffer at once.
pub(crate) const LARGE: usize = 128 << 10;
