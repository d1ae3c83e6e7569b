//! Effects as the vectors write them.
//!
//! In: effects of the machines. Out: JSON of a walk, without what the vectors do not have. Pure.

use kyneta_uds_bus::{
    DownFrame, HubEffect, LinkFrame, MemberEffect, MemberId, PeerPlace, Recipients, UpFrame,
};
use serde_json::{Value, json};

/// An effect of a member.
pub(super) fn member_effect(effect: &MemberEffect<()>) -> Value {
    match effect {
        MemberEffect::Send(frame) => json!({"send": up(frame)}),
        MemberEffect::Deliver { sender, message } => json!({"deliver": [id(sender), message.n.0]}),
        MemberEffect::Missed { sender, count } => json!({"missed": [id(sender), count]}),
        MemberEffect::Present(member) => json!({"present": id(member)}),
        MemberEffect::Absent(member) => json!({"absent": id(member)}),
        MemberEffect::Refused(_) => json!("replaced"),
        // `MemberEffect` may get more variants.
        other => json!({"other": format!("{other:?}")}),
    }
}

/// One message that is resolved.
pub(super) fn resolved(n: u64, left: &[MemberId]) -> Value {
    json!({"resolve": n, "left": ids(left)})
}

/// An effect of a hub; `None` for one that the vectors do not have.
pub(super) fn hub_effect(effect: &HubEffect<()>) -> Option<Value> {
    Some(match effect {
        HubEffect::Send { to, frame } => json!({"to": to.0, "frame": down(frame)}),
        HubEffect::Close(connection) => json!({"close": connection.0}),
        HubEffect::SendLink { to, frame } => json!({"link": to.0, "frame": link(frame)}),
        HubEffect::Left(member) => json!({"declared": id(member)}),
        HubEffect::Awaited(_) | HubEffect::NotTaken(_) | HubEffect::Outdated(_) => return None,
        // `HubEffect` may get more variants.
        other => json!({"other": format!("{other:?}")}),
    })
}

fn up(frame: &UpFrame<()>) -> Value {
    match frame {
        UpFrame::Hello(hello) => {
            let places = hello.places.iter();
            let places =
                places.map(|(sender, place)| json!([id(sender), place.token.0, place.k.0]));
            json!({
                "t": "hello",
                "me": id(&hello.member),
                "g": hello.attempt.0,
                "hub": hello.last_hub.as_ref().map(id),
                "newest": hello.slow.keeps_newest(),
                "pos": places.collect::<Value>(),
            })
        }
        UpFrame::Position {
            sender,
            session,
            token,
        } => json!({"t": "pos", "s": id(sender), "a": session.0, "token": token.0}),
        UpFrame::Ack { sender, k } => json!({"t": "ack", "s": id(sender), "k": k.0}),
        UpFrame::Start {
            receiver,
            session,
            from,
        } => json!({"t": "start", "r": id(receiver), "a": session.0, "from": from.0}),
        UpFrame::Msg { to, message } => {
            json!({"t": "msg", "n": message.n.0, "to": recipients(to)})
        }
        UpFrame::Bye => json!({"t": "bye"}),
    }
}

fn down(frame: &DownFrame<()>) -> Value {
    match frame {
        DownFrame::Welcome { hub, .. } => json!({"t": "welcome", "hub": id(hub)}),
        DownFrame::Refused(_) => json!({"t": "refused"}),
        DownFrame::Joined { sender, session } => {
            json!({"t": "joined", "s": id(sender), "a": session.0})
        }
        DownFrame::Peer(place) => peer(place),
        DownFrame::Acked { receiver, k } => json!({"t": "acked", "r": id(receiver), "k": k.0}),
        DownFrame::Left(member) => json!({"t": "left", "p": id(member)}),
        DownFrame::Start { sender, from } => json!({"t": "start", "s": id(sender), "from": from.0}),
        DownFrame::Msg { sender, message } => {
            json!({"t": "msg", "s": id(sender), "n": message.n.0})
        }
        DownFrame::Missed {
            sender,
            upto,
            count,
        } => json!({"t": "missed", "s": id(sender), "upto": upto.0, "count": count}),
    }
}

fn link(frame: &LinkFrame<()>) -> Value {
    match frame {
        LinkFrame::Announce {
            member,
            session,
            keeps_newest,
        } => json!({"t": "announce", "p": id(member), "a": session.0, "newest": keeps_newest}),
        LinkFrame::Gone(member) => json!({"t": "gone", "p": id(member)}),
        LinkFrame::Peer {
            sender,
            sender_session,
            peer: place,
        } => json!({"t": "to", "p": id(sender), "a": sender_session.0, "frame": peer(place)}),
        LinkFrame::Acked {
            sender,
            sender_session,
            receiver,
            k,
        } => {
            let acked = json!({"t": "acked", "r": id(receiver), "k": k.0});
            json!({"t": "to", "p": id(sender), "a": sender_session.0, "frame": acked})
        }
        LinkFrame::Start {
            sender,
            receiver,
            receiver_session,
            from,
        } => json!({
            "t": "start",
            "s": id(sender),
            "r": id(receiver),
            "a": receiver_session.0,
            "from": from.0,
        }),
        LinkFrame::Msg {
            sender,
            to,
            message,
        } => json!({"t": "msg", "s": id(sender), "n": message.n.0, "to": recipients(to)}),
    }
}

fn peer(peer: &PeerPlace) -> Value {
    json!({
        "t": "peer",
        "r": id(&peer.receiver),
        "a": peer.session.0,
        "token": peer.place.token.0,
        "k": peer.place.k.0,
        "newest": peer.keeps_newest,
    })
}

/// "number/incarnation", without the digits that [`read::id`](super::read::id) filled up.
fn id(id: &MemberId) -> Value {
    let number = id.peer.as_str().trim_start_matches('0');
    let number = if number.is_empty() { "0" } else { number };
    json!(format!("{number}/{}", id.incarnation.0))
}

fn ids(members: &[MemberId]) -> Value {
    members.iter().map(id).collect()
}

fn recipients(to: &Recipients) -> Value {
    match to {
        Recipients::All => json!([]),
        Recipients::Listed(listed) => ids(listed),
    }
}
