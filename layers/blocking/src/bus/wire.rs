//! Frames of a member's machine as payloads, and back (wire section 10). By serde's items of CBOR: a member without a
//! runtime is not for the streams that the codec of the async one is made for.
//!
//! In: frames, payloads. Out: the other one. Touches nothing.

use std::{collections::BTreeMap, vec};

use bytes::Bytes;
use ciborium::Value;
use kyneta_uds_bus::{
    DownFrame, Hello, Incarnation, MachineId, MemberId, Message, PeerPlace, Place, Recipients,
    SeqNo, Session, SlowPolicy, Token, UpFrame,
};
use kyneta_uds_core::{Identity, PeerId, Rejection};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a greeting begins with.
const MAGIC: &str = "kyneta-bus";

/// The version of the protocol.
const VERSION: u32 = 1;

const ADDRESSED: u64 = 1;
const AT_ONCE: u64 = 2;

/// Messages of one bundle beside the last, at most.
const MAX_MORE: u64 = 1023;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) kind: Kind,
    /// Its receivers acknowledge it as soon as they have it.
    pub(super) at_once: bool,
    pub(super) data: Bytes,
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Request,
    /// It answers the receiver's message of this number.
    Answer(u64),
    /// It says why there is no answer.
    Failure(u64),
    /// The answer to the sender's message of this number is not wanted any more.
    Cancel(u64),
}

impl Kind {
    const fn number(self) -> u64 {
        let (kind, of) = match self {
            Self::Plain => (0, 0),
            Self::Request => (1, 0),
            Self::Answer(of) => (2, of),
            Self::Failure(of) => (3, of),
            Self::Cancel(of) => (4, of),
        };
        of.saturating_mul(5).saturating_add(kind)
    }

    /// `None` for a bundle.
    const fn of(number: u64) -> Option<Self> {
        let of = number / 5;
        Some(match number % 5 {
            0 if of == 0 => Self::Plain,
            0 => return None,
            1 => Self::Request,
            2 => Self::Answer(of),
            3 => Self::Failure(of),
            _ => Self::Cancel(of),
        })
    }
}

#[derive(Serialize)]
struct Greeting<'a> {
    bus: &'static str,
    lo: u32,
    hi: u32,
    protocols: &'a [String],
    me: Me<'a>,
    attempt: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<(&'a str, u64)>,
    slow: u64,
    places: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    far: Vec<Told<'a>>,
}

/// Id, incarnation, token, number.
type Told<'a> = (&'a str, u64, u64, u64);

#[derive(Serialize)]
struct Me<'a> {
    id: &'a str,
    inc: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    kind: &'static str,
}

#[derive(Deserialize)]
struct Welcome {
    hub: (String, u64),
    present: u32,
}

/// Why a hub does not admit a member.
#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) why: String,
}

#[derive(Deserialize)]
struct Introduction {
    id: String,
    inc: u64,
    #[serde(default)]
    machine: Option<String>,
}

/// What a payload of a hub says.
#[derive(Debug)]
pub(super) enum Down {
    /// In order: several for a bundle, none for an introduction.
    Frames(Vec<DownFrame<Body>>),
    Refused(Refused),
}

/// Members that have a number at once, at most: twice as many as there may be on a bus, because one that has left and its
/// successor may both have one.
const MAX_NAMES: usize = 8192;

/// The members of one connection, by the numbers that the hub has given them.
#[derive(Debug, Default)]
pub(super) struct Names {
    members: BTreeMap<u64, MemberId>,
    aliases: BTreeMap<MemberId, u64>,
}

fn told((member, place): &(MemberId, Place)) -> Told<'_> {
    let id = member.peer.as_str();
    (id, member.incarnation.0, place.token.0, place.k.0)
}

/// The greeting.
pub(super) fn greet(
    hello: &Hello,
    identity: &Identity,
    protocols: &[String],
) -> Result<Value, ciborium::value::Error> {
    let is_here = |(member, _): &&(MemberId, Place)| member.machine == MachineId::default();
    let (here, far): (Vec<_>, Vec<_>) = hello.places.iter().partition(is_here);
    let hub = hello.last_hub.as_ref();
    let greeting = Greeting {
        bus: MAGIC,
        lo: VERSION,
        hi: VERSION,
        protocols,
        me: Me {
            id: identity.peer_id.as_str(),
            inc: hello.member.incarnation.0,
            name: identity.name.as_ref().map(|name| name.as_str()),
            kind: identity.peer_type.name(),
        },
        attempt: hello.attempt.0,
        hub: hub.map(|hub| (hub.peer.as_str(), hub.incarnation.0)),
        slow: match hello.slow {
            SlowPolicy::Wait => 0,
            SlowPolicy::Disconnect => 1,
            SlowPolicy::Newest(count) => 1 + u64::from(count.get()),
        },
        places: here.into_iter().map(told).collect(),
        far: far.into_iter().map(told).collect(),
    };
    Ok(Value::Array(vec![0.into(), Value::serialized(&greeting)?]))
}

fn numbers(items: impl IntoIterator<Item = u64>) -> Value {
    Value::Array(items.into_iter().map(Value::from).collect())
}

impl Names {
    /// The payload of any frame but a greeting; `None` if the hub has not named the member that it is about on this
    /// connection, so that it is of an earlier one.
    pub(super) fn up(&self, frame: UpFrame<Body>) -> Option<Value> {
        let alias = |member: &MemberId| self.aliases.get(member).copied();
        Some(match frame {
            UpFrame::Hello(_) => return None,
            UpFrame::Position {
                sender,
                session,
                token,
            } => numbers([1, alias(&sender)?, session.0, token.0]),
            UpFrame::Ack { sender, k } => numbers([2, alias(&sender)?, k.0]),
            UpFrame::Start {
                receiver,
                session,
                from,
            } => numbers([3, alias(&receiver)?, session.0, from.0]),
            UpFrame::Msg { to, message } => {
                let to = match to {
                    Recipients::All => Vec::new(),
                    Recipients::Listed(to) => {
                        let to: Vec<_> = to.iter().filter_map(alias).collect();
                        if to.is_empty() {
                            return None;
                        }
                        to
                    }
                };
                let Message { n, addressed, body } = message;
                let at_once = if body.at_once { AT_ONCE } else { 0 };
                let flags = u64::from(addressed) * ADDRESSED + at_once;
                Value::Array(vec![
                    4.into(),
                    n.0.into(),
                    flags.into(),
                    numbers(to),
                    body.kind.number().into(),
                    Value::Bytes(body.data.into()),
                ])
            }
            UpFrame::Bye => numbers([5]),
        })
    }

    /// What a payload says.
    pub(super) fn down(&mut self, payload: Value) -> Result<Down, Rejection> {
        let Value::Array(items) = payload else {
            return Err(invalid("a payload that is no array"));
        };
        let mut items = Items(items.into_iter());
        let frame = match items.number()? {
            2 => return self.acks(&mut items),
            3 => {
                let sender = self.member(items.number()?)?;
                items.number()?;
                DownFrame::Start {
                    sender,
                    from: SeqNo(items.number()?),
                }
            }
            16 => {
                let Welcome { hub, present } = items.map()?;
                DownFrame::Welcome {
                    hub: MemberId::new(peer(&hub.0)?, Incarnation(hub.1)),
                    present,
                }
            }
            17 => return Ok(Down::Refused(items.map()?)),
            18 => {
                let alias = items.number()?;
                self.introduce(alias, introduced(items.map()?)?)?;
                return Ok(Down::Frames(Vec::new()));
            }
            19 => DownFrame::Joined {
                sender: self.member(items.number()?)?,
                session: Session(items.number()?),
            },
            20 => DownFrame::Peer(PeerPlace {
                receiver: self.member(items.number()?)?,
                session: Session(items.number()?),
                place: Place {
                    token: Token(items.number()?),
                    k: SeqNo(items.number()?),
                },
                keeps_newest: items.number()? != 0,
            }),
            21 => {
                let alias = items.number()?;
                let member = self.member(alias)?;
                self.members.remove(&alias);
                self.aliases.remove(&member);
                DownFrame::Left(member)
            }
            22 => return self.messages(&mut items),
            23 => DownFrame::Missed {
                sender: self.member(items.number()?)?,
                upto: SeqNo(items.number()?),
                count: items.number()?,
            },
            _ => return Err(invalid("a kind of payload that hubs do not send")),
        };
        Ok(Down::Frames(vec![frame]))
    }

    fn acks(&self, items: &mut Items) -> Result<Down, Rejection> {
        let mut acks = Vec::new();
        while items.0.len() >= 2 {
            acks.push(DownFrame::Acked {
                receiver: self.member(items.number()?)?,
                k: SeqNo(items.number()?),
            });
        }
        Ok(Down::Frames(acks))
    }

    /// A message, or those of a bundle.
    fn messages(&self, items: &mut Items) -> Result<Down, Rejection> {
        let (n, flags) = (items.number()?, items.number()?);
        let sender = self.member(items.number()?)?;
        let (number, data) = (items.number()?, Bytes::from(items.bytes()?));
        let addressed = flags & ADDRESSED != 0;
        let message = |n, kind, data| DownFrame::Msg {
            sender: sender.clone(),
            message: Message {
                n: SeqNo(n),
                addressed,
                body: Body {
                    kind,
                    at_once: flags & AT_ONCE != 0,
                    data,
                },
            },
        };
        let Some(kind) = Kind::of(number) else {
            let (more, mut rest) = (number / 5, &*data);
            if more > MAX_MORE || n <= more {
                return Err(bundle());
            }
            let mut all = Vec::new();
            for n in n - more..=n {
                let kind = match addressed {
                    true => Kind::of(part(&mut rest)?).ok_or_else(bundle)?,
                    false => Kind::Plain,
                };
                let Value::Bytes(data) = part(&mut rest)? else {
                    return Err(bundle());
                };
                all.push(message(n, kind, data.into()));
            }
            return match rest.is_empty() {
                true => Ok(Down::Frames(all)),
                false => Err(bundle()),
            };
        };
        Ok(Down::Frames(vec![message(n, kind, data)]))
    }

    /// A number names one member, and a member has one number: the last one.
    fn introduce(&mut self, alias: u64, member: MemberId) -> Result<(), Rejection> {
        if self.members.len() >= MAX_NAMES && !self.members.contains_key(&alias) {
            return Err(invalid("more members than a bus has"));
        }
        if let Some(before) = self.aliases.insert(member.clone(), alias) {
            self.members.remove(&before);
        }
        if let Some(before) = self.members.insert(alias, member.clone()) {
            self.aliases.remove(&before);
        }
        Ok(())
    }

    fn member(&self, alias: u64) -> Result<MemberId, Rejection> {
        let member = self.members.get(&alias).cloned();
        member.ok_or_else(|| invalid("a number that names no member"))
    }
}

/// The next item in a bundle.
fn part<T: DeserializeOwned>(rest: &mut &[u8]) -> Result<T, Rejection> {
    ciborium::from_reader(rest).map_err(|_| bundle())
}

fn bundle() -> Rejection {
    invalid("a bundle that does not hold the messages that it says")
}

fn peer(id: &str) -> Result<PeerId, Rejection> {
    PeerId::new(id).map_err(|_| invalid("an id that is too long"))
}

fn introduced(of: Introduction) -> Result<MemberId, Rejection> {
    let member = MemberId::new(peer(&of.id)?, Incarnation(of.inc));
    // Only one whose id says so is on another machine.
    let is_far = |name: &String| of.id.rsplit_once('@').is_some_and(|(_, of)| of == name);
    Ok(match of.machine.filter(is_far) {
        Some(name) => MemberId {
            machine: MachineId::of_name(&name),
            ..member
        },
        None => member,
    })
}

fn invalid(what: &'static str) -> Rejection {
    Rejection::Invalid {
        path: String::new(),
        what: what.into(),
    }
}

/// The items of a payload.
struct Items(vec::IntoIter<Value>);

impl Items {
    fn next(&mut self) -> Result<Value, Rejection> {
        let next = self.0.next();
        next.ok_or_else(|| invalid("a payload that ends too early"))
    }

    fn number(&mut self) -> Result<u64, Rejection> {
        let number = self.next()?.into_integer();
        let number = number.ok().and_then(|number| number.try_into().ok());
        number.ok_or_else(|| invalid("an item that is no number"))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Rejection> {
        let bytes = self.next()?.into_bytes();
        bytes.map_err(|_| invalid("an item that is no byte string"))
    }

    fn map<T: DeserializeOwned>(&mut self) -> Result<T, Rejection> {
        let map = self.next()?.deserialized();
        map.map_err(|_| invalid("a map without what it is to have"))
    }
}

#[cfg(test)]
mod tests;
