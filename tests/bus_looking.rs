//! Handlers of a bus that look: what they are shown, in order, and what their errors cost.
//!
//! A failure shows the texts in the order in which they were shown.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, path::Path, sync::Arc};

use kyneta_uds::{
    BoxError, Bus, BusIncoming, ByReference,
    bus::{BusEvent, BusIncomingRef, Looking, MemberInfo, look},
};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned, ser::SerializeSeq};
use support::{service, soon};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Opened,
    Sold { item: String, count: u32 },
    Photo(#[serde(with = "serde_bytes")] Vec<u8>),
    Tags(Tags),
}

#[derive(Debug, Clone, Deserialize)]
enum EventRef<'a> {
    Opened,
    Sold {
        item: &'a str,
        count: u32,
    },
    Photo(&'a [u8]),
    #[serde(borrow)]
    Tags(TagsRef<'a>),
}

/// Written as a list of unknown length, which no view borrows from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Tags(Vec<String>);

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for tag in &self.0 {
            list.serialize_element(tag)?;
        }
        list.end()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct TagsRef<'a>(#[serde(borrow)] Vec<&'a str>);

impl ByReference for Event {
    type Ref<'a> = EventRef<'a>;

    fn reference(&self) -> EventRef<'_> {
        match self {
            Self::Opened => EventRef::Opened,
            Self::Sold { item, count } => EventRef::Sold {
                item,
                count: *count,
            },
            Self::Photo(photo) => EventRef::Photo(photo),
            Self::Tags(Tags(tags)) => {
                EventRef::Tags(TagsRef(tags.iter().map(String::as_str).collect()))
            }
        }
    }
}

impl EventRef<'_> {
    fn to_event(&self) -> Event {
        match self {
            Self::Opened => Event::Opened,
            Self::Sold { item, count } => Event::Sold {
                item: (*item).to_owned(),
                count: *count,
            },
            Self::Photo(photo) => Event::Photo(photo.to_vec()),
            Self::Tags(TagsRef(tags)) => {
                Event::Tags(Tags(tags.iter().map(|&tag| tag.to_owned()).collect()))
            }
        }
    }
}

type Seen = (String, u64, bool, Event);
type Inbox = mpsc::UnboundedReceiver<Seen>;

/// Notes what it is shown, answers requests with it, fails at 13 and panics at 14.
fn noting() -> (Looking<Event>, Inbox) {
    let (sender, seen) = mpsc::unbounded_channel();
    let looking = look(move |incoming: BusIncomingRef<'_, Event>| {
        let event = incoming.message.to_event();
        if let Some(request) = incoming.request {
            return request.answer(&event);
        }
        match incoming.message {
            EventRef::Sold { count: 13, .. } => return Err(BoxError::from("as the test wants it")),
            EventRef::Sold { count: 14, .. } => panic!("as the test wants it"),
            _ => {}
        }
        let from = incoming.from.id.as_str().to_owned();
        let _ = sender.send((from, incoming.seq, incoming.to_me, event));
        Ok(())
    });
    (looking, seen)
}

/// The same by value.
fn noting_owned() -> (
    impl tower::Service<BusIncoming<Event>, Response = (), Error = Infallible, Future: Send> + Send,
    Inbox,
) {
    let (sender, seen) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: BusIncoming<Event>| {
        let from = incoming.from.id.as_str().to_owned();
        let _ = sender.send((from, incoming.seq, incoming.to_me, incoming.message));
        std::future::ready(Ok(()))
    });
    (handler, seen)
}

fn ignoring<M: Send + 'static>()
-> impl tower::Service<BusIncoming<M>, Response = (), Error = Infallible, Future: Send> + Send + 'static
{
    service_fn(|_| std::future::ready(Ok(())))
}

async fn join<M, H>(path: &Path, id: &str, handler: H) -> Bus<M>
where
    M: Serialize + DeserializeOwned + Send + 'static,
    H: tower::Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send>
        + Send
        + 'static,
{
    let builder = Bus::builder(path).identity(service(id));
    soon(builder.join(handler)).await.unwrap()
}

async fn until_members<M>(bus: &Bus<M>, count: usize) {
    let mut watch = bus.watch_members();
    while bus.members().len() < count {
        soon(watch.changed()).await.unwrap();
    }
}

fn sold(count: u32) -> Event {
    let item = "pen".repeat(count as usize % 5);
    Event::Sold { item, count }
}

/// Of every kind, small ones in bursts and a large one.
fn events() -> Vec<Event> {
    let tags = ["red".to_owned(), "blue".to_owned()];
    let of = |n: u32| match n % 10 {
        0 => Event::Opened,
        1 => Event::Tags(Tags(tags.to_vec())),
        2 if n == 252 => Event::Photo(vec![7; 1 << 20]),
        2 => Event::Photo(vec![7; n as usize]),
        _ => sold(n + 100),
    };
    (0..400).map(of).collect()
}

async fn take(inbox: &mut Inbox, count: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(soon(inbox.recv()).await.unwrap());
    }
    seen
}

#[tokio::test]
async fn a_handler_that_looks_is_shown_what_another_one_is_called_with_in_the_same_order() {
    let bus = support::Bus::new();
    let listener = join::<Event, _>(&bus.path, "listener", ignoring()).await;
    let (handler, mut by_ref) = noting();
    let looks = join(&bus.path, "looks", handler).await;
    let (handler, mut by_value) = noting_owned();
    let takes = join(&bus.path, "takes", handler).await;
    // It is called with messages by value.
    let (handler, mut layered) = noting();
    let handler = ServiceBuilder::new()
        .map_request(|incoming: BusIncoming<Event>| incoming)
        .service(handler);
    let layers = join(&bus.path, "layers", handler).await;
    // A handler for each member.
    let (handler, mut each) = noting();
    let make = service_fn(move |_: Arc<MemberInfo>| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler) }
    });
    let builder = Bus::<Event>::builder(&bus.path).identity(service("each"));
    let eaches = soon(builder.join_each(make)).await.unwrap();
    let mut sender = join::<Event, _>(&bus.path, "sender", ignoring()).await;
    until_members(&sender, 5).await;

    let all = events();
    let mut last = None;
    for event in &all {
        let ready = soon(sender.ready()).await.unwrap();
        last = Some(ready.call(event.clone()));
    }
    assert!(soon(last.unwrap()).await.unwrap().missed.is_empty());
    let expected = take(&mut by_value, all.len()).await;
    assert!(expected.iter().map(|(.., event)| event).eq(&all));
    for inbox in [&mut by_ref, &mut layered, &mut each] {
        assert!(take(inbox, all.len()).await == expected);
    }
    let mut to_one = sender.member("looks").unwrap();
    soon(to_one.send(sold(1))).await.unwrap();
    let seen = take(&mut by_ref, 1).await;
    assert_eq!(seen, [("sender".to_owned(), 401, true, sold(1))]);
    let answer = soon(to_one.request(sold(2))).await.unwrap();
    assert_eq!(answer, sold(2));
    let tags = Event::Tags(Tags(vec!["red".to_owned()]));
    assert_eq!(soon(to_one.request(tags.clone())).await.unwrap(), tags);
    for bus in [sender, eaches, layers, takes, looks, listener] {
        soon(bus.dispose()).await;
    }
}

#[tokio::test]
async fn an_error_a_panic_and_what_is_no_message_cost_that_message_and_are_reported() {
    let bus = support::Bus::new();
    let (handler, mut inbox) = noting();
    let looks = join(&bus.path, "looks", handler).await;
    let mut events = looks.events();
    let mut sender = join::<Event, _>(&bus.path, "sender", ignoring()).await;
    let mut other = join::<String, _>(&bus.path, "other", ignoring()).await;
    for count in [1, 13, 2, 14, 3] {
        // Acknowledged, whatever the handler does with it.
        let delivered = soon(sender.ready()).await.unwrap().call(sold(count));
        assert!(soon(delivered).await.unwrap().missed.is_empty());
    }
    let delivered = soon(other.ready()).await.unwrap().call("hello".into());
    assert!(soon(delivered).await.unwrap().missed.is_empty());
    let seen = take(&mut inbox, 3).await;
    let counts = seen.iter().map(|(.., event)| event.clone());
    assert!(counts.eq([1, 2, 3].map(sold)));
    let mut costs = Vec::new();
    while costs.len() < 3 {
        match soon(events.recv()).await.unwrap() {
            BusEvent::HandlerFailed { from, error } => costs.push((from, error)),
            BusEvent::NotUnderstood { from, error } => costs.push((from, error)),
            _ => {}
        }
    }
    let texts: Vec<_> = costs
        .iter()
        .map(|(from, error)| format!("{}: {error}", from.id.as_str()))
        .collect();
    let [failed, panicked, not_understood] = texts.as_slice() else {
        panic!("{texts:?}")
    };
    assert_eq!(failed, "sender: as the test wants it");
    assert!(panicked.contains("the handler panicked: as the test wants it"));
    assert!(not_understood.starts_with("other: "), "{not_understood}");
    assert_eq!(looks.counts().not_understood, 1);
    for bus in [sender, looks] {
        soon(bus.dispose()).await;
    }
    soon(other.dispose()).await;
}

/// No message of this type can be had by value.
#[derive(Debug, Serialize)]
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it was read by value"))
    }
}

impl ByReference for Word {
    type Ref<'a> = &'a str;

    fn reference(&self) -> &str {
        &self.0
    }
}

#[tokio::test]
async fn what_can_be_borrowed_is_not_read_by_value() {
    let bus = support::Bus::new();
    let (words, mut seen) = mpsc::unbounded_channel();
    let handler = look(move |incoming: BusIncomingRef<'_, Word>| {
        let _ = words.send(incoming.message.to_owned());
        Ok::<_, Infallible>(())
    });
    let looks = join(&bus.path, "looks", handler).await;
    let mut sender = join::<Word, _>(&bus.path, "sender", ignoring()).await;
    let words = ["a", "b", "c"].map(str::to_owned);
    for word in &words {
        drop(soon(sender.ready()).await.unwrap().call(Word(word.clone())));
    }
    for word in &words {
        assert_eq!(soon(seen.recv()).await.as_ref(), Some(word));
    }
    assert_eq!(looks.counts().not_understood, 0);
    soon(sender.dispose()).await;
    soon(looks.dispose()).await;
}
