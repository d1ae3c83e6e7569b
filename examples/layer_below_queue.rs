//! "My layer needs to know the peer of each message": it stands between the handshake, which knows the peer,
//! and the queue, and adds the peer's id to each received message, so the handler gets it.
//!
//! `cargo run --example layer_below_queue`

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds::{
    Admission, BoxError, CborLayer, Channel, ChannelMsg, ConnectionInfo, DisconnectReason, DocId,
    Established, FramingLayer, HandshakeLayer, Identity, Inbound, Listener, Message, PeerId,
    QueueLayer, SocketPath, UnixConnector, UnixTarget, WireVersion,
};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

/// What the handler gets instead of a bare message.
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

/// The layer's channel: it sends `ChannelMsg`, and yields [`Signed`].
#[derive(Debug)]
struct Signing<C>(Established<C>);

/// In: each message with the id that the peer has sent in the handshake.
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

/// Out: unchanged.
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

/// The rest is passed to the channel below. No method has a default: one that is forgotten does not compile.
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = SocketPath::new(dir.path().join("bus.sock"))?;
    let mut listener = Listener::bind(path.clone()).await?;
    let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
    let stack = |name| {
        let seen = seen.clone();
        let handler = service_fn(move |signed: Signed| {
            let seen = seen.clone();
            async move { seen.send(signed).await }
        });
        Ok::<_, BoxError>(
            ServiceBuilder::new()
                .layer(QueueLayer::inbound(handler)) // the handler's messages are those of `Signing`
                .map_response(Signing) // the layer: a channel becomes another channel
                .layer(HandshakeLayer::new(Identity::service(name)?))
                .layer(CborLayer::new())
                .layer(FramingLayer::new())
                .service(UnixConnector::new()),
        )
    };
    let connecting = stack("billing-1")?.oneshot(path.into());
    let hub = stack("hub")?;
    let accepting = async {
        let (stream, _permit) = listener.accept().await;
        hub.oneshot(UnixTarget::Accepted(stream)).await
    };
    let (mut billing, mut hub) = tokio::try_join!(connecting, accepting)?;

    for handle in [&mut billing, &mut hub] {
        let msg = ChannelMsg::Dismiss(DocId::new("settings")?);
        handle.ready().await?.call(msg).await?;
        let signed = inbox.recv().await.ok_or("no message")?;
        println!("from {}: {:?}", signed.from, signed.msg);
    }
    Ok(())
}
