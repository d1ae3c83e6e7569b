//! A bus over several machines: presence, messages and requests across links, through cuts and dead listeners.
//!
//! The engine is one in memory, which the test cuts. A failure shows the members that are listed, or the event of a
//! link.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // Helpers stand beside the tests.

mod support;
#[path = "support/machines.rs"]
mod world;

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use kyneta_uds::{
    Bus, BusIncoming,
    bus::{BusEvent, BusEventReader, who},
    machines::{DownReason, LinkChange, LinkSettings, Reason},
};
use support::{service, soon};
use tokio::{sync::mpsc, time::timeout};
use tower::{Service as _, ServiceExt as _, service_fn};
use world::World;

/// Between two attempts at a link: shorter than the grace times of these tests.
const MAX_DELAY: Duration = Duration::from_millis(500);

struct One {
    bus: Bus<String>,
    events: BusEventReader,
    said: mpsc::UnboundedReceiver<(String, String)>,
}

impl World {
    async fn join(&self, machine: usize, id: &str) -> One {
        self.join_with(machine, id, "test/1", Duration::from_secs(5))
            .await
    }

    async fn join_with(&self, machine: usize, id: &str, protocol: &str, regroup: Duration) -> One {
        self.begin(machine, id, protocol, regroup, false).await
    }

    /// In place of the process that listens on this machine; the first one listens.
    #[cfg(target_os = "linux")]
    async fn take_over(&self, machine: usize, id: &str) -> One {
        let regroup = Duration::from_secs(5);
        self.begin(machine, id, "test/1", regroup, true).await
    }

    async fn begin(
        &self,
        machine: usize,
        id: &str,
        protocol: &str,
        regroup: Duration,
        takes_over: bool,
    ) -> One {
        let (sender, said) = mpsc::unbounded_channel();
        let handler = service_fn(move |incoming: BusIncoming<String>| {
            let from = incoming.from.id.as_str().to_owned();
            let _ = sender.send((from, incoming.message.clone()));
            if let Some(request) = incoming.request {
                request
                    .answer(&format!("{} yourself", incoming.message))
                    .unwrap();
            }
            std::future::ready(Ok::<_, Infallible>(()))
        });
        let builder = Bus::builder(self.path(machine))
            .identity(service(id))
            .protocol(protocol)
            .regroup(regroup)
            .machines(self.links(machine, LinkSettings::default().max_delay(MAX_DELAY)));
        let events = builder.events();
        let bus = match takes_over {
            #[cfg(target_os = "linux")]
            true => soon(builder.take_over().join(handler)).await.unwrap(),
            _ => soon(builder.join(handler)).await.unwrap(),
        };
        One { bus, events, said }
    }
}

impl One {
    async fn publish(&mut self, text: &str) -> Vec<String> {
        let delivered = soon(self.bus.ready()).await.unwrap().call(text.to_owned());
        let delivered = timeout(Duration::from_secs(20), delivered)
            .await
            .expect("delivered");
        let missed = delivered.unwrap().missed;
        missed.iter().map(|id| id.as_str().to_owned()).collect()
    }

    /// Published, and not waited for.
    async fn begin(&mut self, text: String) -> kyneta_uds::bus::Publish {
        soon(self.bus.ready()).await.unwrap().call(text)
    }

    async fn heard(&mut self, from: &str, text: &str) {
        let heard = soon(self.said.recv()).await.unwrap();
        assert_eq!(heard, (from.to_owned(), text.to_owned()));
    }

    fn members(&self) -> Vec<String> {
        let members = self.bus.members();
        members.iter().map(|of| of.id.as_str().to_owned()).collect()
    }

    async fn until_members(&self, ids: &[&str]) {
        let mut watch = self.bus.watch_members();
        let all = async {
            while self.members() != ids {
                watch.changed().await.unwrap();
            }
        };
        timeout(Duration::from_secs(15), all)
            .await
            .unwrap_or_else(|_| panic!("{:?}, not {ids:?}", self.members()));
    }

    async fn until_link(&mut self, wanted: impl Fn(&LinkChange) -> bool) -> LinkChange {
        let found = timeout(Duration::from_secs(15), async {
            loop {
                match self.events.recv().await {
                    Some(BusEvent::Link { change, .. }) if wanted(&change) => return change,
                    Some(_) => {}
                    None => panic!("no more events"),
                }
            }
        });
        found.await.expect("in time")
    }
}

#[tokio::test]
async fn members_of_two_machines_see_and_hear_one_another_and_answer() {
    let world = World::new(2);
    let mut a = world.join(0, "a").await;
    let mut b = world.join(0, "b").await;
    let mut c = world.join(1, "c").await;
    let mut a2 = world.join(1, "a").await;
    a.until_members(&["a@rome", "b", "c@rome"]).await;
    b.until_members(&["a", "a@rome", "c@rome"]).await;
    c.until_members(&["a", "a@oslo", "b@oslo"]).await;
    a2.until_members(&["a@oslo", "b@oslo", "c"]).await;
    let machine = |id: &str| {
        let members = b.bus.members();
        let member = members.iter().find(|of| of.id.as_str() == id).unwrap();
        member.machine.as_ref().map(|name| name.as_str().to_owned())
    };
    assert_eq!(machine("a@rome").as_deref(), Some("rome"));
    assert_eq!(machine("a"), None);

    assert_eq!(b.publish("to all").await, [""; 0]);
    a.heard("b", "to all").await;
    c.heard("b@oslo", "to all").await;
    a2.heard("b@oslo", "to all").await;

    b.bus
        .member("c@rome")
        .unwrap()
        .send("to c".into())
        .await
        .unwrap();
    c.heard("b@oslo", "to c").await;
    let asked = c.bus.member("b@oslo").unwrap().request("tell".into()).await;
    assert_eq!(asked.unwrap(), "tell yourself");
    b.heard("c@rome", "tell").await;
    assert!(a.said.try_recv().is_err() && a2.said.try_recv().is_err());

    let listed = soon(who(world.path(0).try_into().unwrap())).await.unwrap();
    let machines: BTreeMap<_, _> = listed
        .present()
        .iter()
        .map(|of| (of.member.id.as_str(), of.member.machine.as_deref()))
        .collect();
    let rome = Some("rome");
    assert_eq!(
        machines,
        [("a", None), ("b", None), ("a@rome", rome), ("c@rome", rome)].into()
    );
    let link = a.bus.links().remove(0);
    assert!(link.up && link.machine.as_str() == "rome" && link.opened == 1);
    assert!(b.bus.links().is_empty(), "only the listener has links");
}

#[tokio::test]
async fn a_member_that_leaves_is_gone_at_once_on_the_other_machine() {
    let world = World::new(2);
    let a = world.join(0, "a").await;
    let b = world.join(0, "b").await;
    let c = world.join(1, "c").await;
    c.until_members(&["a@oslo", "b@oslo"]).await;
    soon(b.bus.dispose()).await;
    soon(c.until_members(&["a@oslo"])).await;
    // The listener says so before it ends.
    soon(a.bus.dispose()).await;
    timeout(Duration::from_secs(2), c.until_members(&[]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cut_within_the_grace_time_loses_nothing_and_repeats_nothing() {
    let world = World::new(2);
    let mut a = world.join(0, "a").await;
    let mut b = world.join(0, "b").await;
    let mut c = world.join(1, "c").await;
    b.until_members(&["a", "c@rome"]).await;
    c.until_members(&["a@oslo", "b@oslo"]).await;
    let mut sent = Vec::new();
    for n in 0..200 {
        if n % 50 == 10 {
            world.cut(0, 1);
        }
        if n % 50 == 30 {
            world.heal(0, 1);
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        sent.push(b.begin(n.to_string()).await);
        sent.push(c.begin(n.to_string()).await);
        tokio::task::yield_now().await;
    }
    for sent in sent {
        let delivered = timeout(Duration::from_secs(20), sent)
            .await
            .expect("delivered");
        assert_eq!(delivered.unwrap().missed, []);
    }
    for n in 0..200 {
        c.heard("b@oslo", &n.to_string()).await;
        b.heard("c@rome", &n.to_string()).await;
    }
    let mut of_a = BTreeMap::<_, Vec<String>>::new();
    while let Ok((from, text)) = a.said.try_recv() {
        of_a.entry(from).or_default().push(text);
    }
    let all: Vec<_> = (0..200).map(|n: u32| n.to_string()).collect();
    assert_eq!(
        of_a,
        [("b".to_owned(), all.clone()), ("c@rome".to_owned(), all)].into()
    );
    assert!(a.bus.links()[0].opened >= 2);
}

#[tokio::test]
async fn a_cut_beyond_the_grace_time_is_told_to_both_sides_and_ends() {
    let world = World::new(2);
    let regroup = Duration::from_millis(300);
    let mut a = world.join_with(0, "a", "test/1", regroup).await;
    let mut c = world.join_with(1, "c", "test/1", regroup).await;
    a.until_members(&["c@rome"]).await;
    c.until_members(&["a@oslo"]).await;
    world.cut(0, 1);
    a.until_link(|change| matches!(change, LinkChange::Down(DownReason::Closed(_))))
        .await;
    a.until_link(|change| matches!(change, LinkChange::Absent(Reason::Unreachable(_))))
        .await;
    let state = a.bus.links().remove(0);
    assert!(!state.up && state.reason.is_some(), "{state:?}");
    assert_eq!(a.publish("lost").await, ["c@rome"]);
    a.until_members(&[]).await;
    c.until_members(&[]).await;
    world.heal(0, 1);
    a.until_members(&["c@rome"]).await;
    assert_eq!(a.publish("again").await, [""; 0]);
    c.heard("a@oslo", "again").await;
    let missed = async {
        loop {
            if let BusEvent::Missed { from, count } = c.events.recv().await.unwrap() {
                return (from.id.as_str().to_owned(), count);
            }
        }
    };
    // At most one: the message may have been accepted after the other side was counted as left.
    if let Ok((from, count)) = timeout(Duration::from_millis(300), missed).await {
        assert_eq!((from.as_str(), count), ("a@oslo", 1));
    }
}

#[tokio::test]
async fn the_grace_time_begins_anew_with_each_cut() {
    let world = World::new(2);
    let regroup = Duration::from_secs(3);
    let mut a = world.join_with(0, "a", "test/1", regroup).await;
    let mut c = world.join_with(1, "c", "test/1", regroup).await;
    a.until_members(&["c@rome"]).await;
    c.until_members(&["a@oslo"]).await;
    for _ in 0..4 {
        world.cut(0, 1);
        a.until_link(|change| matches!(change, LinkChange::Down(_)))
            .await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        world.heal(0, 1);
        a.until_link(|change| *change == LinkChange::Up).await;
    }
    assert_eq!(a.publish("still there").await, [""; 0]);
    c.heard("a@oslo", "still there").await;
    assert_eq!((a.bus.counts().left, c.bus.counts().left), (0, 0));
}

#[tokio::test]
async fn a_listener_that_ends_is_followed_by_another_one_and_nothing_is_lost() {
    let world = World::new(3);
    let mut members = Vec::new();
    for machine in 0..3 {
        for id in ["a", "b", "c"] {
            members.push(world.join(machine, &format!("{id}{machine}")).await);
        }
    }
    for one in &members {
        let all = async {
            while one.bus.members().len() < 8 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(15), all)
            .await
            .expect("all have met");
    }
    // The listeners of all machines end, while the last member of each publishes.
    let mut sent = Vec::new();
    for n in 0..90 {
        if n % 30 == 15 {
            let listener = members.remove(n / 30 * 2);
            tokio::spawn(async move { listener.bus.dispose().await });
        }
        for one in &mut members {
            if one.bus.id().as_str().starts_with('c') {
                sent.push(one.begin(n.to_string()).await);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for sent in sent {
        let delivered = timeout(Duration::from_secs(20), sent)
            .await
            .expect("delivered");
        let missed = delivered.unwrap().missed;
        assert!(
            missed.iter().all(|id| id.as_str().starts_with('a')),
            "{missed:?}"
        );
    }
    let all: Vec<_> = (0..90).map(|n: u32| n.to_string()).collect();
    for one in &mut members {
        let mut heard = BTreeMap::<_, Vec<String>>::new();
        tokio::time::sleep(Duration::from_millis(50)).await;
        while let Ok((from, text)) = one.said.try_recv() {
            heard.entry(from).or_default().push(text);
        }
        let others = if one.bus.id().as_str().starts_with('c') {
            2
        } else {
            3
        };
        assert_eq!(heard.len(), others, "{:?}", heard.keys());
        for (from, texts) in heard {
            assert_eq!(texts, all, "from {from} at {}", one.bus.id());
        }
    }
}

#[tokio::test]
async fn another_protocol_on_the_other_machine_is_an_event_with_both_names_and_a_reason() {
    let world = World::new(2);
    let mut a = world.join(0, "a").await;
    let _c = world
        .join_with(1, "c", "other/1", Duration::from_secs(5))
        .await;
    let is_fault = |change: &LinkChange| {
        assert_ne!(*change, LinkChange::Up, "a link of two protocols");
        matches!(change, LinkChange::Absent(Reason::Protocol(_)))
    };
    let LinkChange::Absent(reason) = a.until_link(is_fault).await else {
        panic!();
    };
    let reason = reason.to_string();
    assert!(
        reason.contains("test/1") && reason.contains("other/1"),
        "{reason}"
    );
    let state = a.bus.links().remove(0);
    assert!(!state.up && state.reason.unwrap().to_string().contains("other/1"));
    assert_eq!(a.members(), [""; 0]);
}

#[tokio::test]
async fn a_member_of_this_machine_cannot_have_the_id_of_one_of_another_machine() {
    let world = World::new(2);
    let mut a = world.join(0, "a").await;
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let _c = world.join(1, "c").await;
    a.until_link(|change| *change == LinkChange::Up).await;
    let builder = Bus::<String>::builder(world.path(0)).identity(service("c@rome"));
    let refused = soon(builder.protocol("test/1").join(ignore))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("rome"), "{refused}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_listener_that_is_replaced_dials_its_links_anew_and_nothing_is_lost() {
    let world = World::new(2);
    let mut hub = world.take_over(0, "hub").await;
    let mut near = world.join(0, "near").await;
    let mut far = world.join(1, "far").await;
    near.until_members(&["far@rome", "hub"]).await;
    far.until_members(&["hub@oslo", "near@oslo"]).await;
    hub.until_members(&["far@rome", "near"]).await;
    let mut number = 0;
    for _ in 0..5 {
        let mut open = Vec::new();
        for _ in 0..20 {
            number += 1;
            open.push(near.begin(number.to_string()).await);
            open.push(far.begin(number.to_string()).await);
        }
        let next = world.take_over(0, "hub").await;
        soon(hub.bus.closed()).await;
        hub = next;
        for publish in open {
            assert_eq!(soon(publish).await.unwrap().missed, []);
        }
    }
    for n in 1..=number {
        near.heard("far@rome", &n.to_string()).await;
        far.heard("near@oslo", &n.to_string()).await;
    }
    for one in [&mut near, &mut far] {
        while let Some(event) = one.events.try_recv() {
            assert!(
                !matches!(event, BusEvent::Left(_) | BusEvent::Missed { .. }),
                "{event:?}"
            );
        }
    }
}
