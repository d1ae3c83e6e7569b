//! What can be done with the public types.
//!
//! A failure is one of the compiler: a public type lacks a trait that it has promised.

use std::fmt::Debug;

use kyneta_uds::*;
use serde::{Deserialize, Serialize};

/// A message of a user's.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Order {
    Done,
}

impl Message for Order {
    fn size(&self) -> usize {
        encoded_size(self)
    }
}

#[test]
fn everything_public_can_be_sent_shared_moved_and_printed() {
    fn all<T: Send + Sync + Unpin + Debug + 'static>() {}
    fn cloned<T: Clone + Send + Sync + Unpin + Debug + 'static>() {}
    fn sent<T: Send + Debug + 'static>() {}
    type Io = tokio::net::UnixStream;
    type Handler = tower::util::BoxCloneSyncService<ChannelMsg, (), BoxError>;
    type Channel = CborChannel<FrameTransport<Io>, ChannelCodec>;

    // Layers and make services.
    cloned::<FramingLayer>();
    cloned::<Framing<UnixConnector>>();
    cloned::<CborLayer>();
    cloned::<CborLayer<SerdeCodec<Order>>>();
    cloned::<DefaultStack>();
    cloned::<HandshakeLayer>();
    cloned::<Handshake<DefaultStack>>();
    cloned::<QueueLayer<Handler, ChannelMsg>>();
    cloned::<Queue<Handshake<DefaultStack>, Handler, ChannelMsg>>();
    cloned::<QueueConfig>();
    cloned::<UnixConnector>();
    #[cfg(feature = "hyperlocal")]
    cloned::<HyperlocalConnector>();
    cloned::<Overflow>();
    cloned::<WireMode>();
    cloned::<DecodeLimits>();
    all::<UnixTarget>();

    // What they make.
    all::<FrameParser>();
    all::<FrameWriter>();
    all::<FrameTransport<Io>>();
    all::<ChannelCodec>();
    all::<SerdeCodec<Order>>();
    all::<Channel>();
    all::<Established<Channel>>();
    all::<HandshakeMachine>();
    all::<PeerInfo>();
    cloned::<Handle<ChannelMsg>>();
    all::<Driver<ChannelMsg>>();
    sent::<Drive<Channel, Handler, ChannelMsg>>();
    all::<SendFuture<ChannelMsg>>();
    all::<Flushed<ChannelMsg>>();
    all::<Closed<ChannelMsg>>();

    // The ready-made parts.
    cloned::<Client>();
    all::<ClientBuilder>();
    cloned::<Server>();
    all::<ServerBuilder>();
    cloned::<Connection>();
    all::<Listener>();
    cloned::<ListenerOptions>();
    all::<Serve<Handler>>();
    all::<WithGracefulShutdown<Handler, DefaultStack, std::future::Pending<()>>>();
    all::<Incoming>();
    cloned::<Event>();
    cloned::<PeerChange>();
    all::<Events>();
    all::<Broadcast>();

    // Messages and their parts.
    cloned::<ChannelMsg>();
    cloned::<Inbound<ChannelMsg>>();
    cloned::<Identity>();
    cloned::<Features>();
    cloned::<SocketPath>();
    cloned::<DocId>();
    cloned::<PeerId>();
    cloned::<SchemaHash>();
    cloned::<Version>();
    all::<WriteBuf>();

    // Errors, all of them errors.
    fn error<E: std::error::Error + Send + Sync + 'static>() {}
    error::<BindError>();
    error::<ConnectError>();
    error::<ClientError>();
    error::<HandshakeError>();
    error::<CborError>();
    error::<EncodeError>();
    error::<FramingError>();
    error::<SendError>();
    error::<Stalled>();
    error::<Ended>();
    error::<SocketPathError>();
    error::<TextTooLong>();
    error::<Rejection>();
    error::<DisconnectReason>();
    error::<SharedError>();
}

/// They are cloned for each connection and each call, so they must stay small.
#[test]
fn layers_and_make_services_are_small() {
    assert!(size_of::<FramingLayer>() <= 32);
    assert!(size_of::<HandshakeLayer>() <= 256);
    assert!(size_of::<QueueConfig>() <= 128);
    assert!(size_of::<DefaultStack>() <= 1024);
    assert!(size_of::<Handle<ChannelMsg>>() <= 32);
}
