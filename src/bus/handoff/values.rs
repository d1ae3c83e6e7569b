//! What is handed over of a bus, as values: bodies of messages, what is known of members, what waits for the handler.
//!
//! In: these, or what they were saved as. Out: the same, the other way round. Touches nothing.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use kyneta_uds_bus::{MemberId, Message, SeqNo};
use kyneta_uds_core::{Name, PeerType, Saved, SavedError, SavedValue};
use tokio_util::sync::CancellationToken;

use crate::bus::{
    bundle::{self, is_whole},
    codec::message::{kind_of, what_for},
    event::BusEvent,
    inbox::Delivery,
    info::MemberInfo,
    trace::TraceParent,
    wire::{Body, Kind},
};

pub(crate) const WAITING: &str = "waiting";

/// The items of a list.
pub(crate) fn items(value: &SavedValue) -> &[SavedValue] {
    match value {
        SavedValue::List(items) => items,
        _ => &[],
    }
}

/// What it is for, whether it is acknowledged at once, the bytes, and the trace that it belongs to.
pub(crate) fn save_body(body: &Body) -> SavedValue {
    let mut items = vec![
        what_for(body.kind).into(),
        body.at_once.into(),
        body.data.clone().into(),
    ];
    items.extend(body.trace.as_ref().map(|of| of.to_bytes().to_vec().into()));
    SavedValue::List(items)
}

pub(crate) fn body(value: &SavedValue) -> Result<Body, SavedError> {
    match items(value) {
        [
            SavedValue::Number(what_for),
            SavedValue::Flag(at_once),
            SavedValue::Bytes(data),
            more @ ..,
        ] => match kind_of(*what_for) {
            // Whether its message is addressed is not known here.
            Some(Kind::Bundle(more))
                if !is_whole(data, more, false) && !is_whole(data, more, true) =>
            {
                Err(SavedError::invalid(
                    "body",
                    "it does not hold the messages that it says",
                ))
            }
            Some(kind) => Ok(Body {
                kind,
                at_once: *at_once,
                data: data.clone(),
                trace: match more {
                    [SavedValue::Bytes(trace), ..] => TraceParent::from_bytes(trace).map(Arc::new),
                    _ => None,
                },
            }),
            None => Err(SavedError::invalid(
                "body",
                "it is for nothing that this version knows",
            )),
        },
        _ => Err(SavedError::invalid("body", "it is no body of a message")),
    }
}

/// Milliseconds.
pub(crate) fn save_duration(of: Duration) -> SavedValue {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX).into()
}

impl MemberInfo {
    pub(crate) fn save(&self) -> Saved {
        let mut saved = Saved::new(1, 1)
            .with("member", &self.member_id())
            .with("kind", self.kind.name())
            .with("since-ms", save_duration(self.since.elapsed()));
        if let Some(name) = &self.name {
            saved = saved.with("name", name.as_str());
        }
        if let Some(machine) = &self.machine {
            saved = saved.with("machine", machine.as_str());
        }
        if let Some(pid) = self.pid.and_then(|pid| u32::try_from(pid).ok()) {
            saved = saved.with("pid", pid);
        }
        match self.uid {
            Some(uid) => saved.with("uid", uid),
            None => saved,
        }
    }

    pub(crate) fn resume(saved: &Saved) -> Result<Self, SavedError> {
        saved.check("a member of a bus", 1..=1)?;
        let id = saved.get("member").map(MemberId::try_from);
        let id = id.ok_or_else(|| SavedError::invalid("member", "it is not there"))??;
        let name = |field: &'static str| match saved.get(field) {
            None => Ok(None),
            Some(_) => match Name::new(saved.text(field)?) {
                Ok(name) => Ok(Some(name)),
                Err(_) => Err(SavedError::invalid(field, "it is over its limit")),
            },
        };
        let number32 = |field| saved.get(field).map(|_| saved.number32(field)).transpose();
        let since = Duration::from_millis(saved.number("since-ms")?);
        let now = Instant::now();
        let info = Self {
            id: id.peer.clone(),
            incarnation: id.incarnation,
            name: name("name")?,
            kind: PeerType::from_name(saved.text("kind")?).unwrap_or(PeerType::Service),
            machine: name("machine")?,
            pid: number32("pid")?.and_then(|pid| i32::try_from(pid).ok()),
            uid: number32("uid")?,
            since: now.checked_sub(since).unwrap_or(now),
        };
        match info.member_id() == id {
            true => Ok(info),
            false => Err(SavedError::invalid(
                "member",
                "its machine has another number here",
            )),
        }
    }
}

/// What waits for the handler.
pub(crate) fn save_waiting(waiting: &[Delivery]) -> SavedValue {
    let parts = waiting.iter().flat_map(|delivery| match delivery {
        Delivery::Message {
            from,
            message,
            request,
        } => vec![save_message(from, message, request.is_some())],
        Delivery::Run(from, run) => {
            let each = run.iter().flat_map(bundle::each);
            each.map(|message| save_message(from, &message, false))
                .collect()
        }
        Delivery::Event(BusEvent::Joined(of)) => {
            vec![Saved::new(1, 1).with("joined", of.save())]
        }
        Delivery::Event(BusEvent::Left(of)) => vec![Saved::new(1, 1).with("left", of.save())],
        Delivery::Event(BusEvent::Missed { from, count }) => {
            let part = Saved::new(1, 1).with("missed", from.save());
            vec![part.with("count", *count)]
        }
        // No other event waits here.
        Delivery::Event(_) => Vec::new(),
    });
    parts.map(SavedValue::from).collect::<Vec<_>>().into()
}

fn save_message(from: &MemberInfo, message: &Message<Body>, is_request: bool) -> Saved {
    Saved::new(1, 1)
        .with("from", &from.member_id())
        .with("n", message.n.0)
        .with("addressed", message.addressed)
        .with("request", is_request)
        .with("body", save_body(&message.body))
}

/// What waited, in order. `info` says what is known of a member, `asks` makes the token of a request.
pub(crate) fn waiting(
    saved: &Saved,
    info: impl Fn(&MemberId) -> Arc<MemberInfo>,
    mut asks: impl FnMut(&MemberId, SeqNo) -> CancellationToken,
) -> Result<Vec<Delivery>, SavedError> {
    let mut waiting = Vec::new();
    for value in saved.list(WAITING)? {
        let saved = value.as_part(WAITING)?;
        let of = |name| Ok::<_, SavedError>(Arc::new(MemberInfo::resume(saved.part(name)?)?));
        waiting.push(if saved.get("joined").is_some() {
            Delivery::Event(BusEvent::Joined(of("joined")?))
        } else if saved.get("left").is_some() {
            Delivery::Event(BusEvent::Left(of("left")?))
        } else if saved.get("missed").is_some() {
            let (from, count) = (of("missed")?, saved.number("count")?);
            Delivery::Event(BusEvent::Missed { from, count })
        } else {
            let from = saved.get("from").map(MemberId::try_from);
            let from = from.ok_or_else(|| SavedError::invalid(WAITING, "one has no sender"))??;
            let data = saved.get("body").map(body);
            let message = Message {
                n: SeqNo(saved.number("n")?),
                addressed: saved.flag("addressed")?,
                body: data.ok_or_else(|| SavedError::invalid(WAITING, "one has no body"))??,
            };
            let is_request = saved.flag("request")?;
            Delivery::Message {
                request: is_request.then(|| asks(&from, message.n)),
                from: info(&from),
                message,
            }
        });
    }
    Ok(waiting)
}

/// The members that the handler knew before what waits for it: those that are listed, but for those whose coming or
/// going waits.
pub(crate) fn known_before(
    listed: impl IntoIterator<Item = Arc<MemberInfo>>,
    waiting: &[Delivery],
) -> Vec<Arc<MemberInfo>> {
    let listed = listed.into_iter().map(|info| (info.member_id(), info));
    let mut known: BTreeMap<_, _> = listed.collect();
    for delivery in waiting.iter().rev() {
        match delivery {
            Delivery::Event(BusEvent::Joined(of)) => {
                known.remove(&of.member_id());
            }
            Delivery::Event(BusEvent::Left(of)) => {
                known.insert(of.member_id(), of.clone());
            }
            _ => {}
        }
    }
    known.into_values().collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kyneta_uds_bus::Incarnation;
    use kyneta_uds_core::PeerId;

    use super::*;
    use crate::bus::{bundle::Bundle, wire::Introduction};

    fn message(n: u64, kind: Kind) -> Message<Body> {
        Message {
            n: SeqNo(n),
            addressed: kind != Kind::Plain,
            body: Body {
                kind,
                at_once: n.is_multiple_of(2),
                data: Bytes::from(vec![n as u8; 3]),
                trace: (n == 3)
                    .then(|| TraceParent::new(1, 2, 0).map(Arc::new))
                    .flatten(),
            },
        }
    }

    fn info(id: &str) -> Arc<MemberInfo> {
        let of = Introduction {
            id: id.into(),
            inc: 7,
            name: Some("Till".into()),
            kind: "bot".into(),
            machine: id.rsplit_once('@').map(|(_, machine)| machine.into()),
            pid: Some(4711),
            uid: Some(1000),
            since_ms: None,
            waits: None,
        };
        Arc::new(MemberInfo::read(&of).unwrap())
    }

    #[test]
    fn bodies_are_read_as_they_were_saved() {
        for (n, kind) in (1..).zip([
            Kind::Plain,
            Kind::Request,
            Kind::Answer(9),
            Kind::Failure(u64::MAX / 5 - 1),
            Kind::Cancel(0),
        ]) {
            let of = message(n, kind).body;
            assert_eq!(body(&save_body(&of)).unwrap(), of);
        }
        let bundle = Bundle::of(&message(4, Kind::Plain), &message(5, Kind::Plain));
        let of = bundle.unwrap().into_message().body;
        assert_eq!(body(&save_body(&of)).unwrap(), of);
        // A bundle that is cut, a kind of a later version, something else.
        let cut = Body {
            data: of.data.slice(1..),
            ..of
        };
        assert!(body(&save_body(&cut)).is_err());
        let later = SavedValue::List(vec![u64::MAX.into(), true.into(), vec![1].into()]);
        assert!(body(&later).is_err());
        assert!(body(&true.into()).is_err());
    }

    #[test]
    fn a_member_is_known_as_it_was() {
        for id in ["till", "till@oslo"] {
            let of = info(id);
            let read = MemberInfo::resume(&of.save()).unwrap();
            assert_eq!(read.introduction(), of.introduction());
            assert_eq!(read.member_id(), of.member_id());
        }
        let renumbered = info("till@oslo").save().with("machine", "bergen");
        let error = MemberInfo::resume(&renumbered).unwrap_err().to_string();
        assert!(error.contains("another number"), "{error}");
    }

    #[test]
    fn what_waits_goes_over_message_by_message_behind_those_that_are_known() {
        let (a, b, c) = (info("a"), info("b"), info("c"));
        let bundle = Bundle::of(&message(4, Kind::Plain), &message(5, Kind::Plain));
        // One of a bundle is left: a handler was stopped within it.
        let rest = bundle::newest(bundle.unwrap().into_message(), 1);
        let waits = [
            Delivery::Event(BusEvent::Joined(b.clone())),
            Delivery::Run(a.clone(), vec![message(1, Kind::Plain), rest]),
            Delivery::Event(BusEvent::Left(c.clone())),
            Delivery::Message {
                from: b.clone(),
                message: message(6, Kind::Request),
                request: Some(CancellationToken::new()),
            },
            Delivery::Event(BusEvent::Missed {
                from: a.clone(),
                count: 3,
            }),
        ];
        let saved = Saved::new(1, 1).with(WAITING, save_waiting(&waits));
        let known = |id: &MemberId| match id.peer.as_str() {
            "a" => a.clone(),
            _ => b.clone(),
        };
        let mut asked = Vec::new();
        let asks = |of: &MemberId, seq| {
            asked.push((of.clone(), seq));
            CancellationToken::new()
        };
        let read = waiting(&saved, known, asks).unwrap();
        let shown: Vec<_> = read
            .iter()
            .map(|of| match of {
                Delivery::Event(BusEvent::Joined(of)) => format!("+{}", of.id),
                Delivery::Event(BusEvent::Left(of)) => format!("-{}", of.id),
                Delivery::Event(BusEvent::Missed { from, count }) => {
                    format!("!{} {count}", from.id)
                }
                Delivery::Message { from, message, .. } => {
                    assert_eq!(message.body.data, [message.n.0 as u8; 3].as_slice());
                    format!("{} {} {:?}", from.id, message.n.0, message.body.kind)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = ["+b", "a 1 Plain", "a 5 Plain", "-c", "b 6 Request", "!a 3"];
        assert_eq!(shown, expected);
        let id = |of: &str| MemberId::new(PeerId::new(of).unwrap(), Incarnation(7));
        assert_eq!(asked, [(id("b"), SeqNo(6))]);
        // `b` comes only now; `c` has left, and its leaving waits.
        let before = known_before([a.clone(), b.clone()], &read);
        let before: Vec<_> = before.iter().map(|of| of.id.as_str()).collect();
        assert_eq!(before, ["a", "c"]);
    }
}
