//! A connection in the middle of its work is taken apart, goes over as bytes, and a stack of another process goes on
//! with it. The peer sees nothing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream as _;
use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{
    Channel, ChannelMsg, DocEntry, DocId, Identity, Inbound, Redial, ReplicaType, Resume, Save,
    Saved, SavedError, SchemaHash,
};
use kyneta_uds_framing::FramingLayer;
use kyneta_uds_handshake::HandshakeLayer;
use tokio::io::{DuplexStream, duplex};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _};

/// The bottom of the stack: a stream that is there.
#[derive(Debug, Clone, Copy)]
struct Bottom;

/// Who has made the connection.
enum Made {
    Here(DuplexStream),
    There(DuplexStream),
}

impl Redial for Made {
    fn redial(&self) -> Option<Self> {
        // The side that has connected is asked for a second attempt, which is not made.
        matches!(self, Self::Here(_)).then(|| Self::Here(duplex(1).0))
    }
}

impl Service<Made> for Bottom {
    type Response = DuplexStream;
    type Error = Infallible;
    type Future = Ready<Result<DuplexStream, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (Made::Here(io) | Made::There(io)): Made) -> Self::Future {
        ready(Ok(io))
    }
}

impl Resume<DuplexStream> for Bottom {
    type Resumed = DuplexStream;

    fn resume(&self, io: DuplexStream, _: &Saved) -> Result<DuplexStream, SavedError> {
        Ok(io)
    }
}

macro_rules! stack {
    ($id:expr) => {
        ServiceBuilder::new()
            .layer(HandshakeLayer::new(
                Identity::service($id).unwrap().named("A name").unwrap(),
            ))
            .layer(CborLayer::new())
            .layer(FramingLayer::new())
            .service(Bottom)
    };
}

fn present(doc: &str) -> ChannelMsg {
    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let entry = DocEntry::new(
        DocId::new(doc).unwrap(),
        loro,
        SchemaHash::new("02ab").unwrap(),
    );
    ChannelMsg::Present(vec![entry])
}

fn dismiss(doc: &str) -> ChannelMsg {
    ChannelMsg::Dismiss(DocId::new(doc).unwrap())
}

async fn send<C: Channel<ChannelMsg>>(channel: &mut C, msg: ChannelMsg) {
    let failed = |_| panic!("not sent");
    poll_fn(|cx| channel.poll_ready(cx))
        .await
        .unwrap_or_else(failed);
    channel.call(msg).await.unwrap_or_else(failed);
    poll_fn(|cx| channel.poll_flush(cx))
        .await
        .unwrap_or_else(failed);
}

async fn receive<C: Channel<ChannelMsg, In = ChannelMsg>>(channel: &mut C) -> ChannelMsg {
    match poll_fn(|cx| Pin::new(&mut *channel).poll_next(cx)).await {
        Some(Ok(Inbound::Message(msg))) => msg,
        _ => panic!("no message"),
    }
}

type Talking<T> = (T, T);

/// Two ends that have talked: each has announced documents, and `ours` has some of the peer's unread.
macro_rules! talking {
    () => {{
        let (ours, theirs) = duplex(1 << 12);
        let (ours, theirs) = tokio::join!(
            stack!("listener").oneshot(Made::There(ours)),
            stack!("member").oneshot(Made::Here(theirs))
        );
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        for n in 0..12 {
            send(&mut ours, present(&format!("of the listener {n}"))).await;
            receive(&mut theirs).await;
            send(&mut theirs, present(&format!("of the member {n}"))).await;
            receive(&mut ours).await;
        }
        send(&mut theirs, dismiss("of the member 3")).await;
        send(&mut theirs, dismiss("of the member 4")).await;
        assert_eq!(receive(&mut ours).await, dismiss("of the member 3"));
        let ends: Talking<_> = (ours, theirs);
        ends
    }};
}

#[tokio::test]
async fn a_stack_goes_on_with_the_connection_of_another_one() {
    let (mut ours, mut theirs) = talking!();
    for round in 0..20 {
        // Called, and not yet with the kernel.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(ours.poll_ready(&mut cx).is_ready());
        ours.call(dismiss("of the listener 7")).await.unwrap();
        let saved = ours.save(Saved::new(1, 1));
        let io = ours.into_inner().into_inner().into_inner();
        let saved = Saved::decode(&saved.encode()).unwrap();
        ours = stack!("listener").resume(io, &saved).unwrap();
        assert_eq!(ours.peer().identity().peer_id.as_str(), "member");
        assert_eq!(ours.peer().identity().name.as_deref(), Some("A name"));
        assert!(ours.peer().establish().aliases() && !ours.peer().is_departing());

        if round == 0 {
            assert_eq!(receive(&mut ours).await, dismiss("of the member 4"));
        }
        send(&mut ours, dismiss("of the listener 8")).await;
        assert_eq!(receive(&mut theirs).await, dismiss("of the listener 7"));
        assert_eq!(receive(&mut theirs).await, dismiss("of the listener 8"));
        send(&mut theirs, dismiss("of the member 11")).await;
        assert_eq!(receive(&mut ours).await, dismiss("of the member 11"));
        let info = (ours.connection(), theirs.connection());
        assert_eq!((info.0.frames_missing, info.0.duplicates_dropped), (0, 0));
        assert_eq!((info.1.frames_missing, info.1.duplicates_dropped), (0, 0));
    }
    send(&mut theirs, ChannelMsg::Depart).await;
    drop(theirs);
    assert!(
        poll_fn(|cx| Pin::new(&mut ours).poll_next(cx))
            .await
            .is_none()
    );
    let saved = ours.save(Saved::new(1, 1));
    let io = ours.into_inner().into_inner().into_inner();
    assert!(
        stack!("listener")
            .resume(io, &saved)
            .unwrap()
            .peer()
            .is_departing()
    );
}

/// A layer of a user's that has a state of its own, and one that has none.
#[derive(Debug)]
struct Counted<C> {
    inner: C,
    count: u64,
}

impl<C: Save> Save for Counted<C> {
    type Io = C::Io;

    fn stream(&self) -> &C::Io {
        self.inner.stream()
    }

    fn save(&self, saved: Saved) -> Saved {
        let part = Saved::new(1, 1).with("count", self.count);
        self.inner.save(saved.with("counted", part))
    }
}

impl<Io, S: Resume<Io>> Resume<Io> for Counted<S> {
    type Resumed = Counted<S::Resumed>;

    fn resume(&self, io: Io, saved: &Saved) -> Result<Self::Resumed, SavedError> {
        let count = saved.part("counted")?.number("count")?;
        let inner = self.inner.resume(io, saved)?;
        Ok(Counted { inner, count })
    }
}

#[tokio::test]
async fn a_layer_of_a_users_hands_over_its_own_part() {
    let (ours, _theirs) = talking!();
    let counted = Counted {
        inner: ours,
        count: 7,
    };
    let saved = counted.save(Saved::new(1, 1));
    let io = counted.inner.into_inner().into_inner().into_inner();
    let stack = Counted {
        inner: stack!("listener"),
        count: 0,
    };
    assert_eq!(stack.resume(io, &saved).unwrap().count, 7);
}

/// The states that releases have saved, each still read. A change of what this version saves is a change of the last.
#[tokio::test]
async fn the_states_of_all_releases_are_read() {
    let vectors = include_str!("../../../tests/vectors/saved-connection.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let mut last = Vec::new();
    for vector in vectors.as_array().unwrap() {
        last = hex::decode(vector["state"].as_str().unwrap()).unwrap();
        let saved = Saved::decode(&last).unwrap();
        let (ours, _theirs) = duplex(1);
        let resumed = stack!("listener").resume(ours, &saved).unwrap();
        assert_eq!(
            resumed.peer().identity().peer_id.as_str(),
            "member",
            "{vector}"
        );
    }
    let (ours, _theirs) = talking!();
    let saved = ours.save(Saved::new(1, 1));
    assert_eq!(
        hex::encode(saved.encode()),
        hex::encode(last),
        "it saves something else now"
    );
}

#[tokio::test]
async fn a_stack_with_another_layer_refuses_the_state_with_a_sentence() {
    let (ours, _theirs) = duplex(1);
    let frames = FramingLayer::new().layer(Bottom);
    let error = frames.resume(ours, &Saved::new(1, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a saved state has no field `framing` that is a part"
    );
}
