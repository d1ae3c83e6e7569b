//! A hub over local members: order, backpressure, rates, panics, the end.
//!
//! The members are channels in memory, each with a handler that the test opens and shuts. A failure shows the
//! message, or how many came.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use kyneta_uds_core::{
    ChannelMsg, DocEntry, DocId, Inbound, Interest, Offer, ReplicaType, SchemaHash, Version,
    WireVersion,
};
use kyneta_uds_hub::{Hub, HubEvent, LocalChannel, Rate, Rates, Router};
use kyneta_uds_queue::{Overflow, QueueConfig, queue};
use kyneta_uds_relay::{
    Access, Diagnostic, Effect, Gate, MemberFacts, MemberKey, Switch, SwitchConfig,
};
use tokio::time::{Instant, timeout};
use tower::{Service as _, ServiceExt as _};

/// Passes each message to all others; panics on `vacant`, and on a link.
#[derive(Default)]
struct ToAllOthers(Vec<MemberKey>);

impl Router<ChannelMsg> for ToAllOthers {
    fn established(&mut self, member: MemberKey, facts: &MemberFacts, _: &mut Vec<Effect>) {
        assert!(!facts.link, "a link");
        self.0.push(member);
    }
    fn received(&mut self, from: MemberKey, msg: ChannelMsg, out: &mut Vec<Effect>) {
        assert!(!matches!(msg, ChannelMsg::Vacant(_)), "vacant");
        let others = self.0.iter().filter(|member| **member != from);
        out.extend(others.map(|member| Effect::send(*member, msg.clone())));
    }
    fn left(&mut self, member: MemberKey, _: &mut Vec<Effect>) {
        self.0.retain(|known| *known != member);
    }
}

fn hub() -> Hub<ChannelMsg> {
    Hub::new(|| Box::new(ToAllOthers::default()))
}

fn join(hub: &Hub<ChannelMsg>, config: QueueConfig) -> LocalChannel<ChannelMsg> {
    hub.local(MemberFacts::local(WireVersion::V3), config)
}

fn numbered(member: usize, number: usize) -> ChannelMsg {
    ChannelMsg::Dismiss(DocId::new(format!("{member}/{number}")).unwrap())
}

async fn send(member: &mut LocalChannel<ChannelMsg>, msg: ChannelMsg) {
    member.ready().await.unwrap().call(msg).await.unwrap();
}

async fn receive(member: &mut LocalChannel<ChannelMsg>) -> Option<ChannelMsg> {
    match member.next().await {
        Some(Ok(Inbound::Message(msg))) => Some(msg),
        _ => None,
    }
}

/// Four members send at once, from tasks of a runtime with two threads, with small queues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_reaches_each_other_member_once_and_in_its_senders_order() {
    const MEMBERS: usize = 4;
    const EACH: usize = 2_000;
    let hub = hub();
    let config = QueueConfig::default().max_messages(8);
    let members: Vec<_> = (0..MEMBERS).map(|_| join(&hub, config.clone())).collect();
    let tasks = members.into_iter().enumerate().map(|(own, member)| {
        tokio::spawn(async move {
            let mut next = [0; MEMBERS];
            let (mut sent, mut received) = (0, 0);
            let mut member = member;
            while sent < EACH || received < EACH * (MEMBERS - 1) {
                tokio::select! {
                    ready = member.ready(), if sent < EACH => {
                        ready.unwrap().call(numbered(own, sent)).await.unwrap();
                        sent += 1;
                    }
                    // Where it cannot send, it reads.
                    else => {}
                }
                while let Ok(msg) = timeout(Duration::from_micros(1), receive(&mut member)).await {
                    let Some(ChannelMsg::Dismiss(doc)) = msg else {
                        panic!("{msg:?}")
                    };
                    let (from, number) = doc.as_str().split_once('/').unwrap();
                    let (from, number): (usize, usize) =
                        (from.parse().unwrap(), number.parse().unwrap());
                    assert_ne!(from, own);
                    assert_eq!(number, next[from], "of {from}");
                    next[from] += 1;
                    received += 1;
                }
            }
            member
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut members = Vec::new();
    for task in tasks {
        members.push(
            timeout(Duration::from_secs(60), task)
                .await
                .unwrap()
                .unwrap(),
        );
    }
    let status = hub.status();
    assert_eq!(status.members, MEMBERS);
    assert_eq!(status.routed, (MEMBERS * EACH * (MEMBERS - 1)) as u64);
}

/// In a round the first message goes at once, then thirty-two when they are there, the last one at the end of the round,
/// or when the member leaves. Outside of a round each goes at once.
#[tokio::test]
async fn what_is_received_in_a_round_is_routed_together() {
    let hub = hub();
    let mut reader = join(&hub, QueueConfig::default());
    let (handle, _driver) = queue(QueueConfig::default());
    let mut member = hub.enter(MemberFacts::local(WireVersion::V3), handle);
    let routed = || hub.status().routed;
    member.received(numbered(0, 0));
    assert_eq!(routed(), 1);
    member.round_begins();
    for number in 1..=32 {
        member.received(numbered(0, number));
        assert_eq!(routed(), 2);
    }
    member.received(numbered(0, 33));
    assert_eq!(routed(), 34);
    member.received(numbered(0, 34));
    assert_eq!(routed(), 34);
    member.round_over();
    assert_eq!(routed(), 35);
    member.round_begins();
    member.received(numbered(0, 35));
    member.received(numbered(0, 36));
    assert_eq!(routed(), 36);
    drop(member);
    for number in 0..=36 {
        assert_eq!(receive(&mut reader).await.unwrap(), numbered(0, number));
    }
}

fn documents(of: std::ops::Range<usize>) -> Vec<DocEntry> {
    let entry = |number| {
        let replica = ReplicaType::new("loro", 1.0, 0.0).unwrap();
        let schema = SchemaHash::new("00aa").unwrap();
        DocEntry::new(DocId::new(format!("{number}")).unwrap(), replica, schema)
    };
    of.map(entry).collect()
}

/// What another member sends passes between the parts, what its sender sends afterwards comes after them, and a state for
/// another process has all of them. Its leave is in parts, too.
#[tokio::test(start_paused = true)]
async fn a_message_that_shows_many_documents_is_routed_in_parts() {
    const PART: usize = 1024 / 3;
    let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
    let enter = || {
        let (handle, driver) = queue(QueueConfig::default());
        let facts = MemberFacts::local(WireVersion::V3);
        (hub.enter(facts, handle), driver)
    };
    let mut reader = join(&hub, QueueConfig::default());
    let ((mut sender, _driver), (mut other, _other)) = (enter(), enter());
    let kept = || {
        let counts = hub.inspect(|router| router.counts());
        counts.unwrap().documents
    };
    sender.received(ChannelMsg::Present(documents(0..3_000)));
    assert_eq!(kept(), PART);
    assert_eq!(hub.inspect_whole(|_| ()), None);
    other.received(ChannelMsg::Present(documents(5_000..5_001)));
    let is_ready = poll_fn(|cx| sender.poll_ready(cx));
    assert!(timeout(Duration::ZERO, is_ready).await.is_err());
    poll_fn(|cx| sender.poll_ready(cx)).await;
    sender.received(ChannelMsg::Present(documents(3_000..3_001)));
    let whole = hub.inspect_whole(|router| router.counts().documents);
    assert_eq!(whole, Some(3_002));
    let mut shown = Vec::new();
    while shown.len() < 3_002 {
        match receive(&mut reader).await {
            Some(ChannelMsg::Present(entries)) => shown.extend(entries),
            msg => panic!("{msg:?}"),
        }
    }
    assert_eq!(shown.remove(PART).doc.as_str(), "5000");
    assert_eq!(shown, documents(0..3_001));

    drop(sender);
    assert!((2..3_002).contains(&kept()), "{}", kept());
    while kept() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.status().members, 2);
}

/// 64 KiB are routed before the round is over.
#[tokio::test]
async fn a_round_is_bounded_in_bytes() {
    let hub = hub();
    let _reader = join(&hub, QueueConfig::default());
    let (handle, _driver) = queue(QueueConfig::default());
    let mut member = hub.enter(MemberFacts::local(WireVersion::V3), handle);
    member.round_begins();
    let offer = |bytes| {
        let doc = DocId::new("d").unwrap();
        Offer::binary(doc, Version::new("1").unwrap(), vec![0; bytes]).into()
    };
    member.received(offer(1 << 10));
    member.received(offer(1 << 10));
    assert_eq!(hub.status().routed, 1);
    member.received(offer(64 << 10));
    assert_eq!(hub.status().routed, 3);
}

/// Passes each message to the first member that is there, and reports `vacant`.
#[derive(Default)]
struct ToTheFirst(Vec<MemberKey>);

impl Router<ChannelMsg> for ToTheFirst {
    fn established(&mut self, member: MemberKey, _: &MemberFacts, _: &mut Vec<Effect>) {
        self.0.push(member);
    }
    fn received(&mut self, from: MemberKey, msg: ChannelMsg, out: &mut Vec<Effect>) {
        match msg {
            ChannelMsg::Vacant(_) => out.push(Effect::Report {
                diagnostic: Diagnostic::ChangedEntry,
                member: from,
                doc: None,
            }),
            msg => out.extend(self.0.first().map(|first| Effect::send(*first, msg))),
        }
    }
    fn left(&mut self, member: MemberKey, _: &mut Vec<Effect>) {
        self.0.retain(|known| *known != member);
    }
}

/// A panic of `on_event` ends a turn, and the member that it had messages for leaves: no other member gets them.
#[tokio::test]
async fn what_a_member_that_has_left_was_to_get_reaches_no_other() {
    let panics = |_: &HubEvent| panic!("as the test wants it");
    let hub = Hub::with(|| Box::new(ToTheFirst::default()), Rates::default(), panics);
    let enter = || {
        let (handle, driver) = queue(QueueConfig::default());
        let facts = MemberFacts::local(WireVersion::V3);
        (hub.enter(facts, handle.clone()), handle, driver)
    };
    let (first, _handle, _driver) = enter();
    let (_second, second_gets, _driver) = enter();
    let (mut sender, _handle, _driver) = enter();
    sender.round_begins();
    sender.received(numbered(0, 0));
    sender.received(numbered(0, 1));
    sender.received(ChannelMsg::Vacant(DocId::new("d").unwrap()));
    let ended = catch_unwind(AssertUnwindSafe(|| sender.round_over()));
    assert!(ended.is_err());
    drop(first);
    sender.round_begins();
    for number in 2..=4 {
        sender.received(numbered(0, number));
    }
    sender.round_over();
    assert_eq!(second_gets.queued().0, 3);
}

/// A member does not read: the sender waits, the queue stays within its bound and one message, and after the
/// stall limit that member alone is disconnected.
#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_read_holds_the_sender_up_once() {
    let hub = hub();
    let stalls = Overflow::Disconnect {
        after: Duration::from_secs(5),
    };
    let config = QueueConfig::default().max_messages(4).overflow(stalls);
    let (mut sender, mut reader) = (join(&hub, config.clone()), join(&hub, config.clone()));
    let _stopped = join(&hub, config);
    let start = Instant::now();
    let reads = tokio::spawn(async move {
        for number in 0..200 {
            assert_eq!(receive(&mut reader).await.unwrap(), numbered(0, number));
        }
        reader
    });
    for number in 0..200 {
        send(&mut sender, numbered(0, number)).await;
    }
    let _reader = reads.await.unwrap();
    let took = start.elapsed();
    assert!((5..6).contains(&took.as_secs()), "{took:?}");
    assert_eq!(hub.status().members, 2);
}

#[tokio::test(start_paused = true)]
async fn a_member_over_its_rate_is_read_more_slowly_and_loses_nothing() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (rate, seen) = (
        Rate {
            per_second: 10,
            burst: 5,
        },
        events.clone(),
    );
    let hub = Hub::with(
        || Box::new(ToAllOthers::default()),
        Rates::default().interests(rate),
        move |event| seen.lock().unwrap().push(event.clone()),
    );
    let mut sender = join(&hub, QueueConfig::default());
    let mut reader = join(&hub, QueueConfig::default());
    let interest = || ChannelMsg::from(Interest::new(DocId::new("d").unwrap()));
    let start = Instant::now();
    for _ in 0..25 {
        send(&mut sender, interest()).await;
    }
    for _ in 0..25 {
        assert_eq!(receive(&mut reader).await.unwrap(), interest());
    }
    let took = start.elapsed();
    assert!((1_900..2_100).contains(&took.as_millis()), "{took:?}");
    let events = events.lock().unwrap();
    let held_back = |event: &HubEvent| matches!(event, HubEvent::HeldBack { .. });
    assert!(
        !events.is_empty() && events.iter().all(held_back),
        "{events:?}"
    );
}

/// One that asks for few documents does not wait; one that asks for many does so for a millisecond after each 512.
#[tokio::test(start_paused = true)]
async fn a_member_that_asks_for_much_leaves_the_others_time_to_answer() {
    let hub = hub();
    let mut sender = join(&hub, QueueConfig::default());
    let mut reader = join(&hub, QueueConfig::default());
    let interest = || ChannelMsg::from(Interest::new(DocId::new("d").unwrap()));
    let start = Instant::now();
    for (more, pauses) in [(512, 0), (1, 1), (511, 1), (1_025, 4)] {
        for _ in 0..more {
            send(&mut sender, interest()).await;
            assert_eq!(receive(&mut reader).await.unwrap(), interest());
        }
        // Tokio's timers round up.
        let took = start.elapsed().as_millis();
        assert!((pauses..=2 * pauses).contains(&took), "{more}: {took} ms");
    }
}

/// Offers what the gate lets it read: each is refused. Then what it has not presented: this is not held back.
#[tokio::test(start_paused = true)]
async fn a_member_of_which_much_is_refused_is_read_more_slowly() {
    let rate = Rate {
        per_second: 10,
        burst: 5,
    };
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let config = SwitchConfig::default().gate(Gate::everything().and(|_, _| Access::Read));
    let hub = Hub::with(
        move || Box::new(Switch::new(config.clone())),
        Rates::default().refusals(rate),
        move |event| seen.lock().unwrap().push(event.clone()),
    );
    let reports = |of: Diagnostic| {
        let events = events.lock().unwrap();
        let is_one = |event: &&HubEvent| match event {
            HubEvent::Diagnostic { diagnostic, .. } => *diagnostic == of,
            _ => false,
        };
        events.iter().filter(is_one).count()
    };
    let mut sender = join(&hub, QueueConfig::default());
    let replica = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let entry = DocEntry::new(
        DocId::new("d").unwrap(),
        replica,
        SchemaHash::new("00aa").unwrap(),
    );
    send(&mut sender, ChannelMsg::Present(vec![entry])).await;
    let start = Instant::now();
    for (doc, report, millis) in [
        ("d", Diagnostic::WriteNotPermitted, 1_900..2_100),
        ("e", Diagnostic::OfferWithoutPresent, 1_900..2_300),
    ] {
        for _ in 0..25 {
            let (doc, version) = (DocId::new(doc).unwrap(), Version::new("1").unwrap());
            send(
                &mut sender,
                Offer::binary(doc, version, vec![1]).delta().into(),
            )
            .await;
        }
        while reports(report) < 25 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = start.elapsed();
        assert!(millis.contains(&took.as_millis()), "{took:?}");
    }
    let held_back = |event: &HubEvent| matches!(event, HubEvent::HeldBack { .. });
    assert!(events.lock().unwrap().iter().any(held_back));
}

#[tokio::test]
async fn a_router_that_panics_costs_the_connections_and_the_hub_goes_on() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let hub = Hub::with(
        || Box::new(ToAllOthers::default()),
        Rates::default(),
        move |event| seen.lock().unwrap().push(event.clone()),
    );
    let mut a = join(&hub, QueueConfig::default());
    let mut b = join(&hub, QueueConfig::default());
    send(&mut a, ChannelMsg::Vacant(DocId::new("d").unwrap())).await;
    assert_eq!(receive(&mut a).await, None);
    assert_eq!(receive(&mut b).await, None);
    let Some(HubEvent::RouterPanicked(panic)) = events.lock().unwrap().pop() else {
        panic!("it is reported");
    };
    assert_eq!(panic.to_string(), "the router panicked: vacant");

    let mut a = join(&hub, QueueConfig::default());
    let mut b = join(&hub, QueueConfig::default());
    send(&mut a, numbered(0, 0)).await;
    assert_eq!(receive(&mut b).await.unwrap(), numbered(0, 0));
    assert_eq!(hub.status().members, 2);
}

/// Its own process has handles of it, too: a server has one for its user.
#[tokio::test]
async fn a_member_at_whose_coming_the_router_panics_is_disconnected_too() {
    let hub = hub();
    let mut a = join(&hub, QueueConfig::default());
    let (handle, _driver) = queue(QueueConfig::default());
    let _link = hub.enter(MemberFacts::link(WireVersion::V3), handle.clone());
    assert_eq!(receive(&mut a).await, None);
    assert!(handle.is_closed());
    assert_eq!(hub.status().members, 0);
}

#[tokio::test]
async fn a_closed_hub_routes_nothing() {
    let hub = hub();
    let mut a = join(&hub, QueueConfig::default());
    let mut b = join(&hub, QueueConfig::default());
    send(&mut a, numbered(0, 0)).await;
    assert_eq!(receive(&mut b).await.unwrap(), numbered(0, 0));
    assert_eq!(hub.inspect(|router| router.counts().documents), Some(0));
    hub.close();
    assert_eq!(hub.inspect(|_| ()), None);
    // The queue of each is gone with it.
    assert_eq!(receive(&mut b).await, None);
}

#[tokio::test]
async fn what_the_switch_keeps_is_seen_through_the_hub() {
    let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
    let mut a = join(&hub, QueueConfig::default());
    let mut b = join(&hub, QueueConfig::default());
    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let schema = SchemaHash::new("02ab").unwrap();
    let entry = DocEntry::new(DocId::new("d").unwrap(), loro, schema);
    send(&mut a, ChannelMsg::Present(vec![entry.clone()])).await;
    assert_eq!(
        receive(&mut b).await.unwrap(),
        ChannelMsg::Present(vec![entry])
    );
    let counts = hub.inspect(|router| router.counts()).unwrap();
    assert_eq!(
        (counts.members, counts.documents, counts.records),
        (2, 1, 2)
    );
}

/// What a member shows is shown to those that leave, too: a hub that let others come before those have left had more of them
/// with each that came, and then went on with nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_fast_leave_nothing_behind() {
    const AT_ONCE: usize = 32;
    const EACH: usize = 100;
    let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
    let tasks = (0..AT_ONCE).map(|place| {
        let hub = hub.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                let (handle, _driver) = queue(QueueConfig::default());
                let mut member = hub.enter(MemberFacts::local(WireVersion::V3), handle);
                poll_fn(|cx| member.poll_ready(cx)).await;
                let entries = (0..8).map(|doc| {
                    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
                    let doc = DocId::new(format!("{place}/{number}/{doc}")).unwrap();
                    DocEntry::new(doc, loro, SchemaHash::new("02ab").unwrap())
                });
                member.received(ChannelMsg::Present(entries.collect()));
                tokio::task::yield_now().await;
            }
        })
    });
    let ends = async {
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        // All that is in the line is before it; but for leaves in parts.
        while hub.look(|router| router.counts().members).await != Some(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), ends).await.unwrap();
}
