//! A connection that was accepted.
//!
//! In: what the hub says; payloads of the member. Out: payloads for the member; inputs. May touch: the outbox; the state
//! of the bus, for introductions and the welcome.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use kyneta_uds_bus::{
    ConnectionKey, DownFrame, MemberId, Message, Recipients, SeqNo, Session, Token, UpFrame,
};
use kyneta_uds_core::Rejection;

use super::convert::{invalid, message, unknown, wire_message};
use crate::bus::{
    bundle::Bundle,
    input::{Input, UpInput},
    outbox::{Down, DownBox},
    quick::QuickMap,
    refusal,
    shared::Shared,
    wire::{Alias, Body, Wire},
};

/// How many frames are taken from an outbox at a time.
const TAKEN: usize = 32;

pub(super) struct Accepted {
    pub(super) key: ConnectionKey,
    pub(super) outbox: Arc<DownBox>,
    /// Taken from the outbox.
    taken: VecDeque<Down>,
    members: QuickMap<Alias, MemberId>,
    aliases: QuickMap<MemberId, Alias>,
    next: Alias,
    /// The last sender of a message to this member: mostly the next one, too.
    sender: Option<(MemberId, Alias)>,
    /// What the present input has so far.
    inputs: Vec<UpInput>,
    /// To be written before more is taken from the outbox.
    waits: Option<Wire>,
}

impl Accepted {
    pub(super) fn new(key: ConnectionKey, outbox: Arc<DownBox>) -> Self {
        Self {
            key,
            outbox,
            taken: VecDeque::new(),
            members: QuickMap::default(),
            aliases: QuickMap::default(),
            next: 0,
            sender: None,
            inputs: Vec::new(),
            waits: None,
        }
    }

    /// With the members that have aliases, and the last alias that was given.
    pub(super) fn knowing(mut self, last: Alias, members: Vec<(Alias, MemberId)>) -> Self {
        self.next = last;
        let aliases = members
            .iter()
            .map(|(alias, member)| (member.clone(), *alias));
        self.aliases = aliases.collect();
        self.members = members.into_iter().collect();
        self
    }

    /// The members that have aliases, by alias.
    pub(super) fn members(&self) -> impl Iterator<Item = (Alias, &MemberId)> {
        let members: BTreeMap<_, _> = self.members.iter().collect();
        members.into_iter().map(|(alias, member)| (*alias, member))
    }

    pub(super) const fn last_alias(&self) -> Alias {
        self.next
    }

    /// The next payload of what was taken from the outbox already.
    pub(super) fn next_taken(&mut self, shared: &Shared) -> Option<Wire> {
        let has_some = self.waits.is_some() || !self.taken.is_empty();
        has_some.then(|| self.next(shared)).flatten()
    }

    /// The present input, unless it is empty.
    pub(super) fn input(&mut self) -> Option<Input> {
        let inputs = std::mem::take(&mut self.inputs);
        (!inputs.is_empty()).then(|| Input::Up(self.key, inputs))
    }

    /// Gives the bus the present input. False if it is empty.
    pub(super) fn put_in(&mut self, shared: &Arc<Shared>) -> bool {
        let has_some = !self.inputs.is_empty();
        if has_some {
            shared.up(self.key, &mut self.inputs);
        }
        has_some
    }

    /// The next payload for the member. A member that it does not know yet is introduced first.
    pub(super) fn next(&mut self, shared: &Shared) -> Option<Wire> {
        if let Some(wire) = self.waits.take() {
            return Some(wire);
        }
        if self.taken.is_empty() {
            self.outbox.take(TAKEN, &mut self.taken);
        }
        let frame = match self.taken.pop_front()? {
            Down::Wire(wire) => return Some(*wire),
            Down::Frame(DownFrame::Msg { sender, message }) => {
                let message = with_following(&sender, message, &mut self.taken);
                if self.is_last(&sender) {
                    return self.message(message);
                }
                DownFrame::Msg { sender, message }
            }
            Down::Frame(frame) => frame,
        };
        let mut introduction = None;
        let mut alias = |member: &MemberId| {
            *self.aliases.entry(member.clone()).or_insert_with(|| {
                self.next += 1;
                self.members.insert(self.next, member.clone());
                let of = shared.introduction(member);
                introduction = Some(Wire::Introduce(self.next, Box::new(of)));
                self.next
            })
        };
        let wire = match frame {
            DownFrame::Welcome { hub, present } => {
                Wire::Welcome(Box::new(shared.welcome(self.key, &hub, present)))
            }
            DownFrame::Refused(why) => Wire::Refuse(Box::new(refusal::of_hub(why))),
            DownFrame::Joined { sender, session } => Wire::Joined {
                sender: alias(&sender),
                session: session.0,
            },
            DownFrame::Peer(peer) => Wire::Peer {
                receiver: alias(&peer.receiver),
                session: peer.session.0,
                token: peer.place.token.0,
                k: peer.place.k.0,
                keeps_newest: peer.keeps_newest,
            },
            DownFrame::Acked { receiver, k } => Wire::Acks(vec![(alias(&receiver), k.0)]),
            DownFrame::Left(member) => {
                let left = Wire::Left(alias(&member));
                if let Some(alias) = self.aliases.remove(&member) {
                    self.members.remove(&alias);
                }
                self.sender = None;
                left
            }
            DownFrame::Start { sender, from } => Wire::Start {
                member: alias(&sender),
                session: 0,
                from: from.0,
            },
            DownFrame::Msg { sender, message } => {
                let alias = alias(&sender);
                self.sender = Some((sender, alias));
                Wire::Message {
                    sender: alias,
                    message: wire_message(message),
                }
            }
            DownFrame::Missed {
                sender,
                upto,
                count,
            } => Wire::Missed {
                sender: alias(&sender),
                upto: upto.0,
                count,
            },
        };
        match introduction {
            Some(introduction) => {
                self.waits = Some(wire);
                Some(introduction)
            }
            None => Some(wire),
        }
    }

    fn is_last(&self, sender: &MemberId) -> bool {
        self.sender.as_ref().is_some_and(|(last, _)| last == sender)
    }

    /// A message of the last sender.
    fn message(&self, message: Message<Body>) -> Option<Wire> {
        let (_, sender) = self.sender.as_ref()?;
        Some(Wire::Message {
            sender: *sender,
            message: wire_message(message),
        })
    }

    /// Adds a payload to the present input.
    pub(super) fn add(&mut self, wire: Wire) -> Result<(), Rejection> {
        match wire {
            Wire::Send { to, message: of } if to.is_empty() => match self.inputs.last_mut() {
                Some(UpInput::Run(run)) => run.push(message(of)),
                // Mostly one, or a few bundles.
                _ => self.inputs.push(UpInput::Run(vec![message(of)])),
            },
            wire => {
                let input = self.parse(wire)?;
                self.inputs.extend(input);
            }
        }
        Ok(())
    }

    /// What a payload means; nothing, where it is about a member that left while it was on its way.
    fn parse(&self, wire: Wire) -> Result<Option<UpInput>, Rejection> {
        let known = |alias: &Alias| self.members.get(alias).cloned();
        let member = |alias: Alias| match known(&alias) {
            None if alias == 0 || alias > self.next => Err(unknown()),
            known => Ok(known),
        };
        let frame = match wire {
            Wire::Kyneta(id) => return Ok(Some(UpInput::Kyneta(id))),
            Wire::Greet(greeting) => return Ok(Some(UpInput::Greet(greeting))),
            Wire::Observe(observation) => return Ok(Some(UpInput::Observe(observation))),
            Wire::Acks(acks) => {
                let acks = acks.into_iter();
                let acks = acks.filter_map(|(alias, k)| Some((known(&alias)?, SeqNo(k))));
                return Ok(Some(UpInput::Acks(acks.collect())));
            }
            Wire::Position {
                sender,
                session,
                token,
            } => {
                let Some(sender) = member(sender)? else {
                    return Ok(None);
                };
                UpFrame::Position {
                    sender,
                    session: Session(session),
                    token: Token(token),
                }
            }
            Wire::Start {
                member: of,
                session,
                from,
            } => {
                let Some(receiver) = member(of)? else {
                    return Ok(None);
                };
                UpFrame::Start {
                    receiver,
                    session: Session(session),
                    from: SeqNo(from),
                }
            }
            Wire::Send { to, message: of } => {
                let to = to.iter().filter_map(known);
                let to = Recipients::Listed(to.collect());
                let message = message(of);
                UpFrame::Msg { to, message }
            }
            Wire::Bye => UpFrame::Bye,
            _ => return Err(invalid("a payload that hubs send")),
        };
        Ok(Some(UpInput::Frame(frame)))
    }
}

/// Small messages of one sender that follow each other go as one: those of the listener itself come one by one.
fn with_following(
    sender: &MemberId,
    first: Message<Body>,
    rest: &mut VecDeque<Down>,
) -> Message<Body> {
    let mut bundle: Option<Bundle> = None;
    while let Some(Down::Frame(DownFrame::Msg {
        sender: of,
        message,
    })) = rest.front()
        && of == sender
    {
        let is_added = match &mut bundle {
            Some(bundle) => bundle.add(message),
            None => {
                bundle = Bundle::of(&first, message);
                bundle.is_some()
            }
        };
        if !is_added {
            break;
        }
        rest.pop_front();
    }
    bundle.map_or(first, Bundle::into_message)
}

#[cfg(test)]
mod tests {
    use kyneta_uds_bus::Incarnation;
    use kyneta_uds_core::PeerId;

    use super::*;
    use crate::bus::{bundle, wire::Kind};

    fn message(n: u64, addressed: bool) -> Message<Body> {
        Message {
            n: SeqNo(n),
            addressed,
            body: Body {
                kind: Kind::Plain,
                at_once: n == 3,
                data: vec![n as u8; 9].into(),
                trace: None,
            },
        }
    }

    #[test]
    fn what_crosses_the_leave_of_a_member_is_no_fault_and_what_was_never_introduced_is() {
        // Numbers up to 2 were given; the member with number 1 has left.
        let b = MemberId::new(PeerId::new("b").unwrap(), Incarnation(1));
        let outbox = Arc::new(DownBox::new());
        let accepted = Accepted::new(ConnectionKey(1), outbox).knowing(2, vec![(2, b)]);
        let (session, token, from) = (1, 1, 1);
        for (alias, counts) in [(1, Ok(false)), (2, Ok(true)), (0, Err(())), (3, Err(()))] {
            for wire in [
                Wire::Position {
                    sender: alias,
                    session,
                    token,
                },
                Wire::Start {
                    member: alias,
                    session,
                    from,
                },
            ] {
                let parsed = accepted.parse(wire);
                assert_eq!(parsed.map(|of| of.is_some()).map_err(drop), counts);
            }
        }
    }

    #[test]
    fn what_follows_of_the_same_sender_goes_with_it_and_all_else_behind_it() {
        let id = |id: &str| MemberId::new(PeerId::new(id).unwrap(), Incarnation(1));
        let (a, b) = (id("a"), id("b"));
        let frame = |sender: &MemberId, n, addressed| {
            let (sender, message) = (sender.clone(), message(n, addressed));
            Down::Frame(DownFrame::Msg { sender, message })
        };
        let left = || Down::Frame(DownFrame::Left(b.clone()));
        for (rest, count) in [
            (vec![], 1),
            (vec![frame(&a, 2, false)], 2),
            (
                vec![
                    frame(&a, 2, false),
                    frame(&a, 3, false),
                    frame(&b, 4, false),
                ],
                3,
            ),
            (vec![frame(&a, 2, false), left(), frame(&a, 3, false)], 2),
            (vec![left(), frame(&a, 2, false)], 1),
            (vec![frame(&b, 2, false)], 1),
            (vec![frame(&a, 2, true)], 1),
            (vec![frame(&a, 3, false)], 1),
            (vec![frame(&a, 2, false), frame(&a, 4, false)], 2),
        ] {
            let all = rest.len();
            let mut rest = VecDeque::from(rest);
            let first = with_following(&a, message(1, false), &mut rest);
            assert_eq!(
                (bundle::count(&first), all - rest.len()),
                (count, count - 1)
            );
            let numbers = bundle::each(&first).map(|of| of.n.0);
            assert!(numbers.eq(1..=count as u64));
            assert_eq!(first.body.at_once, count == 3);
        }
    }
}
