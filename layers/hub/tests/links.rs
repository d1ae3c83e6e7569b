//! Two hubs with a link between them: documents pass, whichever side presents them last.
//!
//! A failure shows the message that came to the wrong member, or none.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

use std::time::Duration;

use futures_util::StreamExt as _;
use kyneta_uds_core::{
    ByteString, ChannelMsg, DocEntry, DocId, Inbound, Interest, Offer, PayloadKind, ReplicaType,
    SchemaHash, SyncMode, Version, WireVersion,
};
use kyneta_uds_hub::{Hub, LocalChannel};
use kyneta_uds_queue::QueueConfig;
use kyneta_uds_relay::{MemberFacts, Switch, SwitchConfig};
use tokio::time::timeout;
use tower::{Service as _, ServiceExt as _};

type Channel = LocalChannel<ChannelMsg>;

fn hub() -> Hub<ChannelMsg> {
    Hub::new(|| Box::new(Switch::new(SwitchConfig::default())))
}

async fn send(channel: &mut Channel, msg: impl Into<ChannelMsg>) {
    channel
        .ready()
        .await
        .unwrap()
        .call(msg.into())
        .await
        .unwrap();
}

async fn receive(channel: &mut Channel) -> ChannelMsg {
    let next = timeout(Duration::from_secs(10), channel.next());
    match next.await.unwrap() {
        Some(Ok(Inbound::Message(msg))) => msg,
        other => panic!("{other:?}"),
    }
}

/// Links two hubs until the test ends.
fn link(a: &Hub<ChannelMsg>, b: &Hub<ChannelMsg>) {
    let end = |hub: &Hub<ChannelMsg>| {
        hub.local(MemberFacts::link(WireVersion::V3), QueueConfig::default())
    };
    let (mut a, mut b) = (end(a), end(b));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                msg = receive(&mut a) => send(&mut b, msg).await,
                msg = receive(&mut b) => send(&mut a, msg).await,
            }
        }
    });
}

/// A member that holds one document, which is a text, and behaves as the reference does.
struct Service {
    channel: Channel,
    entry: DocEntry,
    text: String,
    is_wanted: bool,
}

impl Service {
    async fn join(hub: &Hub<ChannelMsg>, mode: SyncMode) -> Self {
        let replica = ReplicaType::new("plain", 1.0, 0.0).unwrap();
        let schema = SchemaHash::new("02ab").unwrap();
        let mut entry = DocEntry::new(DocId::new("notes").unwrap(), replica, schema);
        entry.mode = mode;
        let facts = MemberFacts::local(WireVersion::V3);
        let mut service = Self {
            channel: hub.local(facts, QueueConfig::default()),
            entry: entry.clone(),
            text: String::new(),
            is_wanted: false,
        };
        send(&mut service.channel, ChannelMsg::Present(vec![entry])).await;
        let interest = service.interest(true);
        send(&mut service.channel, interest).await;
        service
    }

    fn interest(&self, in_turn: bool) -> Interest {
        Interest::new(self.entry.doc.clone())
            .since(self.version())
            .reciprocate(in_turn && self.entry.mode == SyncMode::Collaborative)
    }

    fn version(&self) -> Version {
        Version::new(self.text.len().to_string()).unwrap()
    }

    fn since(&self, at: usize) -> Offer {
        let data = ByteString::from(self.text.get(at..).unwrap_or_default());
        let mut offer = Offer::json(self.entry.doc.clone(), self.version(), data);
        offer.kind = PayloadKind::Since;
        offer
    }

    async fn write(&mut self, more: &str) {
        let before = self.text.len();
        self.text.push_str(more);
        let push = self.since(before);
        if self.is_wanted {
            send(&mut self.channel, push).await;
        }
    }

    /// Reads one message.
    async fn step(&mut self) {
        match receive(&mut self.channel).await {
            ChannelMsg::Present(entries) => {
                assert_eq!(entries, std::slice::from_ref(&self.entry));
                let interest = self.interest(true);
                send(&mut self.channel, interest).await;
            }
            ChannelMsg::Interest(interest) => {
                self.is_wanted = true;
                let theirs = interest
                    .version
                    .map_or(0, |version| version.parse().unwrap());
                if theirs < self.text.len() {
                    let answer = self.since(theirs).reciprocate(false);
                    send(&mut self.channel, answer).await;
                }
                if interest.reciprocate == Some(true) {
                    let interest = self.interest(false);
                    send(&mut self.channel, interest).await;
                }
            }
            ChannelMsg::Offer(offer) => {
                assert_eq!(offer.base, None, "to a link alone");
                let ends: usize = offer.version.parse().unwrap();
                let more = std::str::from_utf8(offer.data.as_slice()).unwrap();
                // Where one member writes, the switch delivers on the base alone; else twice is no harm.
                if self.entry.mode == SyncMode::Collaborative {
                    let missing = ends.saturating_sub(self.text.len());
                    self.text.push_str(&more[more.len() - missing..]);
                } else {
                    self.text.push_str(more);
                    assert_eq!(self.text.len(), ends);
                }
            }
            _ => {}
        }
    }
}

/// Both read until they have the same text, of this length.
async fn until_equal(a: &mut Service, b: &mut Service, len: usize) {
    while a.text.len() < len || a.text != b.text || !(a.is_wanted && b.is_wanted) {
        tokio::select! {
            () = a.step() => {}
            () = b.step() => {}
        }
    }
}

#[tokio::test]
async fn a_member_that_comes_after_the_document_has_crossed_the_link_gets_it_and_writes_it() {
    for mode in [SyncMode::Collaborative, SyncMode::Authoritative] {
        let (here, there) = (hub(), hub());
        link(&here, &there);
        let mut first = Service::join(&here, mode).await;
        first.write("one ").await;
        // `there` has learnt of it before it has a member.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut second = Service::join(&there, mode).await;
        until_equal(&mut first, &mut second, 4).await;
        first.write("two ").await;
        until_equal(&mut first, &mut second, 8).await;
        second.write("three").await;
        until_equal(&mut first, &mut second, 13).await;
    }
}
