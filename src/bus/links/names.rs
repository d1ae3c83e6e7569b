//! The members that a link speaks of: those of this machine and those behind the link, by the numbers of each side.
//!
//! In: frames of the hub, payloads of the link. Out: the other one. Touches nothing. A frame of the link can name
//! members behind it as senders, and members of this machine as receivers, and no other: the numbers are of two kinds.

use std::collections::HashMap;

use kyneta_uds_bus::{LinkFrame, MemberId, PeerPlace, Place, Recipients, SeqNo, Session, Token};
use kyneta_uds_core::{Name, Rejection};

use super::wire::{LinkAck, LinkWire};
use crate::bus::{
    channel::convert::{invalid, message, wire_message},
    info::MemberInfo,
    wire::{Alias, Body, Introduction},
};

/// How many members a link may announce.
const MAX_MEMBERS: usize = 4096;

/// The numbers of both sides of one link.
#[derive(Debug)]
pub(super) struct Names {
    /// What the other machine is called here.
    machine: Name,
    /// Of the members of this machine: each has the number that was written with its announcement.
    ours: HashMap<Alias, MemberId>,
    our_aliases: HashMap<MemberId, Alias>,
    last: Alias,
    /// Of the members behind the link; absent for one whose id is too long here.
    theirs: HashMap<Alias, Option<MemberId>>,
    their_aliases: HashMap<MemberId, Alias>,
}

/// What a payload of the link means for the hub.
#[derive(Debug)]
pub(in crate::bus) enum LinkInput {
    /// A member behind the link, and its announcement.
    Announced(Box<MemberInfo>, LinkFrame<Body>),
    Frame(LinkFrame<Body>),
    Frames(Vec<LinkFrame<Body>>),
    /// It is about a member that left meanwhile.
    Nothing,
    /// A member that cannot be named here.
    TooLong(String),
}

impl Names {
    pub(super) fn new(machine: Name) -> Self {
        Self {
            machine,
            ours: HashMap::new(),
            our_aliases: HashMap::new(),
            last: 0,
            theirs: HashMap::new(),
            their_aliases: HashMap::new(),
        }
    }

    /// The payload of a frame; `None` if it is about a member that left meanwhile.
    pub(super) fn wire(
        &mut self,
        frame: LinkFrame<Body>,
        introduce: impl FnOnce(&MemberId) -> Introduction,
    ) -> Option<LinkWire> {
        let ours = |member: &MemberId| self.our_aliases.get(member).copied();
        let theirs = |member: &MemberId| self.their_aliases.get(member).copied();
        Some(match frame {
            LinkFrame::Announce {
                member,
                session,
                keeps_newest,
            } => {
                let introduction = Box::new(introduce(&member));
                let (ours, last) = (&mut self.ours, &mut self.last);
                let mine = *self.our_aliases.entry(member.clone()).or_insert_with(|| {
                    *last += 1;
                    ours.insert(*last, member);
                    *last
                });
                LinkWire::Announce {
                    mine,
                    session: session.0,
                    keeps_newest,
                    introduction,
                }
            }
            LinkFrame::Gone(member) => {
                let mine = self.our_aliases.remove(&member)?;
                self.ours.remove(&mine);
                LinkWire::Gone(mine)
            }
            LinkFrame::Peer {
                sender,
                sender_session,
                peer,
            } => LinkWire::Peer {
                yours: theirs(&sender)?,
                yours_session: sender_session.0,
                mine: ours(&peer.receiver)?,
                session: peer.session.0,
                token: peer.place.token.0,
                k: peer.place.k.0,
                keeps_newest: peer.keeps_newest,
            },
            LinkFrame::Acked {
                sender,
                sender_session,
                receiver,
                k,
            } => LinkWire::Acks(vec![LinkAck {
                yours: theirs(&sender)?,
                yours_session: sender_session.0,
                mine: ours(&receiver)?,
                k: k.0,
            }]),
            LinkFrame::Start {
                sender,
                receiver,
                receiver_session,
                from,
            } => LinkWire::Start {
                mine: ours(&sender)?,
                yours: theirs(&receiver)?,
                yours_session: receiver_session.0,
                from: from.0,
            },
            LinkFrame::Msg {
                sender,
                to,
                message,
            } => {
                let to = match to {
                    Recipients::All => Vec::new(),
                    // Of members on several machines, those behind this link.
                    Recipients::Listed(members) => {
                        let to: Vec<_> = members.iter().filter_map(theirs).collect();
                        if to.is_empty() {
                            return None;
                        }
                        to
                    }
                };
                LinkWire::Message {
                    mine: ours(&sender)?,
                    to,
                    message: wire_message(message),
                }
            }
        })
    }

    /// What a payload means. The other side's view of members is that of the time at which it wrote.
    ///
    /// # Errors
    /// It names a member that it has not announced, or announces too many, or is no frame.
    pub(super) fn input(&mut self, wire: LinkWire) -> Result<LinkInput, Rejection> {
        let frame = match wire {
            LinkWire::Announce {
                mine,
                session,
                keeps_newest,
                introduction,
            } => return self.announced(mine, session, keeps_newest, *introduction),
            LinkWire::Gone(mine) => self.gone(mine)?,
            LinkWire::Peer {
                yours,
                yours_session,
                mine,
                session,
                token,
                k,
                keeps_newest,
            } => self.peer(mine, yours, |receiver, sender| LinkFrame::Peer {
                sender,
                sender_session: Session(yours_session),
                peer: PeerPlace {
                    receiver,
                    session: Session(session),
                    place: Place {
                        token: Token(token),
                        k: SeqNo(k),
                    },
                    keeps_newest,
                },
            })?,
            LinkWire::Acks(acks) => {
                let mut frames = Vec::with_capacity(acks.len());
                for ack in acks {
                    let frame =
                        self.peer(ack.mine, ack.yours, |receiver, sender| LinkFrame::Acked {
                            sender,
                            sender_session: Session(ack.yours_session),
                            receiver,
                            k: SeqNo(ack.k),
                        })?;
                    frames.extend(frame);
                }
                return Ok(LinkInput::Frames(frames));
            }
            LinkWire::Start {
                mine,
                yours,
                yours_session,
                from,
            } => self.peer(mine, yours, |sender, receiver| LinkFrame::Start {
                sender,
                receiver,
                receiver_session: Session(yours_session),
                from: SeqNo(from),
            })?,
            LinkWire::Message {
                mine,
                to,
                message: of,
            } => self.theirs(mine)?.cloned().map(|sender| {
                let listed = || to.iter().filter_map(|to| self.ours.get(to).cloned());
                let to = match to.is_empty() {
                    true => Recipients::All,
                    false => Recipients::Listed(listed().collect()),
                };
                let message = message(of);
                LinkFrame::Msg {
                    sender,
                    to,
                    message,
                }
            }),
            LinkWire::Hello(_) | LinkWire::Ping(_) | LinkWire::Pong(_) => {
                return Err(invalid("a payload that comes at another time"));
            }
        };
        Ok(frame.map_or(LinkInput::Nothing, LinkInput::Frame))
    }

    fn announced(
        &mut self,
        mine: Alias,
        session: u64,
        keeps_newest: bool,
        introduction: Introduction,
    ) -> Result<LinkInput, Rejection> {
        if self.theirs.len() >= MAX_MEMBERS && !self.theirs.contains_key(&mine) {
            return Err(invalid("more members than a link may announce"));
        }
        let id = introduction.id.clone();
        let Ok(info) = MemberInfo::of_machine(introduction, &self.machine) else {
            self.theirs.insert(mine, None);
            return Ok(LinkInput::TooLong(id));
        };
        let member = info.member_id();
        if let Some(Some(before)) = self.theirs.insert(mine, Some(member.clone()))
            && before != member
        {
            return Err(invalid("a number that another member has"));
        }
        self.their_aliases.insert(member.clone(), mine);
        let frame = LinkFrame::Announce {
            member,
            session: Session(session),
            keeps_newest,
        };
        Ok(LinkInput::Announced(Box::new(info), frame))
    }

    fn gone(&mut self, mine: Alias) -> Result<Option<LinkFrame<Body>>, Rejection> {
        let known = self.theirs.remove(&mine).ok_or_else(unknown)?;
        Ok(known.map(|member| {
            self.their_aliases.remove(&member);
            LinkFrame::Gone(member)
        }))
    }

    /// A frame about one member of each side, if both are known here.
    fn peer(
        &self,
        mine: Alias,
        yours: Alias,
        frame: impl FnOnce(MemberId, MemberId) -> LinkFrame<Body>,
    ) -> Result<Option<LinkFrame<Body>>, Rejection> {
        // One of ours that the other side still knows may have left here.
        let pair = self.theirs(mine)?.zip(self.ours.get(&yours));
        Ok(pair.map(|(theirs, ours)| frame(theirs.clone(), ours.clone())))
    }

    fn theirs(&self, mine: Alias) -> Result<Option<&MemberId>, Rejection> {
        let known = self.theirs.get(&mine).ok_or_else(unknown)?;
        Ok(known.as_ref())
    }
}

fn unknown() -> Rejection {
    invalid("a member that was not announced")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::wire::{Kind, WireMessage};

    fn introduction(id: &str, machine: Option<&str>) -> Introduction {
        Introduction {
            id: id.into(),
            inc: 1,
            name: None,
            kind: "service".into(),
            machine: machine.map(Into::into),
            pid: Some(1),
            uid: Some(0),
            since_ms: None,
            waits: None,
        }
    }

    fn message(mine: Alias) -> LinkWire {
        let data = Bytes::from_static(b"data");
        let (kind, at_once, trace) = (Kind::Plain, false, None);
        LinkWire::Message {
            mine,
            to: Vec::new(),
            message: WireMessage {
                n: 1,
                addressed: false,
                body: Body {
                    kind,
                    at_once,
                    data,
                    trace,
                },
            },
        }
    }

    /// The other machine may be hostile: whatever it announces, its members have its name here, and it sends for no other.
    #[test]
    fn a_link_cannot_speak_for_a_member_of_this_machine_or_of_a_third_one() {
        let mut names = Names::new(Name::new("rome").unwrap());
        let ann = introduction("ann", None);
        let member = MemberInfo::read(&ann).unwrap().member_id();
        let announce = LinkFrame::Announce {
            member,
            session: Session(1),
            keeps_newest: false,
        };
        let Some(LinkWire::Announce { mine: ours, .. }) = names.wire(announce, |_| ann) else {
            panic!("ann is announced to rome")
        };
        // By the number that ann has on the link.
        assert!(names.input(message(ours)).is_err());
        // By ann's id, as a member of oslo, and as one of lima.
        for (number, id, machine) in [
            (11, "ann", None),
            (12, "ann", Some("oslo")),
            (13, "ann@lima", Some("lima")),
        ] {
            let announced = LinkWire::Announce {
                mine: number,
                session: 1,
                keeps_newest: false,
                introduction: Box::new(introduction(id, machine)),
            };
            let Ok(LinkInput::Announced(info, _)) = names.input(announced) else {
                panic!("{id} is announced")
            };
            assert_eq!(info.id.as_str(), format!("{id}@rome"));
            assert_eq!(info.machine.as_ref().map(|of| of.as_str()), Some("rome"));
            let Ok(LinkInput::Frame(LinkFrame::Msg { sender, .. })) = names.input(message(number))
            else {
                panic!("{id} sends")
            };
            assert_eq!(sender, info.member_id());
        }
    }
}
