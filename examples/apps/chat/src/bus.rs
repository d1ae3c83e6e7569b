//! The chat on the bus: lines that are sent, received and forwarded.
//!
//! In: a path, a name, lines to say. Out: [`Input`]s for the screen. May touch: what a [`Peer`] does.
//!
//! In terms of the protocol each person is a document, with the person's name as its id. A line is an
//! `offer` of what is new, and `present` lists the names. A connector is connected to the listener only, so
//! the listener forwards lines and sends the list to all.

use kyneta_uds::{
    BoxError, ChannelMsg, DocEntry, DocId, Event, Events, Identity, Incoming, Offer, Peer,
    PeerChange, PeerId, ReplicaType, Role, SchemaHash, Version,
};
use tokio::sync::mpsc;
use tower::service_fn;

use crate::app::Input;

pub(crate) struct Bus {
    peer: Peer,
    events: Events,
    inbox: mpsc::Receiver<Incoming>,
    me: String,
    /// Lines that we have sent.
    said: u64,
}

/// An event or a message of the bus.
pub(crate) enum News {
    Event(Event),
    Received(Incoming),
}

impl Bus {
    pub(crate) async fn join(path: &str, name: &str) -> Result<Self, BoxError> {
        let (received, inbox) = mpsc::channel(16);
        let handler = service_fn(move |incoming| {
            let received = received.clone();
            async move { received.send(incoming).await }
        });
        let identity = Identity::user(name)?;
        // What the others say is passed on below.
        let builder = Peer::builder(path).identity(identity).relay(false);
        Ok(Self {
            events: builder.events(),
            peer: builder.join(handler).await?,
            inbox,
            me: name.to_owned(),
            said: 0,
        })
    }

    /// Waits for news; `None` at the end. Cancel safe.
    pub(crate) async fn news(&mut self) -> Option<News> {
        tokio::select! {
            biased; // the event of a peer comes before its messages
            event = self.events.recv() => event.map(News::Event),
            incoming = self.inbox.recv() => incoming.map(News::Received),
        }
    }

    /// What the screen shows of the news. A listener sends it to the others as well.
    pub(crate) async fn take(&mut self, news: News) -> Result<Option<Input>, BoxError> {
        match news {
            News::Event(Event::Role(role)) => Ok(Some(Input::Role(role))),
            News::Event(Event::Peer { peer, change }) => {
                if self.peer.role() == Role::Listener {
                    let present = self.present()?;
                    self.peer.queue(present).await?;
                }
                let (here, how) = match change {
                    PeerChange::Established => (true, "is here"),
                    PeerChange::Reconnected => (true, "is here again"),
                    PeerChange::Departed => (false, "has left"),
                    _ => (false, "was cut off"),
                };
                let who = peer.identity().peer_id.to_string();
                Ok(Some(Input::Peer { who, here, how }))
            }
            News::Received(incoming) => self.received(incoming).await,
            News::Event(_) => Ok(None),
        }
    }

    async fn received(&mut self, incoming: Incoming) -> Result<Option<Input>, BoxError> {
        let from = &incoming.peer().identity().peer_id;
        Ok(match &incoming.message {
            ChannelMsg::Offer(offer) => {
                let who = offer.doc.to_string();
                if self.peer.role() == Role::Listener {
                    if who != from.as_str() {
                        return Ok(None); // under another name than its own
                    }
                    self.pass_on(&incoming.message, from).await;
                }
                let text = String::from_utf8_lossy(offer.data.as_slice()).into_owned();
                Some(Input::Said { who, text })
            }
            ChannelMsg::Present(all) => {
                let names = all.iter().map(|entry| entry.doc.to_string());
                Some(Input::Present(names.collect()))
            }
            _ => None,
        })
    }

    /// To all but its sender. A peer that does not read delays the others for 5 s, and is then disconnected.
    async fn pass_on(&self, message: &ChannelMsg, from: &PeerId) {
        for mut to in self.peer.connections() {
            if to.peer_id() != from {
                let _ = to.queue(message.clone()).await; // fails if the peer has left
            }
        }
    }

    /// To the listener, which forwards it, or to all. Without a connection it waits.
    pub(crate) async fn say(&mut self, text: String) -> Result<(), BoxError> {
        self.said += 1;
        let version = Version::new(self.said.to_string())?;
        let line = Offer::binary(DocId::new(&self.me)?, version, text.into_bytes()).delta();
        Ok(self.peer.queue(line.into()).await?)
    }

    /// Sends `depart`; the next process takes over at once.
    pub(crate) async fn leave(self) {
        self.peer.dispose().await;
    }

    /// All names, our own among them.
    fn present(&self) -> Result<ChannelMsg, BoxError> {
        let others = self.peer.connections();
        let names = others.iter().map(|other| other.peer_id().as_str());
        let line = (
            ReplicaType::new("line", 1.0, 0.0)?,
            SchemaHash::new("line")?,
        );
        let entry = |name| {
            // A name may be longer than a document's id.
            let doc = DocId::new(name).ok()?;
            Some(DocEntry::new(doc, line.0.clone(), line.1.clone()))
        };
        let all = names.chain([self.me.as_str()]).filter_map(entry);
        Ok(ChannelMsg::Present(all.collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What happens next, as far as the screen is concerned.
    async fn next(bus: &mut Bus) -> Input {
        let input = async {
            loop {
                let news = bus.news().await.unwrap();
                if let Some(input) = bus.take(news).await.unwrap() {
                    return input;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), input)
            .await
            .unwrap()
    }

    async fn until(bus: &mut Bus, wanted: impl Fn(&Input) -> bool) -> Input {
        loop {
            let input = next(bus).await;
            if wanted(&input) {
                return input;
            }
        }
    }

    async fn received(bus: &mut Bus) -> (String, String) {
        match until(bus, |input| matches!(input, Input::Said { .. })).await {
            Input::Said { who, text } => (who, text),
            _ => unreachable!(),
        }
    }

    fn is(role: Role) -> impl Fn(&Input) -> bool {
        move |input| matches!(input, Input::Role(now) if *now == role)
    }

    #[tokio::test]
    async fn the_listener_passes_on_and_when_it_goes_the_next_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat.sock");
        let path = path.to_str().unwrap();
        let mut alice = Bus::join(path, "alice").await.unwrap();
        let mut bob = Bus::join(path, "bob").await.unwrap();
        let mut carol = Bus::join(path, "carol").await.unwrap();
        until(&mut alice, is(Role::Listener)).await;
        for name in ["bob", "carol"] {
            until(
                &mut alice,
                |input| matches!(input, Input::Peer { who, here: true, .. } if who == name),
            )
            .await;
        }

        carol.say("hello".to_owned()).await.unwrap();
        let hello = ("carol".to_owned(), "hello".to_owned());
        assert_eq!(received(&mut alice).await, hello);
        assert_eq!(received(&mut bob).await, hello);
        let all = |input: &Input| matches!(input, Input::Present(names) if names.len() == 3);
        until(&mut carol, all).await;

        alice.leave().await;
        until(
            &mut bob,
            |input| matches!(input, Input::Peer { who, here: false, .. } if who == "alice"),
        )
        .await;
        let (first, second) = tokio::join!(next_role(&mut bob), next_role(&mut carol));
        let (mut listener, mut connector) = match (first, second) {
            (Role::Listener, Role::Connector) => (bob, carol),
            (Role::Connector, Role::Listener) => (carol, bob),
            roles => panic!("{roles:?}"),
        };
        connector.say("still here".to_owned()).await.unwrap();
        let still = (connector.me.clone(), "still here".to_owned());
        assert_eq!(received(&mut listener).await, still);
    }

    /// The role after the present one.
    async fn next_role(bus: &mut Bus) -> Role {
        until(bus, is(Role::Negotiating)).await;
        match until(bus, |input| matches!(input, Input::Role(_))).await {
            Input::Role(role) => role,
            _ => unreachable!(),
        }
    }
}
