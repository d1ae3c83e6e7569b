//! The layer over in-memory frame transports: what a channel guarantees.
//!
//! A failure shows the bytes on the wire, or the item that was yielded.

// Tests and their helpers panic when they fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use kyneta_uds_cbor::{
    Cbor, CborChannel, CborError, CborLayer, ChannelCodec, EncodeError, SerdeCodec,
};
use kyneta_uds_core::{
    Chain, Channel, ChannelMsg, DocEntry, DocId, Establish, Features, Identity, Inbound, Look,
    MessageRef, Offer, ReplicaType, SchemaHash, Version,
};
use kyneta_uds_framing::{FrameTransport, FramingLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower::{Layer, Service, ServiceExt, service_fn};

type Pair<C> = CborChannel<FrameTransport<DuplexStream>, C>;

async fn connect<C>(layer: CborLayer<C>, stream: DuplexStream) -> Pair<C>
where
    C: kyneta_uds_cbor::Codec + Clone,
{
    let framing = FramingLayer::new().max_frame(1_000);
    let streams = service_fn(|stream| async { Ok::<_, io::Error>(stream) });
    layer
        .layer(framing.layer(streams))
        .oneshot(stream)
        .await
        .unwrap()
}

async fn send(channel: &mut Pair<ChannelCodec>, msg: ChannelMsg) -> Result<(), CborError> {
    channel.ready().await?.call(msg).await?;
    poll_fn(|cx| channel.poll_flush(cx)).await
}

async fn receive<C: kyneta_uds_cbor::Codec>(
    channel: &mut Pair<C>,
) -> Option<Result<Inbound<C::Message>, CborError>> {
    poll_fn(|cx| Pin::new(&mut *channel).poll_next(cx)).await
}

fn present(doc: &str, hash: &str) -> ChannelMsg {
    let replica = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let hash = SchemaHash::new(hash).unwrap();
    ChannelMsg::Present(vec![DocEntry::new(DocId::new(doc).unwrap(), replica, hash)])
}

fn offer(doc: &str, len: usize) -> ChannelMsg {
    let doc = DocId::new(doc).unwrap();
    ChannelMsg::Offer(Offer::binary(
        doc,
        Version::new("1").unwrap(),
        Bytes::from(vec![7; len]),
    ))
}

fn establish() -> ChannelMsg {
    let establish = Establish::new(Identity::service("a").unwrap());
    ChannelMsg::Establish(establish.features(Features::aliasing()))
}

#[tokio::test]
async fn connections_of_one_layer_have_their_own_aliases() {
    let layer = CborLayer::new();
    for _ in 0..2 {
        let (a, b) = tokio::io::duplex(4_096);
        let mut a = connect(layer.clone(), a).await;
        let mut b = connect(layer.clone(), b).await;
        send(&mut a, establish()).await.unwrap();
        send(&mut b, establish()).await.unwrap();
        assert_eq!(
            receive(&mut a).await.unwrap().unwrap(),
            Inbound::Message(establish())
        );
        assert_eq!(
            receive(&mut b).await.unwrap().unwrap(),
            Inbound::Message(establish())
        );
        for msg in [present("d", "h"), offer("d", 10), ChannelMsg::Depart] {
            send(&mut a, msg.clone()).await.unwrap();
            assert_eq!(
                receive(&mut b).await.unwrap().unwrap(),
                Inbound::Message(msg)
            );
        }
        poll_fn(|cx| a.poll_close(cx)).await.unwrap();
        assert!(receive(&mut b).await.is_none());
    }
}

#[tokio::test]
async fn a_message_over_the_limit_fails_alone_and_announces_nothing() {
    let (a, b) = tokio::io::duplex(4_096);
    let (mut a, mut b) = (
        connect(CborLayer::new(), a).await,
        connect(CborLayer::new(), b).await,
    );
    for (from, to) in [(&mut a, &mut b)] {
        send(from, establish()).await.unwrap();
        send(to, establish()).await.unwrap();
        receive(from).await.unwrap().unwrap();
        receive(to).await.unwrap().unwrap();
    }
    let refused = send(&mut a, offer("d", 2_000)).await.unwrap_err();
    let CborError::Encode(EncodeError::TooLarge {
        size: 2_027,
        limit: 1_000,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    // Too many documents for a frame: none of them has an alias afterwards.
    let ChannelMsg::Present(mut docs) = present("d", "h") else {
        panic!()
    };
    docs.extend((0..100).flat_map(|i| match present(&format!("d{i}"), "h") {
        ChannelMsg::Present(docs) => docs,
        _ => Vec::new(),
    }));
    assert!(send(&mut a, ChannelMsg::Present(docs)).await.is_err());
    for msg in [
        offer("d", 1),
        present("e", "h"),
        offer("e", 1),
        offer("d7", 1),
    ] {
        send(&mut a, msg.clone()).await.unwrap();
        assert_eq!(
            receive(&mut b).await.unwrap().unwrap(),
            Inbound::Message(msg)
        );
    }
}

#[tokio::test]
async fn a_bad_message_is_rejected_and_the_connection_stays_open() {
    let (mut raw, b) = tokio::io::duplex(4_096);
    let mut b = connect(CborLayer::new(), b).await;
    raw.write_all(b"\x02\x00\x00\x00\x00\x01\xff\x02\x09\x00\x00\x00\x00")
        .await
        .unwrap();
    raw.write_all(b"\x02\x00\x00\x00\x00\x04\xa1\x61t\x02")
        .await
        .unwrap();
    let mut codes = Vec::new();
    for _ in 0..2 {
        match receive(&mut b).await.unwrap().unwrap() {
            Inbound::Rejected(rejection) => codes.push(rejection.code()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(codes, ["decode-failed", "reassembly-failed"]);
    assert_eq!(
        receive(&mut b).await.unwrap().unwrap(),
        Inbound::Message(ChannelMsg::Depart)
    );
    // An invalid header ends the connection; the source is the frame transport's error.
    raw.write_all(b"\x02\x00\xff\xff\xff\xff").await.unwrap();
    let error = receive(&mut b).await.unwrap().unwrap_err();
    assert!(matches!(error, CborError::Transport(_)));
    let text = Chain(&error).to_string();
    assert!(text.contains("4294967295"), "{text}");
}

#[tokio::test]
async fn any_serde_type_is_a_message() {
    let (a, b) = tokio::io::duplex(4_096);
    let layer = CborLayer::typed::<(u8, String)>();
    let (mut a, mut b) = (connect(layer.clone(), a).await, connect(layer, b).await);
    let msg = (7, "seven".to_owned());
    a.ready().await.unwrap().call(msg.clone()).await.unwrap();
    assert!(a.buffered() > 0);
    poll_fn(|cx| a.poll_flush(cx)).await.unwrap();
    assert_eq!(a.buffered(), 0);
    assert_eq!(
        receive(&mut b).await.unwrap().unwrap(),
        Inbound::Message(msg)
    );
    assert_eq!(b.connection().wire, a.connection().wire);
}

#[tokio::test]
async fn a_sent_message_has_the_bytes_of_the_protocol() {
    let (a, mut raw) = tokio::io::duplex(4_096);
    let mut a = connect(CborLayer::new(), a).await;
    send(&mut a, ChannelMsg::Depart).await.unwrap();
    let mut frame = [0; 14];
    raw.read_exact(&mut frame).await.unwrap();
    assert_eq!(
        &frame,
        b"\x03\x00\x00\x00\x00\x04\x00\x00\x00\x01\xa1\x61t\x02"
    );
}

#[test]
fn auto_traits() {
    const fn all<T: Send + Sync + Unpin>() {}
    const fn sendable<T: Send>() {}
    all::<CborLayer>();
    all::<Cbor<(), ChannelCodec>>();
    all::<Pair<ChannelCodec>>();
    all::<Pair<SerdeCodec<std::rc::Rc<u8>>>>();
    all::<CborError>();
    fn future<F: Future + Send>(_: &F) {}
    let (a, _b) = tokio::io::duplex(1);
    future(&connect(CborLayer::new(), a));
    sendable::<kyneta_uds_cbor::CborFuture<std::future::Ready<()>, ChannelCodec>>();
}

/// Keeps what it is shown, up to so many at a time.
struct Few<'a>(&'a mut Vec<ChannelMsg>, usize);

impl Look<ChannelMsg> for Few<'_> {
    fn more(&self) -> bool {
        self.1 > 0
    }

    fn look(&mut self, msg: MessageRef<'_>) {
        self.1 -= 1;
        self.0.push(msg.to_message());
    }
}

#[tokio::test]
async fn what_is_shown_and_what_is_yielded_are_all_in_order_wherever_it_is_cut() {
    let mut random = 1_u64;
    let mut below = move |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % bound
    };
    for _ in 0..30 {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut sender = connect(CborLayer::new(), near).await;
        let mut sent = vec![establish(), present("d", "h")];
        for n in 0..60 {
            sent.push(match below(6) {
                0 => ChannelMsg::Dismiss(DocId::new(format!("{n}")).unwrap()),
                1 => offer(&format!("e{n}"), below(300)),
                _ => offer("d", below(300)),
            });
        }
        for msg in &sent {
            send(&mut sender, msg.clone()).await.unwrap();
        }
        drop(sender);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();

        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut receiver = connect(CborLayer::new(), near).await;
        let (mut got, mut shown, mut rest) = (Vec::new(), 0, &bytes[..]);
        while got.len() < sent.len() {
            let cut = (1 + below(700)).min(rest.len());
            far.write_all(&rest[..cut]).await.unwrap();
            rest = &rest[cut..];
            // Until nothing is left of it.
            loop {
                let before = got.len();
                let most = below(5);
                let looked = receiver.look(&mut Few(&mut got, most));
                shown += got.len() - before;
                assert!(got.len() - before <= most);
                if let Some(Inbound::Message(msg)) = looked {
                    got.push(msg);
                }
                let next = Pin::new(&mut receiver);
                match next.poll_next(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(Some(Ok(Inbound::Message(msg)))) => got.push(msg),
                    Poll::Pending => break,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(got, sent);
        assert!(shown > 5, "{shown}");
    }
}
