//! Events as the vectors write them.
//!
//! In: JSON of a walk. Out: events of the machines, or the field that is not as it must be. Pure.

use std::num::NonZeroU32;

use kyneta_uds::PeerId;
use kyneta_uds_bus::{
    Attempt, ConnectionKey, DownFrame, Hello, HubEvent, Incarnation, LinkFrame, MachineId,
    MemberEvent, MemberId, Message, PeerPlace, Place, Recipients, Refusal, SeqNo, Session,
    SlowPolicy, Token, UpFrame,
};

use crate::json::{Fields, Json, JsonError, boolean, count, list, text};

type Result<T> = std::result::Result<T, JsonError>;

/// Members of so many numbers are on one machine.
const PER_MACHINE: u64 = 16;

/// "number/incarnation". The digits are filled up, so that texts sort as numbers do.
pub(super) fn id(json: &Json<'_>) -> Result<MemberId> {
    let id = text(json)?;
    let parts = id
        .split_once('/')
        .and_then(|(number, incarnation)| Some((number.parse().ok()?, incarnation.parse().ok()?)));
    let Some((number, incarnation)) = parts else {
        let why = format!("{id:?} is no \"number/incarnation\"");
        return Err(JsonError::new(why));
    };
    let number: u64 = number;
    let peer = PeerId::new(format!("{number:020}"));
    Ok(MemberId {
        machine: MachineId(number / PER_MACHINE),
        peer: peer.map_err(|error| JsonError::new(error.to_string()))?,
        incarnation: Incarnation(incarnation),
    })
}

pub(super) const fn slow(newest: bool) -> SlowPolicy {
    if newest {
        SlowPolicy::Newest(NonZeroU32::MIN)
    } else {
        SlowPolicy::Wait
    }
}

/// What a walk does with a member.
pub(super) enum MemberStep {
    /// It accepts a message, to all or to one.
    Accept(Option<MemberId>),
    Event(MemberEvent<()>),
}

pub(super) fn member_event(json: &Json<'_>) -> Result<MemberStep> {
    if let Json::Text(name) = json {
        return Ok(MemberStep::Event(match name.as_ref() {
            "connected" => MemberEvent::Connected,
            "broken" => MemberEvent::Disconnected,
            "acks" => MemberEvent::Acknowledge,
            other => {
                let why = format!("{other:?} is none of connected, broken, acks");
                return Err(JsonError::new(why));
            }
        }));
    }
    let mut fields = Fields::of(json)?;
    let to = fields.optional("publish", |to| match to {
        Json::Text(all) if all == "all" => Ok(None),
        _ => id(to).map(Some),
    })?;
    let step = match to {
        Some(to) => MemberStep::Accept(to),
        None => MemberStep::Event(MemberEvent::Frame(fields.required("take", down)?)),
    };
    fields.finish()?;
    Ok(step)
}

pub(super) fn hub_event(json: &Json<'_>) -> Result<HubEvent<()>> {
    let mut fields = Fields::of(json)?;
    let event = if let Some(from) = fields.optional("conn", connection)? {
        let frame = fields.required("take", up)?;
        HubEvent::Frame { from, frame }
    } else if let Some(from) = fields.optional("link", machine)? {
        let frame = fields.required("take", link)?;
        HubEvent::LinkFrame { from, frame }
    } else if let Some(ended) = fields.optional("ended", connection)? {
        HubEvent::Ended(ended)
    } else if let Some(member) = fields.optional("expire", id)? {
        HubEvent::Removed(member)
    } else if let Some(up) = fields.optional("linkUp", machine)? {
        HubEvent::LinkUp(up)
    } else {
        HubEvent::LinkDown(fields.required("linkDown", machine)?)
    };
    fields.finish()?;
    Ok(event)
}

fn up(json: &Json<'_>) -> Result<UpFrame<()>> {
    let mut fields = Fields::of(json)?;
    let frame = match fields.required("t", text)? {
        "hello" => UpFrame::Hello(Hello {
            member: fields.required("me", id)?,
            attempt: Attempt(fields.required("g", count)?),
            last_hub: fields.required("hub", |hub| match hub {
                Json::Null => Ok(None),
                hub => id(hub).map(Some),
            })?,
            slow: slow(fields.required("newest", boolean)?),
            places: fields.required("pos", |places| list(places, held_place))?,
        }),
        "pos" => UpFrame::Position {
            sender: fields.required("s", id)?,
            session: session(&mut fields)?,
            token: Token(fields.required("token", count)?),
        },
        "ack" => UpFrame::Ack {
            sender: fields.required("s", id)?,
            k: number(&mut fields, "k")?,
        },
        "start" => UpFrame::Start {
            receiver: fields.required("r", id)?,
            session: session(&mut fields)?,
            from: number(&mut fields, "from")?,
        },
        "msg" => UpFrame::Msg {
            to: fields.required("to", recipients)?,
            message: message(&mut fields)?,
        },
        "bye" => UpFrame::Bye,
        other => return Err(unknown(other, "hello, pos, ack, start, msg, bye")),
    };
    fields.finish()?;
    Ok(frame)
}

fn down(json: &Json<'_>) -> Result<DownFrame<()>> {
    let mut fields = Fields::of(json)?;
    let frame = match fields.required("t", text)? {
        "welcome" => DownFrame::Welcome {
            hub: fields.required("hub", id)?,
            present: 0,
        },
        "refused" => DownFrame::Refused(Refusal::Replaced),
        "joined" => DownFrame::Joined {
            sender: fields.required("s", id)?,
            session: session(&mut fields)?,
        },
        "peer" => DownFrame::Peer(peer(&mut fields)?),
        "acked" => DownFrame::Acked {
            receiver: fields.required("r", id)?,
            k: number(&mut fields, "k")?,
        },
        "left" => DownFrame::Left(fields.required("p", id)?),
        "start" => DownFrame::Start {
            sender: fields.required("s", id)?,
            from: number(&mut fields, "from")?,
        },
        "msg" => DownFrame::Msg {
            sender: fields.required("s", id)?,
            message: message(&mut fields)?,
        },
        "missed" => DownFrame::Missed {
            sender: fields.required("s", id)?,
            upto: number(&mut fields, "upto")?,
            count: fields.required("count", count)?,
        },
        other => {
            let known = "welcome, refused, joined, peer, acked, left, start, msg, missed";
            return Err(unknown(other, known));
        }
    };
    fields.finish()?;
    Ok(frame)
}

fn link(json: &Json<'_>) -> Result<LinkFrame<()>> {
    let mut fields = Fields::of(json)?;
    let frame = match fields.required("t", text)? {
        "announce" => LinkFrame::Announce {
            member: fields.required("p", id)?,
            session: session(&mut fields)?,
            keeps_newest: fields.required("newest", boolean)?,
        },
        "gone" => LinkFrame::Gone(fields.required("p", id)?),
        "to" => {
            let sender = fields.required("p", id)?;
            let sender_session = session(&mut fields)?;
            fields.required("frame", |frame| to_sender(sender, sender_session, frame))?
        }
        "start" => LinkFrame::Start {
            sender: fields.required("s", id)?,
            receiver: fields.required("r", id)?,
            receiver_session: session(&mut fields)?,
            from: number(&mut fields, "from")?,
        },
        "msg" => LinkFrame::Msg {
            sender: fields.required("s", id)?,
            to: fields.required("to", recipients)?,
            message: message(&mut fields)?,
        },
        other => return Err(unknown(other, "announce, gone, to, start, msg")),
    };
    fields.finish()?;
    Ok(frame)
}

/// What a link carries for a sender behind it.
fn to_sender(sender: MemberId, sender_session: Session, json: &Json<'_>) -> Result<LinkFrame<()>> {
    let mut fields = Fields::of(json)?;
    let frame = match fields.required("t", text)? {
        "peer" => LinkFrame::Peer {
            sender,
            sender_session,
            peer: peer(&mut fields)?,
        },
        "acked" => LinkFrame::Acked {
            sender,
            sender_session,
            receiver: fields.required("r", id)?,
            k: number(&mut fields, "k")?,
        },
        other => return Err(unknown(other, "peer, acked")),
    };
    fields.finish()?;
    Ok(frame)
}

fn peer(fields: &mut Fields<'_, '_>) -> Result<PeerPlace> {
    Ok(PeerPlace {
        receiver: fields.required("r", id)?,
        session: session(fields)?,
        place: Place {
            token: Token(fields.required("token", count)?),
            k: number(fields, "k")?,
        },
        keeps_newest: fields.required("newest", boolean)?,
    })
}

fn held_place(json: &Json<'_>) -> Result<(MemberId, Place)> {
    let parts = match json {
        Json::List(parts) => parts.as_slice(),
        _ => &[],
    };
    let [sender, token, k] = parts else {
        return Err(JsonError::new("expected [sender, token, k]"));
    };
    let place = Place {
        token: Token(count(token).map_err(|error| error.under("1"))?),
        k: SeqNo(count(k).map_err(|error| error.under("2"))?),
    };
    Ok((id(sender).map_err(|error| error.under("0"))?, place))
}

fn message(fields: &mut Fields<'_, '_>) -> Result<Message<()>> {
    Ok(Message {
        n: number(fields, "n")?,
        addressed: false,
        body: (),
    })
}

fn recipients(json: &Json<'_>) -> Result<Recipients> {
    let listed = list(json, id)?;
    Ok(if listed.is_empty() {
        Recipients::All
    } else {
        Recipients::Listed(listed)
    })
}

fn number(fields: &mut Fields<'_, '_>, name: &'static str) -> Result<SeqNo> {
    fields.required(name, count).map(SeqNo)
}

fn session(fields: &mut Fields<'_, '_>) -> Result<Session> {
    fields.required("a", count).map(Session)
}

fn connection(json: &Json<'_>) -> Result<ConnectionKey> {
    count(json).map(ConnectionKey)
}

fn machine(json: &Json<'_>) -> Result<MachineId> {
    count(json).map(MachineId)
}

fn unknown(kind: &str, known: &str) -> JsonError {
    JsonError::new(format!("{kind:?} is none of {known}")).under("t")
}
