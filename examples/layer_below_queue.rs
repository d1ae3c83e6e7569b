//! "My layer needs to know the peer of each message": it stands between the handshake, which knows the peer,
//! and the queue, and adds the peer's id to each received message, so the handler gets it. Its test is below `main`.
//!
//! `cargo run --example layer_below_queue`, and `cargo test --example layer_below_queue`

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

/// The rest is passed to the channel below. No method has a default, so one that is forgotten does not compile;
/// but `call_many` has: without it each message passes `call`, as before.
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
    for Signed { from, msg } in exchange(["billing-1", "hub"]).await? {
        println!("from {from}: {msg:?}");
    }
    Ok(())
}

/// In: the ids of the connecting and the accepting end. Each sends a dismissal of the document that has its name.
/// Out: what the handlers got.
async fn exchange([connecting, accepting]: [&str; 2]) -> Result<Vec<Signed>, BoxError> {
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
    let connected = stack(connecting)?.oneshot(path.into());
    let hub = stack(accepting)?;
    let accepted = async {
        let (stream, _permit) = listener.accept().await;
        hub.oneshot(UnixTarget::Accepted(stream)).await
    };
    let (mut connected, mut accepted) = tokio::try_join!(connected, accepted)?;

    let mut received = Vec::new();
    for (handle, name) in [(&mut connected, connecting), (&mut accepted, accepting)] {
        let msg = ChannelMsg::Dismiss(DocId::new(name)?);
        handle.ready().await?.call(msg).await?;
        received.push(inbox.recv().await.ok_or("no message")?);
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_layer_between_handshake_and_queue_adds_the_sender_to_each_message() {
        let received = exchange(["alice", "bob"]).await.unwrap();
        assert_eq!(received.len(), 2);
        for (signed, name) in received.into_iter().zip(["alice", "bob"]) {
            let dismiss = ChannelMsg::Dismiss(DocId::new(name).unwrap());
            assert_eq!((signed.from.as_str(), signed.msg), (name, dismiss));
        }
    }
}
