//! A bus whose listener is replaced by another process: here by another member of this one, with the same id.
//!
//! A failure says the round, and shows the event that no member should have seen.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use kyneta_uds::{
    Bus, BusIncoming, HandoffPolicy, Role,
    bus::{BusBuilder, BusError, BusEvent, BusEventReader, BusJoinError, Publish, Responder, tap},
};
use kyneta_uds_handoff::{Limits, Refusal, control_path, take_over};
use support::{service, soon};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

/// What a handler gets: the sender, the number of the message, its text, and the way to answer it.
type Said = (String, u64, String, Option<Responder>);

struct One {
    bus: Bus<String>,
    said: mpsc::UnboundedReceiver<Said>,
    events: BusEventReader,
    /// A permit lets the handler of this member take one more message.
    pace: Arc<Semaphore>,
}

fn builder(path: &Path, id: &str) -> BusBuilder<String> {
    let builder = Bus::builder(path).identity(service(id));
    builder
        .protocol("test/1")
        .stall_limit(Duration::from_secs(60))
}

impl One {
    async fn begin(builder: BusBuilder<String>, takes_over: bool, permits: usize) -> Self {
        let (sender, said) = mpsc::unbounded_channel();
        let pace = Arc::new(Semaphore::new(permits));
        let gate = pace.clone();
        let handler = service_fn(move |incoming: BusIncoming<String>| {
            let (gate, sender) = (gate.clone(), sender.clone());
            async move {
                gate.acquire().await.unwrap().forget();
                let from = incoming.from.id.as_str().to_owned();
                let _ = sender.send((from, incoming.seq, incoming.message, incoming.request));
                Ok::<_, Infallible>(())
            }
        });
        let events = builder.events();
        let bus = match takes_over {
            true => soon(builder.take_over().join(handler)).await.unwrap(),
            false => soon(builder.join(handler)).await.unwrap(),
        };
        Self {
            bus,
            said,
            events,
            pace,
        }
    }

    async fn join(path: &Path, id: &str) -> Self {
        Self::begin(builder(path, id), false, Semaphore::MAX_PERMITS).await
    }

    /// The first one listens, the next one takes over.
    async fn take_over(path: &Path, id: &str) -> Self {
        Self::begin(builder(path, id), true, Semaphore::MAX_PERMITS).await
    }

    /// Begins to publish as soon as there is room.
    async fn publish(&mut self, text: &str) -> Publish {
        soon(self.bus.ready()).await.unwrap().call(text.to_owned())
    }

    async fn heard(&mut self) -> (String, u64, String) {
        let (from, seq, text, _) = soon(self.said.recv()).await.unwrap();
        (from, seq, text)
    }

    /// What has come about others so far.
    fn changes(&mut self) -> Vec<String> {
        let mut changes = Vec::new();
        while let Some(event) = self.events.try_recv() {
            match event {
                BusEvent::Joined(of) => changes.push(format!("+{}", of.id)),
                BusEvent::Left(of) => changes.push(format!("-{}", of.id)),
                BusEvent::Missed { from, count } => changes.push(format!("!{} {count}", from.id)),
                _ => {}
            }
        }
        changes
    }

    /// Until so many members have joined.
    async fn until_joined(&mut self, count: usize) {
        for _ in 0..count {
            let joined = |event| matches!(event, BusEvent::Joined(_)).then_some(());
            self.event(joined).await;
        }
    }

    async fn until_members(&self, count: usize) {
        let mut watch = self.bus.watch_members();
        while watch.get().len() != count {
            soon(watch.changed()).await.unwrap();
        }
    }

    /// Until an event of this kind; what comes before it is skipped.
    async fn event<T>(&mut self, of: impl Fn(BusEvent) -> Option<T>) -> T {
        loop {
            let event = soon(self.events.recv()).await.unwrap();
            if let Some(found) = of(event) {
                return found;
            }
        }
    }
}

fn taken(event: BusEvent) -> Option<usize> {
    match event {
        BusEvent::TookOver { connections, .. } => Some(connections),
        _ => None,
    }
}

fn not_taken_over(event: BusEvent) -> Option<String> {
    let BusEvent::NotTakenOver { error } = event else {
        return None;
    };
    let source = std::error::Error::source(error.get_ref());
    Some(format!(
        "{error}: {}",
        source.map(ToString::to_string).unwrap_or_default()
    ))
}

fn not_handed_over(event: BusEvent) -> Option<String> {
    match event {
        BusEvent::NotHandedOver { error } => Some(error.to_string()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_publish_see_nothing_of_ten_handoffs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut hub = One::take_over(&path, "hub").await;
    let mut members = Vec::new();
    for id in ["a", "b", "c"] {
        members.push(One::join(&path, id).await);
    }
    for member in &mut members {
        member.until_joined(3).await;
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let publishing: Vec<_> = members
        .iter()
        .map(|member| {
            let (mut bus, stop) = (member.bus.clone(), stop.clone());
            tokio::spawn(async move {
                let mut open = Vec::new();
                while !stop.is_cancelled() {
                    open.push(bus.ready().await.unwrap().call("x".to_owned()));
                    sleep(Duration::from_millis(1)).await;
                }
                let count = open.len() as u64;
                for publish in open {
                    assert_eq!(soon(publish).await.unwrap().missed, []);
                }
                count
            })
        })
        .collect();
    let mut heard_by_hub = Vec::new();
    let mut of_hub = 0;
    for round in 0..10 {
        sleep(Duration::from_millis(20)).await;
        // Not all of these are delivered when the successor comes.
        let mut open = Vec::new();
        for _ in 0..20 {
            open.push(hub.publish("of the hub").await);
            of_hub += 1;
        }
        let mut next = One::take_over(&path, "hub").await;
        assert_eq!(next.event(taken).await, 3, "{round}");
        assert_eq!(next.bus.role(), Role::Listener);
        soon(hub.bus.closed()).await;
        assert!(hub.bus.handed_over_to().is_some());
        let handed = hub.events.recv();
        let _ = soon(handed).await;
        for publish in next.bus.inherited() {
            assert_eq!(soon(publish).await.unwrap().missed, []);
        }
        for publish in open {
            match soon(publish).await {
                Ok(delivered) => assert_eq!(delivered.missed, []),
                Err(error) => assert!(matches!(error, BusError::Ended), "{error}"),
            }
        }
        while let Ok((from, seq, ..)) = hub.said.try_recv() {
            heard_by_hub.push((from, seq));
        }
        hub = next;
    }
    stop.cancel();
    let mut counts = Vec::new();
    for publishing in publishing {
        counts.push(soon(publishing).await.unwrap());
    }
    // A last message of each comes after all others.
    let mut last = Vec::new();
    for member in members.iter_mut().chain([&mut hub]) {
        last.push(member.publish("last").await);
    }
    for publish in last {
        assert_eq!(soon(publish).await.unwrap().missed, []);
    }
    for (at, member) in members.iter_mut().enumerate() {
        assert_eq!(member.changes(), [""; 0]);
        let mut seen = [0; 4];
        let expected: Vec<_> = (0..4)
            .map(|from| match from {
                3 => of_hub + 1,
                from if from == at => 0,
                from => counts[from] + 1,
            })
            .collect();
        while seen != expected[..] {
            let (from, seq, _) = member.heard().await;
            let from = ["a", "b", "c", "hub"].iter().position(|of| *of == from);
            seen[from.unwrap()] += 1;
            assert_eq!(seq, seen[from.unwrap()]);
        }
    }
    while let Ok((from, seq, ..)) = hub.said.try_recv() {
        heard_by_hub.push((from, seq));
    }
    for (id, count) in ["a", "b", "c"].iter().zip(counts) {
        let of_member = heard_by_hub.iter().filter(|(from, _)| from == id);
        let numbers: Vec<_> = of_member.map(|(_, seq)| *seq).collect();
        assert_eq!(numbers, (1..=count + 1).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_waits_for_the_handler_of_the_listener_goes_on_in_the_successor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut hub = One::begin(builder(&path, "hub"), true, 3).await;
    let mut till = One::join(&path, "till").await;
    let mut open = Vec::new();
    for number in 0..100 {
        open.push(till.publish(&number.to_string()).await);
    }
    for number in 0..3 {
        assert_eq!(hub.heard().await.2, number.to_string());
    }
    // The handler is at work on the next one: it is waited for.
    let at = path.clone();
    let mut successor = tokio::spawn(async move { One::take_over(&at, "hub").await });
    let mut next = loop {
        match timeout(Duration::from_millis(50), &mut successor).await {
            Ok(next) => break next.unwrap(),
            Err(_) => hub.pace.add_permits(1),
        }
    };
    let mut number = 3;
    while let Some((_, seq, text, _)) = soon(hub.said.recv()).await {
        assert_eq!((seq, text), (number + 1, number.to_string()));
        number += 1;
    }
    assert!(number < 100);
    for number in number..100 {
        let heard = next.heard().await;
        assert_eq!(heard, ("till".to_owned(), number + 1, number.to_string()));
    }
    for publish in open {
        assert_eq!(soon(publish).await.unwrap().missed, []);
    }
    // Of the successor's own events, the member comes before its messages.
    assert_eq!(next.changes(), ["+till"]);
}

#[tokio::test]
async fn what_waits_for_slow_members_goes_over_and_their_policies_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut hub = One::take_over(&path, "hub").await;
    let mut slow = One::begin(builder(&path, "slow"), false, 0).await;
    let newest = builder(&path, "newest").when_slow_keep_newest(NonZeroU32::new(4).unwrap());
    let mut newest = One::begin(newest, false, 0).await;
    let mut till = One::join(&path, "till").await;
    for member in [&hub, &slow, &newest, &till] {
        member.until_members(3).await;
    }
    let body = "x".repeat(10_000);
    let mut open = Vec::new();
    for _ in 0..1_000 {
        open.push(till.publish(&body).await);
    }
    for _ in 0..3 {
        let next = One::take_over(&path, "hub").await;
        soon(hub.bus.closed()).await;
        hub = next;
    }
    for member in [&slow, &newest] {
        member.pace.add_permits(Semaphore::MAX_PERMITS);
    }
    for number in 1..=1_000 {
        assert_eq!(slow.heard().await.1, number);
    }
    for publish in open {
        assert_eq!(soon(publish).await.unwrap().missed, []);
    }
    // The last one is one of the newest, and each that is lacking is told.
    let mut heard = 0;
    while newest.heard().await.1 < 1_000 {
        heard += 1;
    }
    let missed: u64 = newest
        .changes()
        .iter()
        .filter_map(|of| of.strip_prefix("!till ")?.parse::<u64>().ok())
        .sum();
    assert_eq!(heard + 1 + missed, 1_000, "{heard} heard, {missed} missed");
    assert_eq!(
        slow.changes()
            .iter()
            .filter(|of| of.starts_with(['-', '!']))
            .count(),
        0
    );
}

#[tokio::test]
async fn requests_are_answered_before_or_fail_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut hub = One::take_over(&path, "hub").await;
    let till = One::join(&path, "till").await;
    let ask = |text: &'static str| {
        let mut hub = till.bus.member("hub").unwrap();
        tokio::spawn(async move { hub.request(text.to_owned()).await })
    };
    let (in_time, late) = (ask("in time"), ask("late"));
    let (.., first) = soon(hub.said.recv()).await.unwrap();
    let (.., second) = soon(hub.said.recv()).await.unwrap();
    let successor = tokio::spawn({
        let path = path.clone();
        async move { One::take_over(&path, "hub").await }
    });
    sleep(Duration::from_millis(50)).await;
    first.unwrap().answer(&"yes".to_owned()).unwrap();
    let mut next = soon(successor).await.unwrap();
    assert_eq!(soon(in_time).await.unwrap().unwrap(), "yes");
    let error = soon(late).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("has been replaced"), "{error}");
    // Too late.
    second.unwrap().answer(&"no".to_owned()).unwrap();
    let again = ask("again");
    let (.., request) = soon(next.said.recv()).await.unwrap();
    request.unwrap().answer(&"still here".to_owned()).unwrap();
    assert_eq!(soon(again).await.unwrap().unwrap(), "still here");
}

#[tokio::test]
async fn a_connection_that_looks_on_goes_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut hub = One::take_over(&path, "hub").await;
    let mut till = One::join(&path, "till").await;
    let mut tap = soon(tap((&*path).try_into().unwrap())).await.unwrap();
    for number in 1..=5 {
        soon(till.publish("seen").await).await.unwrap();
        let passed = soon(tap.next()).await.unwrap().unwrap();
        assert_eq!(
            (passed.from.as_str(), passed.seq, passed.missed),
            ("till", number, 0)
        );
        let mut next = One::take_over(&path, "hub").await;
        assert_eq!(next.event(taken).await, 2);
        soon(hub.bus.closed()).await;
        hub = next;
    }
}

#[tokio::test]
async fn a_process_that_is_another_member_joins_as_that_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut hub = One::take_over(&path, "hub").await;
    let mut till = One::take_over(&path, "till").await;
    assert_eq!(
        (hub.bus.role(), till.bus.role()),
        (Role::Listener, Role::Connector)
    );
    let why = till.event(not_taken_over).await;
    assert!(why.contains("\"hub\""), "{why}");
    let why = hub.event(not_handed_over).await;
    assert!(
        why.contains("another member of the bus: \"hub\", and this process is \"till\""),
        "{why}"
    );
    soon(till.publish("hello").await).await.unwrap();
    assert_eq!(hub.heard().await.2, "hello");
    // A process without an id of its own goes on as whichever member listens.
    let unnamed = Bus::<String>::builder(&*path)
        .protocol("test/1")
        .take_over();
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let next = soon(unnamed.join(ignore)).await.unwrap();
    assert_eq!((next.id().as_str(), next.role()), ("hub", Role::Listener));
    soon(hub.bus.closed()).await;
}

#[tokio::test]
async fn where_nothing_is_offered_it_joins_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let _hub = One::join(&path, "hub").await;
    let mut till = One::take_over(&path, "till").await;
    assert_eq!(till.bus.role(), Role::Connector);
    let why = till.event(not_taken_over).await;
    assert!(why.contains("offers no handoff"), "{why}");
}

#[tokio::test]
async fn a_successor_that_cannot_go_on_leaves_the_listener_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut hub = One::take_over(&path, "hub").await;
    let mut till = One::join(&path, "till").await;
    let goes_on = async |hub: &mut One, till: &mut One, text: &str| {
        soon(till.publish(text).await).await.unwrap();
        assert_eq!(hub.heard().await.2, text);
        soon(hub.publish(text).await).await.unwrap();
        assert_eq!(till.heard().await.2, text);
    };
    // It speaks another protocol.
    let other = Bus::<String>::builder(&*path)
        .identity(service("hub"))
        .protocol("test/2");
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let refused = soon(other.take_over().join(ignore)).await;
    assert!(
        matches!(refused, Err(BusJoinError::NotTakenOver { .. })),
        "{refused:?}"
    );
    let why = hub.event(not_handed_over).await;
    assert!(
        why.contains("a protocol that this process does not have"),
        "{why}"
    );
    goes_on(&mut hub, &mut till, "after another protocol").await;
    // It does not know the state; it hangs while all is frozen, and comes too late.
    for (pause, expected) in [
        (0, "no version that I know"),
        (1_200, "took longer than 1000 ms"),
    ] {
        let at = path.clone();
        let asked = tokio::task::spawn_blocking(move || {
            take_over(&at, Limits::default(), |_| {
                std::thread::sleep(Duration::from_millis(pause));
                Err::<(), _>(Refusal::Other("no version that I know".to_owned()))
            })
        });
        let mut publish = till.publish("while it is frozen").await;
        if pause > 0 {
            let still = timeout(Duration::from_millis(500), &mut publish).await;
            assert!(still.is_err() || still.unwrap().is_ok());
        }
        assert!(soon(asked).await.unwrap().is_err());
        let why = hub.event(not_handed_over).await;
        assert!(why.contains(expected), "{why}");
        assert_eq!(hub.heard().await.2, "while it is frozen");
        goes_on(&mut hub, &mut till, "after a refusal").await;
    }
    assert_eq!(till.changes().iter().filter(|of| *of == "-hub").count(), 0);
    assert!(control_path(&path).exists());
    let mut next = One::take_over(&path, "hub").await;
    soon(hub.bus.closed()).await;
    goes_on(&mut next, &mut till, "after a handoff").await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_not_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let policy = HandoffPolicy::default().handlers(Duration::from_millis(50));
    let mut hub = One::begin(builder(&path, "hub").offer_handoff(policy), false, 0).await;
    let mut till = One::join(&path, "till").await;
    let publish = till.publish("first").await;
    soon(publish).await.unwrap();
    let handler = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let refused = soon(builder(&path, "hub").take_over().join(handler)).await;
    assert!(
        matches!(refused, Err(BusJoinError::NotTakenOver { .. })),
        "{refused:?}"
    );
    let why = hub.event(not_handed_over).await;
    assert!(
        why.contains("the handler is at work for longer than 50ms"),
        "{why}"
    );
    hub.pace.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(hub.heard().await.2, "first");
    let mut next = One::take_over(&path, "hub").await;
    soon(till.publish("second").await).await.unwrap();
    assert_eq!(
        next.heard().await,
        ("till".to_owned(), 2, "second".to_owned())
    );
}

#[tokio::test]
async fn what_is_called_while_all_is_frozen_is_sent_afterwards_or_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let hub = One::take_over(&path, "hub").await;
    let mut till = One::join(&path, "till").await;
    hub.until_members(1).await;
    for commits in [false, true] {
        // A slot of the window each, before all is frozen.
        let (mut ready, mut waits) = (hub.bus.clone(), hub.bus.clone());
        soon(ready.ready()).await.unwrap();
        let (frozen, is_frozen) = tokio::sync::oneshot::channel();
        let (go_on, goes_on) = std::sync::mpsc::channel();
        let at = path.clone();
        let asked = tokio::task::spawn_blocking(move || {
            take_over(&at, Limits::default(), |_| {
                frozen.send(()).unwrap();
                goes_on.recv().unwrap();
                match commits {
                    true => Ok(()),
                    false => Err(Refusal::Other("not this time".to_owned())),
                }
            })
        });
        soon(is_frozen).await.unwrap();
        let late = ready.call("late".to_owned());
        assert!(
            timeout(Duration::from_millis(20), waits.ready())
                .await
                .is_err()
        );
        go_on.send(()).unwrap();
        assert_eq!(soon(asked).await.unwrap().is_ok(), commits);
        let (late, waits) = (soon(late).await, soon(waits.ready()).await.map(drop));
        if commits {
            assert!(matches!(late, Err(BusError::NotSent)), "{late:?}");
            assert!(matches!(waits, Err(BusError::NotSent)), "{waits:?}");
        } else {
            assert_eq!(late.unwrap().missed, []);
            waits.unwrap();
            assert_eq!(till.heard().await.2, "late");
        }
    }
    soon(hub.bus.closed()).await;
}
