//! Another machine with more members than a bus takes, and what goes to another machine while a bus is handed over.
//!
//! In the first test the other machine is a link in memory that says 4,096 members. A failure shows the reason that it was
//! told, or what was heard.

use std::{convert::Infallible, future::poll_fn, pin::Pin, time::Duration};

use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{BoxError, Channel, Identity, WireVersion};
use kyneta_uds_framing::{FramingLayer, WireMode};
use kyneta_uds_machines::{LinkEvent, Links, Machine, MachineKey, memory::Network};
use tokio::{sync::mpsc, time::timeout};
use tower::{Service as _, ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use super::{
    codec::LinkCodec,
    wire::{LinkHello, LinkWire},
};
use crate::{
    Bus, BusIncoming,
    bus::{
        BusEvent,
        channel::MAGIC,
        wire::{Introduction, VERSIONS},
    },
    machines::Machines,
};

/// How many members a bus has at most, as its documentation says.
const MOST: u64 = 4096;

fn key(of: u8) -> MachineKey {
    MachineKey::from([of; 32])
}

fn links(
    network: &Network,
    me: u8,
    name: &str,
    other: u8,
    other_name: &str,
) -> Links<kyneta_uds_machines::memory::Stream> {
    let other = Machine::new(other_name.parse().unwrap(), key(other), key(other));
    let builder = Links::builder(name.parse().unwrap(), key(me)).machine(other);
    builder
        .start(network.dialer(key(me)), network.listen(key(me)))
        .unwrap()
}

fn machines(
    network: &Network,
    me: u8,
    name: &'static str,
    other: u8,
    other_name: &'static str,
) -> Machines {
    let network = network.clone();
    Machines::new(move || {
        let links = links(&network, me, name, other, other_name);
        async move { Ok::<_, BoxError>(links) }
    })
}

fn member(number: u64) -> LinkWire {
    let introduction = Introduction {
        id: format!("m{number}"),
        inc: 1,
        name: None,
        kind: "service".to_owned(),
        machine: None,
        pid: None,
        uid: None,
        since_ms: None,
        waits: None,
    };
    LinkWire::Announce {
        mine: number,
        session: 1,
        keeps_newest: false,
        introduction: Box::new(introduction),
    }
}

/// The other end of the link of rome to oslo, at which the first words are said.
async fn speaks(network: &Network) -> impl Channel<LinkWire> {
    let mut rome = links(network, 2, "rome", 1, "oslo");
    let io = loop {
        if let Some(LinkEvent::Up { io, .. }) = rome.next().await {
            break io;
        }
    };
    // It goes on without its events.
    tokio::spawn(async move { while rome.next().await.is_some() {} });
    let once = service_fn(|io| std::future::ready(Ok::<_, std::io::Error>(io)));
    let framing = FramingLayer::new().wire(WireMode::Fixed(WireVersion::V3));
    let stack = CborLayer::with_codec(LinkCodec).layer(framing.layer(once));
    let mut channel = stack.oneshot(io).await.unwrap();
    let hello = LinkHello {
        bus: MAGIC.to_owned(),
        lo: VERSIONS.0,
        hi: VERSIONS.1,
        protocols: vec!["bus/1".to_owned()],
    };
    say(&mut channel, LinkWire::Hello(Box::new(hello))).await;
    channel
}

/// Says it, and lets pass what the bus says.
async fn say<C: Channel<LinkWire>>(channel: &mut C, wire: LinkWire) {
    poll_fn(|cx| channel.poll_ready(cx)).await.ok().unwrap();
    drop(channel.call(wire));
    poll_fn(|cx| {
        while Pin::new(&mut *channel).poll_next(cx).is_ready() {}
        channel.poll_flush(cx)
    })
    .await
    .ok()
    .unwrap();
}

#[tokio::test]
async fn a_member_of_another_machine_beyond_the_bound_is_an_event_with_the_reason() {
    let (network, dir) = (Network::new(), tempfile::tempdir().unwrap());
    let machines = machines(&network, 1, "oslo", 2, "rome");
    let builder = Bus::<String>::builder(dir.path().join("bus.sock"))
        .identity(Identity::service("ann").unwrap())
        .machines(machines);
    let mut events = builder.events();
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let bus = builder.join(ignore).await.unwrap();

    let mut channel = speaks(&network).await;
    // With the member here there is room for one less.
    for number in 1..=MOST {
        say(&mut channel, member(number)).await;
    }
    let (id, error) = loop {
        match events.recv().await.unwrap() {
            BusEvent::Refused { id, error } => break (id, error),
            BusEvent::Rejected { error } => panic!("{error}"),
            _ => {}
        }
    };
    assert_eq!((id.as_str(), error.code.as_str()), ("m4096@rome", "full"));
    assert!(error.why.contains("4096 members"), "{error}");
    assert_eq!(bus.counts().refused, 1);
}

/// As a machine may say whose process began anew, or that is hostile: the hub ignores what is older than what it knows.
#[tokio::test]
async fn earlier_incarnations_that_another_machine_announces_are_forgotten() {
    const MOST_KEPT: usize = 1024 + 2; // members that are gone, and those here
    let (network, dir) = (Network::new(), tempfile::tempdir().unwrap());
    let builder = Bus::<String>::builder(dir.path().join("bus.sock"))
        .identity(Identity::service("ann").unwrap())
        .machines(machines(&network, 1, "oslo", 2, "rome"));
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let bus = builder.join(ignore).await.unwrap();
    let mut channel = speaks(&network).await;
    let announce = |number: u64, inc: u64| {
        let LinkWire::Announce { introduction, .. } = member(1) else {
            panic!("an announcement")
        };
        LinkWire::Announce {
            mine: number,
            session: 1,
            keeps_newest: false,
            introduction: Box::new(Introduction {
                inc,
                ..*introduction
            }),
        }
    };
    say(&mut channel, announce(1, u64::MAX)).await;
    for number in 2..4_000 {
        say(&mut channel, announce(number, number)).await;
        say(&mut channel, LinkWire::Gone(number)).await;
    }
    let known = || bus.shared().known();
    let until = async {
        loop {
            let before = known();
            tokio::time::sleep(Duration::from_millis(100)).await;
            if before > 1_000 && known() == before {
                return before;
            }
        }
    };
    let kept = timeout(Duration::from_secs(10), until).await.unwrap();
    assert!(kept <= MOST_KEPT, "{kept} infos");
}

#[tokio::test]
async fn while_a_bus_is_handed_over_nothing_of_it_goes_to_another_machine() {
    const SOON: Duration = Duration::from_secs(10);
    let (network, dir) = (Network::new(), tempfile::tempdir().unwrap());
    let (sender, mut heard) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<String>| {
        let _ = sender.send((incoming.seq, incoming.message));
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let builder = |of: &str| Bus::<String>::builder(dir.path().join(of));
    let ann = builder("oslo")
        .identity(Identity::service("ann").unwrap())
        .machines(machines(&network, 1, "oslo", 2, "rome"));
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let mut ann = ann.join(ignore).await.unwrap();
    let bea = builder("rome")
        .identity(Identity::service("bea").unwrap())
        .machines(machines(&network, 2, "rome", 1, "oslo"));
    let _bea = bea.join(handler).await.unwrap();
    let mut members = ann.watch_members();
    while members.get().is_empty() {
        timeout(SOON, members.changed()).await.unwrap().unwrap();
    }

    ann.ready().await.unwrap();
    assert!(ann.shared().freeze().is_some());
    // Its slot was taken before. Another process would give the same number to a message of its own.
    let late = ann.call("late".to_owned());
    assert!(
        timeout(Duration::from_millis(100), heard.recv())
            .await
            .is_err()
    );
    ann.shared().thaw();
    let said = timeout(SOON, heard.recv()).await.unwrap().unwrap();
    assert_eq!(said, (1, "late".to_owned()));
    assert_eq!(timeout(SOON, late).await.unwrap().unwrap().missed, []);
}
