//! A connection that this side has made.
//!
//! In: what the member says; payloads of the hub. Out: payloads for the hub; inputs. May touch: the outbox; the state of
//! the bus, for copies and for the greeting.

use std::{collections::VecDeque, sync::Arc};

use futures_util::task::AtomicWaker;
use kyneta_uds_bus::{
    Copies, DownFrame, MemberId, PeerPlace, Place, Recipients, SeqNo, Session, Token, UpFrame,
};
use kyneta_uds_core::Rejection;

use super::{
    convert::{invalid, message, unknown, wire_message},
    greeting::greeting,
};
use crate::bus::{
    info::MemberInfo,
    input::{DownInput, Input},
    outbox::Up,
    quick::QuickMap,
    shared::Shared,
    wire::{Alias, Body, Wire},
};

pub(super) struct Dialed {
    pub(super) number: u64,
    /// The task's that writes, for what is added to the outbox.
    pub(super) waker: Arc<AtomicWaker>,
    /// Taken from the outbox.
    taken: VecDeque<Up>,
    copies: Option<Copies>,
    members: QuickMap<Alias, MemberId>,
    aliases: QuickMap<MemberId, Alias>,
    /// What the present input has so far, and the alias of the run that is its last part.
    inputs: Vec<DownInput>,
    run: Option<Alias>,
}

impl Dialed {
    pub(super) fn new(number: u64, waker: Arc<AtomicWaker>) -> Self {
        Self {
            number,
            waker,
            taken: VecDeque::new(),
            copies: None,
            members: QuickMap::default(),
            aliases: QuickMap::default(),
            inputs: Vec::new(),
            run: None,
        }
    }

    /// The present input, unless it is empty.
    pub(super) fn input(&mut self) -> Option<Input> {
        self.run = None;
        let inputs = std::mem::take(&mut self.inputs);
        (!inputs.is_empty()).then(|| Input::Down(self.number, inputs))
    }

    /// Gives the bus the present input. False if it is empty.
    pub(super) fn put_in(&mut self, shared: &Arc<Shared>) -> bool {
        self.run = None;
        let has_some = !self.inputs.is_empty();
        if has_some {
            shared.down(self.number, &mut self.inputs);
        }
        has_some
    }

    /// The next payload for the hub. What names a member that the hub has not introduced here is of an earlier
    /// connection: it is left out. When something was written, `writes`, acknowledgements go with it.
    pub(super) fn next(&mut self, shared: &Shared, writes: bool) -> Option<Wire> {
        loop {
            let item = match &mut self.copies {
                Some(copies) => match shared.next_copy(copies) {
                    Some(frame) => Up::Frame(frame),
                    None => {
                        self.copies = None;
                        continue;
                    }
                },
                None => {
                    if self.taken.is_empty() {
                        shared.take_up(self.number, &mut self.taken);
                    }
                    if writes && self.taken.is_empty() && shared.inbox.has_ripe() {
                        shared.acknowledge_with(self.number, &mut self.taken);
                    }
                    self.taken.pop_front()?
                }
            };
            match item {
                Up::Copies(copies) => self.copies = Some(copies),
                Up::Bundle(to, bundle) => {
                    let message = bundle.into_message();
                    if let Some(wire) = self.wire(UpFrame::Msg { to, message }, shared) {
                        return Some(wire);
                    }
                }
                Up::Frame(frame) => {
                    if let Some(wire) = self.wire(frame, shared) {
                        return Some(wire);
                    }
                }
            }
        }
    }

    fn wire(&self, frame: UpFrame<Body>, shared: &Shared) -> Option<Wire> {
        let alias = |member: &MemberId| self.aliases.get(member).copied();
        Some(match frame {
            UpFrame::Hello(hello) => Wire::Greet(Box::new(greeting(hello, shared))),
            UpFrame::Position {
                sender,
                session,
                token,
            } => Wire::Position {
                sender: alias(&sender)?,
                session: session.0,
                token: token.0,
            },
            UpFrame::Ack { sender, k } => Wire::Acks(vec![(alias(&sender)?, k.0)]),
            UpFrame::Start {
                receiver,
                session,
                from,
            } => Wire::Start {
                member: alias(&receiver)?,
                session: session.0,
                from: from.0,
            },
            UpFrame::Msg { to, message } => {
                let to = match to {
                    Recipients::All => Vec::new(),
                    Recipients::Listed(members) => {
                        let to: Vec<_> = members.iter().filter_map(alias).collect();
                        if to.is_empty() {
                            return None;
                        }
                        to
                    }
                };
                let message = wire_message(message);
                Wire::Send { to, message }
            }
            UpFrame::Bye => Wire::Bye,
        })
    }

    /// Adds a payload to the present input.
    pub(super) fn add(&mut self, wire: Wire) -> Result<(), Rejection> {
        let run = match wire {
            Wire::Message {
                sender,
                message: of,
            } => {
                if self.run == Some(sender)
                    && let Some(DownInput::Run(_, run)) = self.inputs.last_mut()
                {
                    run.push(message(of));
                    return Ok(());
                }
                let member = self.members.get(&sender).cloned().ok_or_else(unknown)?;
                // Mostly one, or a few bundles.
                let run = vec![message(of)];
                self.inputs.push(DownInput::Run(member, run));
                Some(sender)
            }
            wire => {
                let input = self.parse(wire)?;
                self.inputs.push(input);
                None
            }
        };
        self.run = run;
        Ok(())
    }

    fn parse(&mut self, wire: Wire) -> Result<DownInput, Rejection> {
        let member = |alias: &Alias| self.members.get(alias).cloned().ok_or_else(unknown);
        let frame = match wire {
            Wire::Welcome(welcome) => return Ok(DownInput::Welcome(welcome)),
            Wire::Refuse(refused) => return Ok(DownInput::Refused(refused)),
            Wire::Introduce(alias, introduction) => {
                let info = MemberInfo::read(&introduction);
                let info = info.map_err(|_| invalid("an id or a name that is too long"))?;
                let id = info.member_id();
                self.members.insert(alias, id.clone());
                self.aliases.insert(id, alias);
                return Ok(DownInput::Introduced(Box::new(info)));
            }
            Wire::Acks(acks) => {
                let acks = acks
                    .into_iter()
                    .map(|(alias, k)| Ok((member(&alias)?, SeqNo(k))));
                return Ok(DownInput::Acks(acks.collect::<Result<_, Rejection>>()?));
            }
            Wire::Joined { sender, session } => DownFrame::Joined {
                sender: member(&sender)?,
                session: Session(session),
            },
            Wire::Peer {
                receiver,
                session,
                token,
                k,
                keeps_newest,
            } => DownFrame::Peer(PeerPlace {
                receiver: member(&receiver)?,
                session: Session(session),
                place: Place {
                    token: Token(token),
                    k: SeqNo(k),
                },
                keeps_newest,
            }),
            Wire::Left(alias) => {
                let id = self.members.remove(&alias).ok_or_else(unknown)?;
                self.aliases.remove(&id);
                DownFrame::Left(id)
            }
            Wire::Start {
                member: of, from, ..
            } => DownFrame::Start {
                sender: member(&of)?,
                from: SeqNo(from),
            },
            Wire::Missed {
                sender,
                upto,
                count,
            } => DownFrame::Missed {
                sender: member(&sender)?,
                upto: SeqNo(upto),
                count,
            },
            Wire::Kyneta(_) => return Err(invalid("a message of kyneta's, on a bus")),
            _ => return Err(invalid("a payload that members send")),
        };
        Ok(DownInput::Frame(frame))
    }
}
