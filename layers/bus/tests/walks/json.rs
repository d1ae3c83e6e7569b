//! Ids and frames as the vectors write them.
//!
//! In: values of the machines, JSON. Out: the other one. What the vectors do not have ends the test.

use std::num::NonZeroU32;

use kyneta_uds_bus::{
    Attempt, DownFrame, Hello, HubEffect, Incarnation, LinkFrame, MachineId, MemberEffect,
    MemberId, Message, PeerPlace, Place, Recipients, Refusal, SeqNo, Session, SlowPolicy, Token,
    UpFrame,
};
use kyneta_uds_core::PeerId;
use serde_json::{Value, json};

/// Members of so many numbers are on one machine.
const PER_MACHINE: u64 = 16;

/// "number/incarnation". The digits are filled up, so that texts sort as numbers do.
pub(crate) fn id(id: &Value) -> MemberId {
    let (number, incarnation) = id.as_str().unwrap().split_once('/').unwrap();
    let number: u64 = number.parse().unwrap();
    MemberId {
        machine: MachineId(number / PER_MACHINE),
        peer: PeerId::new(format!("{number:020}")).unwrap(),
        incarnation: Incarnation(incarnation.parse().unwrap()),
    }
}

pub(crate) fn text(id: &MemberId) -> Value {
    let number: u64 = id.peer.as_str().parse().unwrap();
    json!(format!("{number}/{}", id.incarnation.0))
}

fn texts(ids: &[MemberId]) -> Value {
    ids.iter().map(text).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn recipients(to: &Value) -> Recipients {
    match to.as_array().unwrap().as_slice() {
        [] => Recipients::All,
        listed => Recipients::Listed(listed.iter().map(id).collect()),
    }
}

fn recipients_text(to: &Recipients) -> Value {
    match to {
        Recipients::All => json!([]),
        Recipients::Listed(listed) => texts(listed),
    }
}

fn message(frame: &Value) -> Message<()> {
    Message {
        n: SeqNo(number(&frame["n"])),
        addressed: false,
        body: (),
    }
}

pub(crate) fn slow(newest: &Value) -> SlowPolicy {
    match newest.as_bool().unwrap() {
        true => SlowPolicy::Newest(NonZeroU32::MIN),
        false => SlowPolicy::Wait,
    }
}

fn peer(frame: &Value) -> PeerPlace {
    PeerPlace {
        receiver: id(&frame["r"]),
        session: Session(number(&frame["a"])),
        place: Place {
            token: Token(number(&frame["token"])),
            k: SeqNo(number(&frame["k"])),
        },
        keeps_newest: frame["newest"].as_bool().unwrap(),
    }
}

fn peer_text(peer: &PeerPlace) -> Value {
    json!({
        "t": "peer", "r": text(&peer.receiver), "a": peer.session.0, "token": peer.place.token.0,
        "k": peer.place.k.0, "newest": peer.keeps_newest,
    })
}

pub(crate) fn up(frame: &Value) -> UpFrame<()> {
    let session = || Session(number(&frame["a"]));
    match frame["t"].as_str().unwrap() {
        "hello" => UpFrame::Hello(Hello {
            member: id(&frame["me"]),
            attempt: Attempt(number(&frame["g"])),
            last_hub: Some(&frame["hub"]).filter(|hub| !hub.is_null()).map(id),
            slow: slow(&frame["newest"]),
            places: frame["pos"].as_array().unwrap().iter().map(place).collect(),
        }),
        "pos" => UpFrame::Position {
            sender: id(&frame["s"]),
            session: session(),
            token: Token(number(&frame["token"])),
        },
        "ack" => UpFrame::Ack {
            sender: id(&frame["s"]),
            k: SeqNo(number(&frame["k"])),
        },
        "start" => UpFrame::Start {
            receiver: id(&frame["r"]),
            session: session(),
            from: SeqNo(number(&frame["from"])),
        },
        "msg" => UpFrame::Msg {
            to: recipients(&frame["to"]),
            message: message(frame),
        },
        "bye" => UpFrame::Bye,
        other => panic!("{other}"),
    }
}

fn place(place: &Value) -> (MemberId, Place) {
    let [sender, token, k] = place.as_array().unwrap().as_slice() else {
        panic!("{place}");
    };
    let place = Place {
        token: Token(number(token)),
        k: SeqNo(number(k)),
    };
    (id(sender), place)
}

pub(crate) fn up_text(frame: &UpFrame<()>) -> Value {
    match frame {
        UpFrame::Hello(hello) => json!({
            "t": "hello", "me": text(&hello.member), "g": hello.attempt.0,
            "hub": hello.last_hub.as_ref().map(text), "newest": hello.slow.keeps_newest(),
            "pos": hello.places.iter()
                .map(|(sender, place)| json!([text(sender), place.token.0, place.k.0]))
                .collect::<Value>(),
        }),
        UpFrame::Position {
            sender,
            session,
            token,
        } => json!({"t": "pos", "s": text(sender), "a": session.0, "token": token.0}),
        UpFrame::Ack { sender, k } => json!({"t": "ack", "s": text(sender), "k": k.0}),
        UpFrame::Start {
            receiver,
            session,
            from,
        } => json!({"t": "start", "r": text(receiver), "a": session.0, "from": from.0}),
        UpFrame::Msg { to, message } => {
            json!({"t": "msg", "n": message.n.0, "to": recipients_text(to)})
        }
        UpFrame::Bye => json!({"t": "bye"}),
    }
}

pub(crate) fn down(frame: &Value) -> DownFrame<()> {
    let sender = || id(&frame["s"]);
    match frame["t"].as_str().unwrap() {
        "welcome" => DownFrame::Welcome {
            hub: id(&frame["hub"]),
            present: 0,
        },
        "refused" => DownFrame::Refused(Refusal::Replaced),
        "joined" => DownFrame::Joined {
            sender: sender(),
            session: Session(number(&frame["a"])),
        },
        "peer" => DownFrame::Peer(peer(frame)),
        "acked" => DownFrame::Acked {
            receiver: id(&frame["r"]),
            k: SeqNo(number(&frame["k"])),
        },
        "left" => DownFrame::Left(id(&frame["p"])),
        "start" => DownFrame::Start {
            sender: sender(),
            from: SeqNo(number(&frame["from"])),
        },
        "msg" => DownFrame::Msg {
            sender: sender(),
            message: message(frame),
        },
        "missed" => DownFrame::Missed {
            sender: sender(),
            upto: SeqNo(number(&frame["upto"])),
            count: number(&frame["count"]),
        },
        other => panic!("{other}"),
    }
}

fn down_text(frame: &DownFrame<()>) -> Value {
    match frame {
        DownFrame::Welcome { hub, .. } => json!({"t": "welcome", "hub": text(hub)}),
        DownFrame::Refused(_) => json!({"t": "refused"}),
        DownFrame::Joined { sender, session } => {
            json!({"t": "joined", "s": text(sender), "a": session.0})
        }
        DownFrame::Peer(peer) => peer_text(peer),
        DownFrame::Acked { receiver, k } => {
            json!({"t": "acked", "r": text(receiver), "k": k.0})
        }
        DownFrame::Left(member) => json!({"t": "left", "p": text(member)}),
        DownFrame::Start { sender, from } => {
            json!({"t": "start", "s": text(sender), "from": from.0})
        }
        DownFrame::Msg { sender, message } => {
            json!({"t": "msg", "s": text(sender), "n": message.n.0})
        }
        DownFrame::Missed {
            sender,
            upto,
            count,
        } => json!({"t": "missed", "s": text(sender), "upto": upto.0, "count": count}),
    }
}

pub(crate) fn link(frame: &Value) -> LinkFrame<()> {
    let session = || Session(number(&frame["a"]));
    match frame["t"].as_str().unwrap() {
        "announce" => LinkFrame::Announce {
            member: id(&frame["p"]),
            session: session(),
            keeps_newest: frame["newest"].as_bool().unwrap(),
        },
        "gone" => LinkFrame::Gone(id(&frame["p"])),
        "to" => {
            let (sender, sender_session, inner) = (id(&frame["p"]), session(), &frame["frame"]);
            match inner["t"].as_str().unwrap() {
                "peer" => LinkFrame::Peer {
                    sender,
                    sender_session,
                    peer: peer(inner),
                },
                _ => LinkFrame::Acked {
                    sender,
                    sender_session,
                    receiver: id(&inner["r"]),
                    k: SeqNo(number(&inner["k"])),
                },
            }
        }
        "start" => LinkFrame::Start {
            sender: id(&frame["s"]),
            receiver: id(&frame["r"]),
            receiver_session: session(),
            from: SeqNo(number(&frame["from"])),
        },
        "msg" => LinkFrame::Msg {
            sender: id(&frame["s"]),
            to: recipients(&frame["to"]),
            message: message(frame),
        },
        other => panic!("{other}"),
    }
}

fn link_text(frame: &LinkFrame<()>) -> Value {
    match frame {
        LinkFrame::Announce {
            member,
            session,
            keeps_newest,
        } => json!({"t": "announce", "p": text(member), "a": session.0, "newest": keeps_newest}),
        LinkFrame::Gone(member) => json!({"t": "gone", "p": text(member)}),
        LinkFrame::Peer {
            sender,
            sender_session,
            peer,
        } => json!({"t": "to", "p": text(sender), "a": sender_session.0, "frame": peer_text(peer)}),
        LinkFrame::Acked {
            sender,
            sender_session,
            receiver,
            k,
        } => json!({
            "t": "to", "p": text(sender), "a": sender_session.0,
            "frame": {"t": "acked", "r": text(receiver), "k": k.0},
        }),
        LinkFrame::Start {
            sender,
            receiver,
            receiver_session,
            from,
        } => json!({
            "t": "start", "s": text(sender), "r": text(receiver), "a": receiver_session.0,
            "from": from.0,
        }),
        LinkFrame::Msg {
            sender,
            to,
            message,
        } => {
            json!({"t": "msg", "s": text(sender), "n": message.n.0, "to": recipients_text(to)})
        }
    }
}

/// An effect of a hub; `None` for one that the vectors do not have.
pub(crate) fn hub_effect(effect: &HubEffect<()>) -> Option<Value> {
    Some(match effect {
        HubEffect::Send { to, frame } => json!({"to": to.0, "frame": down_text(frame)}),
        HubEffect::Close(connection) => json!({"close": connection.0}),
        HubEffect::SendLink { to, frame } => json!({"link": to.0, "frame": link_text(frame)}),
        HubEffect::Left(member) => json!({"declared": text(member)}),
        HubEffect::Awaited(_) | HubEffect::NotTaken(_) | HubEffect::Outdated(_) => return None,
        other => panic!("{other:?}"),
    })
}

pub(crate) fn member_effect(effect: &MemberEffect<()>) -> Value {
    match effect {
        MemberEffect::Send(frame) => json!({"send": up_text(frame)}),
        MemberEffect::Deliver { sender, message } => {
            json!({"deliver": [text(sender), message.n.0]})
        }
        MemberEffect::Missed { sender, count } => json!({"missed": [text(sender), count]}),
        MemberEffect::Resolved { numbers, left } => {
            let n = numbers.start().0;
            json!({"resolve": n, "left": texts(left)})
        }
        MemberEffect::Present(member) => json!({"present": text(member)}),
        MemberEffect::Absent(member) => json!({"absent": text(member)}),
        MemberEffect::Refused(_) => json!("replaced"),
        other => panic!("{other:?}"),
    }
}
