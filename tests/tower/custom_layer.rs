//! A layer of a user between the handshake and the queue: it adds the sender to each received message.

use std::{
    convert::Infallible,
    future::ready,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds::{
    Admission, CborLayer, Channel, ChannelMsg, ConnectionInfo, DisconnectReason, Established,
    FramingLayer, HandshakeLayer, Inbound, Listener, Message, PeerId, QueueLayer, SocketPath,
    UnixConnector, UnixTarget, WireVersion,
};
use tokio::sync::mpsc;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

use crate::support::{Bus, dismiss, service};

/// A message and its sender.
#[derive(Debug)]
struct Signed {
    from: PeerId,
    msg: ChannelMsg,
}

impl Message for Signed {
    fn size(&self) -> usize {
        self.msg.size()
    }
}

/// A channel that yields [`Signed`] messages.
#[derive(Debug)]
struct Signing<C>(Established<C>);

impl<C: Channel<ChannelMsg>> Service<ChannelMsg> for Signing<C> {
    type Response = ();
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, msg: ChannelMsg) -> C::Future {
        self.0.call(msg)
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> Stream for Signing<C> {
    type Item = Result<Inbound<Signed>, C::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.0).poll_next(cx);
        polled.map_ok(|inbound| {
            inbound.map(|msg| Signed {
                from: self.0.peer().identity().peer_id.clone(),
                msg,
            })
        })
    }
}

/// Everything but [`In`](Channel::In) is passed to the inner channel.
impl<C: Channel<ChannelMsg, In = ChannelMsg>> Channel<ChannelMsg> for Signing<C> {
    type In = Signed;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_close(cx)
    }

    fn buffered(&self) -> usize {
        self.0.buffered()
    }

    fn connection(&self) -> ConnectionInfo {
        self.0.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.0.begin_with(wire)
    }

    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), C::Error>> {
        self.0.poll_admission(cx, admission)
    }

    fn worked(&self) -> u64 {
        self.0.worked()
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.0.lost()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        self.0.interrupt(reason)
    }
}

#[tokio::test]
async fn a_layer_between_handshake_and_queue_adds_the_sender_to_each_message() {
    let bus = Bus::new();
    let mut listener = Listener::bind(&bus.path).await.unwrap();
    let (seen, mut inbox) = mpsc::unbounded_channel();
    let stack = |name| {
        let seen = seen.clone();
        let handler = service_fn(move |signed: Signed| {
            let _ = seen.send(signed);
            ready(Ok::<(), Infallible>(()))
        });
        ServiceBuilder::new()
            .layer(QueueLayer::inbound(handler))
            .map_response(Signing)
            .layer(HandshakeLayer::new(service(name)))
            .layer(CborLayer::new())
            .layer(FramingLayer::new())
            .service(UnixConnector::new())
    };
    let connecting = stack("alice").oneshot(SocketPath::new(&bus.path).unwrap().into());
    let accepting = async {
        let (stream, _permit) = listener.accept().await;
        stack("bob").oneshot(UnixTarget::Accepted(stream)).await
    };
    let (mut alice, mut bob) = tokio::try_join!(connecting, accepting).unwrap();
    for (handle, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        handle.queue(dismiss(name)).await.unwrap();
        let signed = inbox.recv().await.unwrap();
        assert_eq!((signed.from.as_str(), signed.msg), (name, dismiss(name)));
    }
}
