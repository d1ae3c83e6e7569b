//! Replicas that exchange messages without sockets, and one that is sent what a TypeScript peer was sent.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;

use super::*;

fn id(name: &str) -> PeerId {
    PeerId::new(name).unwrap()
}

fn gist(message: &ChannelMsg) -> String {
    let since = |version| if version { "since" } else { "all" };
    match message {
        ChannelMsg::Interest(i) => {
            format!(
                "interest {} {:?}",
                since(i.version.is_some()),
                i.reciprocate
            )
        }
        ChannelMsg::Offer(offer) => {
            format!(
                "offer {}",
                since(offer.kind == kyneta_uds::PayloadKind::Since)
            )
        }
        other => other.kind().to_owned(),
    }
}

/// Replicas by name, and their connections.
struct Net {
    replicas: HashMap<&'static str, Replica>,
    links: Vec<(&'static str, &'static str)>,
    /// Messages of these are lost.
    cut: Option<(&'static str, &'static str)>,
}

impl Net {
    fn new(names: &[&'static str]) -> Self {
        let replicas = names.iter().map(|&name| (name, Replica::new().unwrap()));
        Self {
            replicas: replicas.collect(),
            links: Vec::new(),
            cut: None,
        }
    }

    fn name(&self, peer: &PeerId) -> &'static str {
        self.replicas.get_key_value(peer.as_str()).unwrap().0
    }

    fn replica(&mut self, name: &str) -> &mut Replica {
        self.replicas.get_mut(name).unwrap()
    }

    /// All messages until no more are sent, as "from to: what".
    fn talk(&mut self, from: &'static str, out: Out) -> Vec<String> {
        let mut said = Vec::new();
        let mut waiting: VecDeque<_> = out.into_iter().map(|(to, what)| (from, to, what)).collect();
        while let Some((from, to, what)) = waiting.pop_front() {
            let to = self.name(&to);
            said.push(format!("{from} {to}: {}", gist(&what)));
            assert!(said.len() < 100, "they never end: {said:?}");
            if self.cut == Some((from, to)) {
                continue;
            }
            let out = self.replica(to).received(&id(from), &what).unwrap();
            waiting.extend(out.into_iter().map(|(next, what)| (to, next, what)));
        }
        said
    }

    fn connect(&mut self, a: &'static str, b: &'static str) -> Vec<String> {
        self.links.push((a, b));
        let mut said = Vec::new();
        for (one, other) in [(a, b), (b, a)] {
            let out = self.replica(one).came(&id(other));
            said.extend(self.talk(one, out));
        }
        said
    }

    fn disconnect(&mut self, a: &'static str, b: &'static str) {
        self.links.retain(|&link| link != (a, b));
        self.replica(a).gone(&id(b));
        self.replica(b).gone(&id(a));
    }

    fn edit(&mut self, name: &'static str, line: &str) -> Vec<String> {
        let out = self.replica(name).edit(&Edit::parse(line)).unwrap();
        self.talk(name, out)
    }

    fn texts(&self) -> Vec<String> {
        let mut all: Vec<_> = self.replicas.values().map(Replica::text).collect();
        all.sort();
        all.dedup();
        all
    }
}

#[test]
fn an_empty_replica_gets_all_and_an_older_one_gets_what_is_new() {
    let mut net = Net::new(&["a", "b"]);
    net.edit("a", "milk");
    let met = net.connect("a", "b");
    assert_eq!(
        met,
        [
            "a b: present",
            "b a: interest all Some(true)",
            "a b: offer all",
            "a b: interest since Some(false)",
            "b a: offer since",
            // And in the other direction: either may begin.
            "b a: present",
            "a b: interest since Some(true)",
            "b a: offer since",
            "b a: interest since Some(false)",
            "a b: offer since",
        ]
    );
    assert_eq!(net.texts(), ["milk\n"]);

    // An edit reaches the other, once.
    assert_eq!(net.edit("b", "+1 eggs"), ["b a: offer since"]);
    assert_eq!(net.texts(), ["eggs\nmilk\n"]);

    // Both edit on their own, and connect again.
    net.disconnect("a", "b");
    assert_eq!(net.edit("a", "-1"), [""; 0]);
    assert_eq!(net.edit("b", "salt"), [""; 0]);
    let met = net.connect("a", "b");
    assert!(!met.contains(&"a b: offer all".to_owned()), "{met:?}");
    assert_eq!(net.texts(), ["milk\nsalt\n"]);
}

#[test]
fn changes_are_forwarded_to_the_rest_and_not_back() {
    let mut net = Net::new(&["hub", "a", "b"]);
    net.connect("hub", "a");
    net.connect("hub", "b");
    let said = net.edit("a", "milk");
    assert_eq!(said, ["a hub: offer since", "hub b: offer since"]);
    assert_eq!(net.texts(), ["milk\n"]);

    // In a ring they do not circulate for ever.
    net.connect("a", "b");
    let said = net.edit("hub", "eggs");
    assert!(said.len() <= 4, "{said:?}");
    assert_eq!(net.texts(), ["milk\neggs\n"]);
}

#[test]
fn a_new_process_of_the_same_name_catches_up() {
    let mut net = Net::new(&["a", "b"]);
    net.connect("a", "b");
    net.edit("a", "milk");
    net.replicas.insert("b", Replica::new().unwrap()); // killed, which a has not noticed
    net.edit("a", "eggs");
    net.connect("a", "b");
    net.edit("a", "salt");
    assert_eq!(net.texts(), ["milk\neggs\nsalt\n"]);
}

#[test]
fn lost_changes_are_requested_when_later_ones_depend_on_them() {
    let mut net = Net::new(&["a", "b"]);
    net.connect("a", "b");
    net.edit("a", "milk");
    net.cut = Some(("a", "b"));
    assert_eq!(net.edit("a", "eggs"), ["a b: offer since"]);
    net.cut = None;
    assert_eq!(
        net.edit("a", "salt"),
        [
            "a b: offer since",
            "b a: interest since None",
            "a b: offer since"
        ]
    );
    assert_eq!(net.texts(), ["milk\neggs\nsalt\n"]);
}

#[test]
fn a_peer_that_dismisses_the_document_gets_no_more() {
    let mut net = Net::new(&["a", "b"]);
    net.connect("a", "b");
    let dismiss = ChannelMsg::Dismiss(DocId::new("notes").unwrap());
    assert_eq!(net.replica("a").received(&id("b"), &dismiss).unwrap(), []);
    assert_eq!(net.edit("a", "milk"), [""; 0]);
}

#[test]
fn other_documents_are_not_ours() {
    let mut replica = Replica::new().unwrap();
    let ours = replica.entry.clone();
    let present = |entry: DocEntry| ChannelMsg::Present(vec![entry]);
    let entry = |doc: &str, replica: &str, schema: &str| {
        let replica = ReplicaType::new(replica.to_owned(), 1.0, 0.0).unwrap();
        let (doc, schema) = (DocId::new(doc).unwrap(), SchemaHash::new(schema).unwrap());
        present(DocEntry::new(doc, replica, schema))
    };
    let other = DocId::new("other").unwrap();
    for (message, expected) in [
        (present(ours.clone()), &["interest all Some(true)"][..]),
        (entry("notes", "loro", HASH), &["interest all Some(true)"]),
        // A peer of release 1.8.0 knows only its own hash.
        (
            entry("notes", "loro", HASH_OF_1_8),
            &["interest all Some(true)"],
        ),
        (entry("other", "loro", HASH), &[]),
        (entry("notes", "yjs", HASH), &[]),
        (entry("notes", "loro", "list"), &[]),
        (Interest::new(other.clone()).into(), &["vacant"]),
        (ChannelMsg::Dismiss(other.clone()), &[]),
        (ChannelMsg::Vacant(ours.doc.clone()), &[]),
        (Offer::json(other, Version::default(), "{}").into(), &[]),
    ] {
        let out = replica.received(&id("b"), &message).unwrap();
        let said: Vec<_> = out.iter().map(|(_, what)| gist(what)).collect();
        assert_eq!(said, expected, "{message:?}");
    }
}

#[test]
fn data_that_is_not_loros_is_an_error_and_changes_nothing() {
    let mut from = Replica::new().unwrap();
    from.edit(&Edit::parse("milk")).unwrap();
    let good = from.offer(None).unwrap();
    let Data::Bytes(data) = &good.data else {
        panic!("bytes")
    };

    let mut replica = Replica::new().unwrap();
    replica.edit(&Edit::parse("salt")).unwrap();
    let mut refuses = |message: ChannelMsg| {
        assert!(replica.received(&id("b"), &message).is_err());
        assert_eq!(replica.text(), "salt\n");
    };
    let doc = good.doc.clone();
    for version in ["?", "AQ==", "/////w=="] {
        let version = Version::new(version).unwrap();
        refuses(Interest::new(doc.clone()).since(version.clone()).into());
        refuses(
            Offer {
                version,
                ..good.clone()
            }
            .into(),
        );
    }
    refuses(Offer::json(doc, good.version.clone(), "milk").into());
    let with = |data: Bytes| Offer {
        data: data.into(),
        ..good.clone()
    };
    for length in 0..data.len() {
        refuses(with(data.slice(..length)).into());
    }
    let unused = 4..16; // of loro's header
    for at in (0..data.len()).filter(|at| !unused.contains(at)) {
        let mut flipped = data.to_vec();
        flipped[at] ^= 0x10;
        refuses(with(flipped.into()).into());
    }

    assert_eq!(replica.received(&id("b"), &good.into()).unwrap(), []);
    assert!(replica.text().contains("milk"));
}

#[test]
fn a_peer_that_claims_a_version_that_does_not_exist_harms_no_other() {
    let mut replica = Replica::new().unwrap();
    replica.edit(&Edit::parse("milk")).unwrap();
    let ours = replica.doc.peer_id();
    for (peer, counter) in [
        (ours, -1),
        (ours, i32::MIN),
        (ours, i32::MAX),
        (ours ^ 1, 1),
        (ours ^ 1, i32::MIN),
        (ours ^ 1, i32::MAX),
    ] {
        let claimed = VersionVector::from_iter([(peer, counter)]);
        let claimed = Version::new(BASE64_STANDARD.encode(claimed.encode())).unwrap();
        let interest = Interest::new(replica.entry.doc.clone()).since(claimed.clone());
        let _ = replica.received(&id("liar"), &interest.into());
        let offer = Offer {
            version: claimed,
            ..replica.offer(None).unwrap()
        };
        let _ = replica.received(&id("liar"), &offer.into());
    }

    let mut other = Replica::new().unwrap();
    let interest = other.interest().unwrap();
    replica.received(&id("other"), &interest.into()).unwrap();
    let updates = replica.edit(&Edit::parse("eggs")).unwrap();
    let to_other = updates.iter().filter(|(to, _)| *to == id("other"));
    for (_, message) in to_other {
        other.received(&id("us"), message).unwrap();
    }
    assert_eq!(replica.text(), "milk\neggs\n");
    let all = replica.offer(None).unwrap();
    other.received(&id("us"), &all.into()).unwrap();
    assert_eq!(other.text(), replica.text());
}

/// Two TypeScript peers that share a document, as captured (tests/vectors).
mod captured {
    use super::*;

    const SESSIONS: [&str; 2] = [
        include_str!("../../../../../tests/vectors/session-v2.json"),
        include_str!("../../../../../tests/vectors/session-v3.json"),
    ];

    fn message(json: &Value) -> Option<ChannelMsg> {
        let text = |field: &Value| field.as_str().unwrap().to_owned();
        let doc = || DocId::new(text(&json["docId"])).unwrap();
        let version = || Version::new(text(&json["version"])).unwrap();
        let reciprocate = json["reciprocate"].as_bool();
        Some(match json["type"].as_str().unwrap() {
            "present" => ChannelMsg::Present(vec![entry(&json["docs"][0])]),
            "interest" => ChannelMsg::Interest(Interest {
                reciprocate,
                ..Interest::new(doc()).since(version())
            }),
            "offer" => {
                assert_eq!(json["payload"]["kind"], "since");
                let data = hex::decode(text(&json["payload"]["data"]["$bytes"])).unwrap();
                let offer = Offer::binary(doc(), version(), data).delta();
                ChannelMsg::Offer(Offer {
                    reciprocate,
                    ..offer
                })
            }
            _ => return None, // handshake and departure
        })
    }

    fn entry(json: &Value) -> DocEntry {
        let text = |field: &str| json[field].as_str().unwrap();
        assert_eq!(json["replicaType"], serde_json::json!(["loro", 1, 0]));
        let replica = ReplicaType::new("loro", 1.0, 0.0).unwrap();
        let doc = DocId::new(text("docId")).unwrap();
        DocEntry::new(doc, replica, SchemaHash::new(text("schemaHash")).unwrap())
    }

    /// The messages, each with its direction: "A->B" or "B->A".
    fn said(session: &str) -> Vec<(String, ChannelMsg)> {
        let session: Value = serde_json::from_str(session).unwrap();
        let chunks = session["sequence"].as_array().unwrap();
        let messages = chunks.iter().flat_map(|chunk| {
            let direction = chunk["dir"].as_str().unwrap().to_owned();
            let decoded = chunk["decoded"].as_array().unwrap();
            decoded.iter().map(move |json| (direction.clone(), json))
        });
        messages
            .filter_map(|(direction, json)| Some((direction, message(json)?)))
            .collect()
    }

    fn replica(said: &[(String, ChannelMsg)]) -> Replica {
        let entry = said.iter().find_map(|(_, message)| match message {
            ChannelMsg::Present(docs) => Some(docs[0].clone()),
            _ => None,
        });
        Replica {
            entry: entry.unwrap(),
            ..Replica::new().unwrap()
        }
    }

    #[test]
    fn all_that_both_offered_is_taken_and_comes_to_their_last_version() {
        for session in SESSIONS {
            let said = said(session);
            let mut replica = replica(&said);
            let mut last = VersionVector::default();
            for (_, message) in &said {
                replica.received(&id("ts"), message).unwrap();
                if let ChannelMsg::Offer(offer) = message {
                    last.merge(&decode(&offer.version).unwrap());
                }
            }
            assert_eq!(replica.doc.oplog_vv(), last);
            let value = format!("{:?}", replica.doc.get_deep_value());
            for word in ["héllo", "from-b", "eu-west"] {
                assert!(value.contains(word), "{word} in {value}");
            }
        }
    }

    /// A has the document, B is empty. Until B has it, ours in place of A sends what A sent.
    #[test]
    fn answers_are_those_that_a_typescript_peer_gave() {
        for session in SESSIONS {
            let said = said(session);
            let mut replica = replica(&said);
            let first = said.iter().find_map(|(_, message)| match message {
                ChannelMsg::Offer(offer) if offer.data.len() > 100 => offer.data.as_slice().into(),
                _ => None,
            });
            replica.doc.import(first.unwrap()).unwrap();

            let b = id("b");
            let mut ours: Vec<_> = replica.came(&b).into_iter().collect();
            let mut theirs = Vec::new();
            for (direction, message) in said {
                if matches!(&message, ChannelMsg::Offer(offer) if offer.reciprocate.is_none()) {
                    break; // the first edit
                }
                match direction.as_str() {
                    "A->B" => theirs.push((b.clone(), message)),
                    _ => ours.extend(replica.received(&b, &message).unwrap()),
                }
            }
            assert_eq!(ours, theirs);
            let kinds: Vec<_> = ours.iter().map(|(_, message)| message.kind()).collect();
            assert_eq!(kinds, ["present", "interest", "offer", "interest", "offer"]);
        }
    }
}
