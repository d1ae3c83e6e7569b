//! Peers on several machines: documents pass over links, through cuts and changes of the listener.
//!
//! The engine is one in memory, which the test cuts. A failure lists the offers that are missing, or shows the state
//! of the links.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // Helpers stand beside the tests.

#[path = "support/machines.rs"]
mod world;

use std::{convert::Infallible, future::Ready, path::PathBuf, time::Duration};

use kyneta_uds::{
    BoxError, ChannelMsg, Client, DocEntry, DocId, Event, Events, Identity, Incoming, Interest,
    Offer, Peer, ReplicaType, SchemaHash, Version,
    machines::{DownReason, LinkChange, LinkSettings, Links, Machines, memory::Stream},
};
use tokio::{sync::mpsc, time::timeout};
use tower::{Service as _, ServiceExt as _, service_fn};
use world::World;

impl World {
    /// A peer of a machine that runs links when it listens.
    async fn peer(&self, machine: usize) -> (Peer, Events) {
        let links = self.links(machine, LinkSettings::default());
        let builder = Peer::builder(self.path(machine)).machines(links);
        let events = builder.events();
        let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
        (builder.join(ignore).await.unwrap(), events)
    }
}

async fn link(events: &mut Events, wanted: impl Fn(&LinkChange) -> bool) {
    let found = timeout(Duration::from_secs(20), async {
        loop {
            match events.recv().await {
                Some(Event::Link { change, .. }) if wanted(&change) => return,
                Some(_) => {}
                None => panic!("no more events"),
            }
        }
    });
    found.await.expect("in time");
}

/// A member that holds a loro document, as the reference does: it answers each interest, and asks back if it is told to.
async fn holder(path: PathBuf, name: &str) -> (Client, mpsc::Receiver<ChannelMsg>) {
    let (seen, inbox) = mpsc::channel(64);
    let version = name.to_owned();
    let handler = service_fn(move |incoming: Incoming| {
        let (seen, version) = (seen.clone(), version.clone());
        async move {
            if let ChannelMsg::Present(entries) = &incoming.message {
                for entry in entries {
                    let mut ask = Interest::new(entry.doc.clone());
                    ask.reciprocate = Some(true);
                    incoming.from().ready().await?.call(ask.into()).await?;
                }
            }
            if let ChannelMsg::Interest(interest) = &incoming.message {
                let version = Version::new(version).map_err(Box::new)?;
                let mut answer = Offer::binary(interest.doc.clone(), version, vec![1]);
                answer.reciprocate = Some(false);
                incoming.from().ready().await?.call(answer.into()).await?;
                if interest.reciprocate == Some(true) {
                    let mut back = Interest::new(interest.doc.clone());
                    back.reciprocate = Some(false);
                    incoming.from().ready().await?.call(back.into()).await?;
                }
            }
            let _ = seen.try_send(incoming.message);
            Ok::<(), BoxError>(())
        }
    });
    let identity = Identity::service(name).unwrap();
    let mut client = Client::builder(path)
        .identity(identity)
        .connect(handler)
        .await
        .unwrap();
    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let doc = DocId::new("notes").unwrap();
    let entry = DocEntry::new(doc.clone(), loro, SchemaHash::new("02ab").unwrap());
    let mut interest = Interest::new(doc);
    interest.reciprocate = Some(true);
    for msg in [ChannelMsg::Present(vec![entry]), interest.into()] {
        client.ready().await.unwrap().call(msg).await.unwrap();
    }
    (client, inbox)
}

/// Waits until offers of all these versions have come, in any order.
async fn offers_of(inbox: &mut mpsc::Receiver<ChannelMsg>, versions: &[&str]) {
    let mut missing = versions.to_vec();
    let found = timeout(Duration::from_secs(20), async {
        while !missing.is_empty() {
            match inbox.recv().await {
                Some(ChannelMsg::Offer(offer)) => {
                    missing.retain(|version| offer.version.as_str() != *version);
                }
                Some(_) => {}
                None => panic!("it has ended"),
            }
        }
    });
    assert!(found.await.is_ok(), "no offers of {missing:?}");
}

#[tokio::test]
async fn a_concurrent_document_passes_between_machines_that_hold_it_when_their_links_come_up() {
    let world = World::new(3);
    let pairs = [(0, 1), (0, 2), (1, 2)];
    for (one, other) in pairs {
        world.cut(one, other);
    }
    let mut peers = Vec::new();
    for machine in 0..3 {
        peers.push(world.peer(machine).await);
    }
    let (mut a, mut to_a) = holder(world.path(0), "va").await;
    let (_b, mut to_b) = holder(world.path(1), "vb").await;
    let (mut c, mut to_c) = holder(world.path(2), "vc").await;
    for (one, other) in pairs {
        world.heal(one, other);
    }
    for (inbox, others) in [
        (&mut to_a, ["vb", "vc"]),
        (&mut to_b, ["va", "vc"]),
        (&mut to_c, ["va", "vb"]),
    ] {
        offers_of(inbox, &others).await;
    }
    for (from, version) in [(&mut a, "va2"), (&mut c, "vc2")] {
        let doc = DocId::new("notes").unwrap();
        let push = Offer::binary(doc, Version::new(version).unwrap(), vec![2]);
        from.ready().await.unwrap().call(push.into()).await.unwrap();
    }
    offers_of(&mut to_b, &["va2", "vc2"]).await;
    offers_of(&mut to_c, &["va2"]).await;
    offers_of(&mut to_a, &["vc2"]).await;

    while to_b.try_recv().is_ok() {}
    world.cut(0, 1);
    let is_closed = |reason: &DownReason| matches!(reason, DownReason::Closed(_));
    link(
        &mut peers[1].1,
        |change| matches!(change, LinkChange::Down(reason) if is_closed(reason)),
    )
    .await;
    let links = peers[1].0.links();
    let down = links.iter().find(|link| !link.up).unwrap();
    assert!(down.last_down.as_ref().is_some_and(is_closed), "{down:?}");
    world.heal(0, 1);
    link(&mut peers[1].1, |change| *change == LinkChange::Up).await;
    offers_of(&mut to_b, &["va"]).await;
}

#[tokio::test]
async fn the_next_listener_of_a_path_takes_the_links_over() {
    let world = World::new(2);
    let (_far, _far_events) = world.peer(1).await;
    let (first, mut events) = world.peer(0).await;
    let (second, mut second_events) = world.peer(0).await;
    link(&mut events, |change| *change == LinkChange::Up).await;
    assert!(first.links().iter().all(|link| link.up && link.opened == 1));
    assert!(second.links().is_empty(), "a connector has none");
    first.dispose().await;
    link(&mut second_events, |change| *change == LinkChange::Up).await;
    assert!(second.links().iter().all(|link| link.up));
}

/// What starts links is a user's, and so is the engine.
#[tokio::test]
async fn links_whose_start_panics_are_a_failure_that_is_told_and_the_peer_ends() {
    let dir = tempfile::tempdir().unwrap();
    let machines = [
        Machines::new(|| -> Ready<Result<Links<Stream>, BoxError>> { panic!("no card") }),
        Machines::new(|| async { panic!("no card") as Result<Links<Stream>, BoxError> }),
    ];
    for (number, machines) in machines.into_iter().enumerate() {
        let builder = Peer::builder(dir.path().join(format!("{number}.sock"))).machines(machines);
        let mut events = builder.events();
        let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
        let peer = builder.join(ignore).await.unwrap();
        let told = timeout(Duration::from_secs(5), async {
            loop {
                if let Some(Event::MachinesFailed { error }) = events.recv().await {
                    return error.to_string();
                }
            }
        });
        assert_eq!(told.await.expect("it is told"), "it panicked: no card");
        assert!(peer.links_failure().unwrap().attempts > 1);
        let disposed = timeout(Duration::from_secs(5), peer.dispose()).await;
        disposed.expect("its role ends");
    }
}
