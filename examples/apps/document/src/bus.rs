//! The replica on the bus.
//!
//! In: a path, a name, edits. Out: the replica's messages, to their recipients and to stderr. May touch: what
//! a [`Peer`] does, stderr.

use kyneta_uds::{
    BoxError, ChannelMsg, Event, Events, Identity, Incoming, PayloadKind, Peer, PeerChange,
};
use tokio::sync::mpsc;
use tower::service_fn;

use crate::{
    edit::Edit,
    replica::{Out, Replica},
};

pub(crate) struct Bus {
    peer: Peer,
    events: Events,
    inbox: mpsc::Receiver<Incoming>,
    replica: Replica,
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
        let identity = Identity::service(name)?;
        // What the others say is passed on below.
        let builder = Peer::builder(path).identity(identity).relay(false);
        Ok(Self {
            events: builder.events(),
            peer: builder.join(handler).await?,
            inbox,
            replica: Replica::new()?,
        })
    }

    pub(crate) const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Waits for news; `None` at the end. Cancel safe.
    pub(crate) async fn news(&mut self) -> Option<News> {
        tokio::select! {
            biased; // the event of a peer comes before its messages
            event = self.events.recv() => event.map(News::Event),
            incoming = self.inbox.recv() => incoming.map(News::Received),
        }
    }

    pub(crate) async fn take(&mut self, news: News) -> Result<(), BoxError> {
        match news {
            News::Event(Event::Role(role)) => eprintln!("you are {role}"),
            News::Event(Event::Peer { peer, change }) => {
                let id = &peer.identity().peer_id;
                eprintln!("{id:?}: {change:?}");
                match change {
                    PeerChange::Established | PeerChange::Reconnected => {
                        let out = self.replica.came(id);
                        self.send(out).await;
                    }
                    _ => self.replica.gone(id),
                }
            }
            News::Event(_) => {}
            News::Received(incoming) => {
                let from = &incoming.peer().identity().peer_id;
                eprintln!("{from:?} says {}", gist(&incoming.message));
                match self.replica.received(from, &incoming.message) {
                    Ok(out) => self.send(out).await,
                    Err(error) => eprintln!("{from:?}: {error}"),
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn edit(&mut self, edit: &Edit) -> Result<(), BoxError> {
        let out = self.replica.edit(edit)?;
        self.send(out).await;
        Ok(())
    }

    /// A peer that does not read delays this for 5 s, and is then disconnected. A peer that has left asks again
    /// when it is back.
    async fn send(&self, out: Out) {
        for (to, message) in out {
            if let Some(mut connection) = self.peer.connection(&to) {
                eprintln!("{to:?} gets {}", gist(&message));
                let _ = connection.queue(message).await;
            }
        }
    }

    /// Sends `depart`; the next process takes over at once.
    pub(crate) async fn leave(self) {
        self.peer.dispose().await;
    }
}

fn gist(message: &ChannelMsg) -> String {
    let kind = message.kind();
    match message {
        ChannelMsg::Interest(interest) if interest.version.is_none() => format!("{kind} in all"),
        ChannelMsg::Interest(_) => format!("{kind} since a version"),
        ChannelMsg::Offer(offer) => {
            let what = match offer.kind {
                PayloadKind::Entirety => "of all",
                PayloadKind::Since => "since a version",
            };
            format!("{kind} {what}, {} bytes", offer.data.len())
        }
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::select_all;

    use super::*;

    /// Handles news on all of them until each shows this text.
    async fn until_all_show(buses: &mut [&mut Bus], text: &str) {
        let all_show = async {
            while buses.iter().any(|bus| bus.replica().text() != text) {
                let news = buses.iter_mut().map(|bus| Box::pin(bus.news()));
                let (news, index, _) = select_all(news).await;
                buses[index].take(news.unwrap()).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all_show)
            .await
            .unwrap_or_else(|_| panic!("not all show {text:?}"));
    }

    #[tokio::test]
    async fn one_that_comes_catches_up_and_a_change_of_listener_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("document.sock");
        let path = path.to_str().unwrap();
        let mut a = Bus::join(path, "a").await.unwrap();
        a.edit(&Edit::parse("milk")).await.unwrap();
        let mut b = Bus::join(path, "b").await.unwrap();
        let mut c = Bus::join(path, "c").await.unwrap();
        until_all_show(&mut [&mut a, &mut b, &mut c], "milk\n").await;

        // By way of the listener, which both are connected to.
        c.edit(&Edit::parse("+1 eggs")).await.unwrap();
        until_all_show(&mut [&mut a, &mut b, &mut c], "eggs\nmilk\n").await;

        // The listener leaves; these edits wait until there is another one.
        a.leave().await;
        b.edit(&Edit::parse("-2")).await.unwrap();
        c.edit(&Edit::parse("+1 bread")).await.unwrap();
        until_all_show(&mut [&mut b, &mut c], "bread\neggs\n").await;

        // It joins again, without a document.
        let mut a = Bus::join(path, "a").await.unwrap();
        until_all_show(&mut [&mut a, &mut b, &mut c], "bread\neggs\n").await;
        a.edit(&Edit::parse("salt")).await.unwrap();
        until_all_show(&mut [&mut a, &mut b, &mut c], "bread\neggs\nsalt\n").await;
    }
}
