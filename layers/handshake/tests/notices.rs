//! Missing and repeated frames are reported through the layer.

use futures_util::StreamExt as _;
use kyneta_uds_cbor::{CborLayer, ChannelCodec, Codec as _};
use kyneta_uds_core::{
    Channel as _, ChannelMsg, DocId, Establish, Identity, Inbound, Notice, Redial, WriteBuf,
};
use kyneta_uds_framing::FramingLayer;
use kyneta_uds_handshake::HandshakeLayer;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

struct Accepted(DuplexStream);

impl Redial for Accepted {
    fn redial(&self) -> Option<Self> {
        None
    }
}

/// A message as a frame of wire version 3.
fn frame(seq: u32, msg: &ChannelMsg) -> Vec<u8> {
    let mut buf = WriteBuf::default();
    let encoded = ChannelCodec::new().encode(msg, &mut buf.writer());
    assert!(encoded.is_ok());
    let payload = buf.front();
    let len = (payload.len() as u32).to_be_bytes();
    [&[3, 0], &len[..], &seq.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn missing_and_repeated_frames_are_reported_in_order() {
    let (ours, mut theirs) = duplex(1 << 12);
    let identity = |name| Identity::service(name).expect("short enough");
    let doc = |name| ChannelMsg::Dismiss(DocId::new(name).expect("short enough"));
    let hello = Establish::new(identity("them")).into();
    // The reference sends `establish` twice.
    let sent = [
        frame(1, &hello),
        frame(2, &hello),
        frame(3, &doc("a")),
        frame(3, &doc("a")),
        frame(3, &doc("a")),
        frame(6, &doc("b")),
    ];
    theirs.write_all(&sent.concat()).await.expect("room");
    drop(theirs.shutdown().await);

    let mut channel = ServiceBuilder::new()
        .layer(HandshakeLayer::new(identity("us")))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(service_fn(async |end: Accepted| {
            Ok::<_, std::io::Error>(end.0)
        }))
        .oneshot(Accepted(ours))
        .await
        .expect("a handshake");
    let mut received = Vec::new();
    while let Some(inbound) = channel.next().await {
        received.push(inbound.expect("no error"));
    }
    assert_eq!(
        received,
        [
            Inbound::Message(doc("a")),
            Inbound::Noticed(Notice::Repeated),
            Inbound::Noticed(Notice::Gap { missing: 2 }),
            Inbound::Message(doc("b")),
        ]
    );
    let connection = channel.connection();
    assert_eq!(
        (connection.duplicates_dropped, connection.frames_missing),
        (2, 2)
    );
}
