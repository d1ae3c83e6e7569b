//! A connection of a bus: frames of the machines on one side, payloads on the other.
//!
//! In: payloads; what waits in the connection's outbox. Out: [`Input`]s; payloads. It takes from the outbox as the
//! connection has room, so nothing is sent through the queue above it. May touch: the state of the bus, when it is
//! polled first and when it ends.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use kyneta_uds_bus::{
    Attempt, ConnectionKey, Copies, DownFrame, Hello, Incarnation, MemberId, Message, PeerPlace,
    Place, Recipients, SeqNo, Session, SlowPolicy, Token, UpFrame,
};
use kyneta_uds_core::{
    Admission, Channel, ConnectionInfo, DisconnectReason, Inbound, PeerId, Rejection, WireVersion,
};
use tower_service::Service;

use super::{
    info::MemberInfo,
    input::{DownInput, Input, UpInput},
    outbox::{Down, DownBox, Up, UpBox},
    shared::Shared,
    wire::{Alias, Greeting, VERSIONS, Wire, WireMessage},
};

/// What a greeting begins with.
pub(crate) const MAGIC: &str = "kyneta-bus";

/// How many payloads may be read before what waits is written.
const WRITES_AFTER: u8 = 32;

/// A channel of [`Wire`] whose messages are its own.
pub(crate) struct BusChannel<C> {
    inner: C,
    shared: Arc<Shared>,
    side: Side,
    reads: u8,
}

enum Side {
    /// Made by this side. Entered with the first poll: then the layer above uses it.
    Dialed(Option<Dialed>),
    /// Accepted; absent until the accept handler has registered it.
    Accepted(Option<Accepted>),
}

struct Dialed {
    number: u64,
    outbox: Arc<UpBox>,
    copies: Option<Copies>,
    members: HashMap<Alias, MemberId>,
    aliases: HashMap<MemberId, Alias>,
}

struct Accepted {
    key: ConnectionKey,
    outbox: Arc<DownBox>,
    members: HashMap<Alias, MemberId>,
    aliases: HashMap<MemberId, Alias>,
    next: Alias,
    /// To be written before more is taken from the outbox.
    waits: Option<Wire>,
}

impl<C> BusChannel<C> {
    pub(crate) const fn dialed(inner: C, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            shared,
            side: Side::Dialed(None),
            reads: 0,
        }
    }

    pub(crate) const fn accepted(inner: C, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            shared,
            side: Side::Accepted(None),
            reads: 0,
        }
    }

    /// The accept handler has registered it.
    pub(crate) fn register(&mut self, key: ConnectionKey, outbox: Arc<DownBox>) {
        self.side = Side::Accepted(Some(Accepted {
            key,
            outbox,
            members: HashMap::new(),
            aliases: HashMap::new(),
            next: 0,
            waits: None,
        }));
    }

    fn enter(&mut self) {
        if let Side::Dialed(side @ None) = &mut self.side {
            let (number, outbox) = self.shared.connected();
            *side = Some(Dialed {
                number,
                outbox,
                copies: None,
                members: HashMap::new(),
                aliases: HashMap::new(),
            });
        }
    }

    /// The connection has ended.
    fn leave(&mut self) {
        match &self.side {
            Side::Dialed(Some(dialed)) => self.shared.disconnected(dialed.number),
            Side::Accepted(Some(accepted)) => self.shared.ended(accepted.key),
            _ => {}
        }
    }
}

impl<C> Drop for BusChannel<C> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<C: Channel<Wire, In = Wire>> BusChannel<C> {
    /// Writes what waits, as far as there is room. Ready when nothing waits.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.enter();
        match &self.side {
            Side::Dialed(Some(dialed)) => dialed.outbox.register(cx.waker()),
            Side::Accepted(Some(accepted)) => accepted.outbox.register(cx.waker()),
            _ => return Poll::Ready(Ok(())),
        }
        loop {
            ready!(self.inner.poll_ready(cx))?;
            let next = match &mut self.side {
                Side::Dialed(Some(dialed)) => dialed.next(&self.shared),
                Side::Accepted(Some(accepted)) => accepted.next(&self.shared),
                _ => None,
            };
            match next {
                // A message that cannot be encoded would be too large: its sender was told.
                Some(wire) => drop(self.inner.call(wire)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn input(&mut self, wire: Wire) -> Result<Option<Input>, Rejection> {
        match &mut self.side {
            Side::Dialed(Some(dialed)) => {
                let number = dialed.number;
                let input = dialed.input(wire)?;
                Ok(Some(Input::Down(number, input)))
            }
            Side::Accepted(Some(accepted)) => {
                let key = accepted.key;
                let input = accepted.input(wire)?;
                Ok(Some(Input::Up(key, input)))
            }
            _ => Ok(None),
        }
    }
}

fn unknown() -> Rejection {
    invalid("a member that was not introduced")
}

fn invalid(what: &'static str) -> Rejection {
    Rejection::Invalid {
        path: String::new(),
        what: what.into(),
    }
}

fn message(wire: WireMessage) -> Message<super::wire::Body> {
    Message {
        n: SeqNo(wire.n),
        addressed: wire.addressed,
        body: wire.body,
    }
}

fn wire_message(message: Message<super::wire::Body>) -> WireMessage {
    WireMessage {
        n: message.n.0,
        addressed: message.addressed,
        body: message.body,
    }
}

impl Dialed {
    /// The next payload for the hub. What names a member that the hub has not introduced here is of an earlier
    /// connection: it is left out.
    fn next(&mut self, shared: &Shared) -> Option<Wire> {
        loop {
            let item = match &mut self.copies {
                Some(copies) => match shared.next_copy(copies) {
                    Some(frame) => Up::Frame(frame),
                    None => {
                        self.copies = None;
                        continue;
                    }
                },
                None => self.outbox.pop()?,
            };
            match item {
                Up::Copies(copies) => self.copies = Some(copies),
                Up::Frame(frame) => {
                    if let Some(wire) = self.wire(frame, shared) {
                        return Some(wire);
                    }
                }
            }
        }
    }

    fn wire(&self, frame: UpFrame<super::wire::Body>, shared: &Shared) -> Option<Wire> {
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

    fn input(&mut self, wire: Wire) -> Result<DownInput, Rejection> {
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
            Wire::Message {
                sender,
                message: of,
            } => DownFrame::Msg {
                sender: member(&sender)?,
                message: message(of),
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
            _ => return Err(invalid("a payload that members send")),
        };
        Ok(DownInput::Frame(frame))
    }
}

impl Accepted {
    /// The next payload for the member. A member that it does not know yet is introduced first.
    fn next(&mut self, shared: &Shared) -> Option<Wire> {
        if let Some(wire) = self.waits.take() {
            return Some(wire);
        }
        let frame = match self.outbox.pop()? {
            Down::Wire(wire) => return Some(*wire),
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
            DownFrame::Refused(why) => Wire::Refuse(Box::new(super::refusal::of_hub(why))),
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
                left
            }
            DownFrame::Start { sender, from } => Wire::Start {
                member: alias(&sender),
                session: 0,
                from: from.0,
            },
            DownFrame::Msg { sender, message } => Wire::Message {
                sender: alias(&sender),
                message: wire_message(message),
            },
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

    fn input(&mut self, wire: Wire) -> Result<UpInput, Rejection> {
        let member = |alias: &Alias| self.members.get(alias).cloned().ok_or_else(unknown);
        let frame = match wire {
            Wire::Greet(greeting) => return Ok(UpInput::Greet(greeting)),
            Wire::Observe(observation) => return Ok(UpInput::Observe(observation)),
            Wire::Acks(acks) => {
                // A member that has left meanwhile has no use for them.
                let acks = acks
                    .into_iter()
                    .filter_map(|(alias, k)| Some((member(&alias).ok()?, SeqNo(k))));
                return Ok(UpInput::Acks(acks.collect()));
            }
            Wire::Position {
                sender,
                session,
                token,
            } => UpFrame::Position {
                sender: member(&sender)?,
                session: Session(session),
                token: Token(token),
            },
            Wire::Start {
                member: of,
                session,
                from,
            } => UpFrame::Start {
                receiver: member(&of)?,
                session: Session(session),
                from: SeqNo(from),
            },
            Wire::Send { to, message: of } => {
                let is_all = to.is_empty();
                let to: Vec<_> = to.iter().filter_map(|alias| member(alias).ok()).collect();
                let to = if is_all {
                    Recipients::All
                } else {
                    Recipients::Listed(to)
                };
                let message = message(of);
                UpFrame::Msg { to, message }
            }
            Wire::Bye => UpFrame::Bye,
            _ => return Err(invalid("a payload that hubs send")),
        };
        Ok(UpInput::Frame(frame))
    }
}

fn greeting(hello: Hello, shared: &Shared) -> Greeting {
    let places = hello.places.into_iter().map(|(member, place)| {
        let id = member.peer.as_str().to_owned();
        (id, member.incarnation.0, place.token.0, place.k.0)
    });
    Greeting {
        bus: MAGIC.to_owned(),
        lo: VERSIONS.0,
        hi: VERSIONS.1,
        protocols: shared.protocols().to_vec(),
        me: shared.me().introduction(),
        attempt: hello.attempt.0,
        hub: hello
            .last_hub
            .map(|hub| (hub.peer.as_str().to_owned(), hub.incarnation.0)),
        slow: match hello.slow {
            SlowPolicy::Wait => 0,
            SlowPolicy::Disconnect => 1,
            SlowPolicy::Newest(count) => 1 + u64::from(count.get()),
        },
        places: places.collect(),
    }
}

/// The greeting's frame; `None` if an id is too long.
pub(crate) fn hello(greeting: &Greeting) -> Option<Hello> {
    let member = |id: &str, incarnation| {
        let peer = PeerId::new(id).ok()?;
        Some(MemberId::new(peer, Incarnation(incarnation)))
    };
    let places = greeting.places.iter().map(|(id, incarnation, token, k)| {
        let place = Place {
            token: Token(*token),
            k: SeqNo(*k),
        };
        Some((member(id, *incarnation)?, place))
    });
    let newest = |count: u64| std::num::NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
    Some(Hello {
        member: member(&greeting.me.id, greeting.me.inc)?,
        attempt: Attempt(greeting.attempt),
        last_hub: greeting
            .hub
            .as_ref()
            .and_then(|(id, incarnation)| member(id, *incarnation)),
        slow: match greeting.slow {
            0 => SlowPolicy::Wait,
            1 => SlowPolicy::Disconnect,
            more => newest(more - 1).map_or(SlowPolicy::Wait, SlowPolicy::Newest),
        },
        places: places.collect::<Option<_>>()?,
    })
}

impl<C: Channel<Wire, In = Wire>> Service<Wire> for BusChannel<C> {
    type Response = ();
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        ready!(self.poll_outbox(cx))?;
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, wire: Wire) -> C::Future {
        self.inner.call(wire)
    }
}

impl<C: Channel<Wire, In = Wire>> Stream for BusChannel<C> {
    type Item = Result<Inbound<Input>, C::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.enter();
        loop {
            let polled = Pin::new(&mut this.inner).poll_next(cx);
            // The layer above has nothing to send, so it does not ask for room: what waits is written here.
            this.reads = this.reads.wrapping_add(1);
            if (polled.is_pending() || this.reads.is_multiple_of(WRITES_AFTER))
                && let Poll::Ready(Err(error)) = this.poll_flush(cx)
            {
                this.leave();
                return Poll::Ready(Some(Err(error)));
            }
            return Poll::Ready(match ready!(polled) {
                Some(Ok(Inbound::Message(wire))) => match this.input(wire) {
                    Ok(Some(input)) => Some(Ok(Inbound::Message(input))),
                    Ok(None) => continue,
                    Err(rejection) => Some(Ok(Inbound::Rejected(rejection))),
                },
                Some(Ok(Inbound::Rejected(rejection))) => Some(Ok(Inbound::Rejected(rejection))),
                Some(Ok(Inbound::Noticed(notice))) => Some(Ok(Inbound::Noticed(notice))),
                Some(Ok(_)) => continue,
                Some(Err(error)) => {
                    this.leave();
                    Some(Err(error))
                }
                None => {
                    this.leave();
                    None
                }
            });
        }
    }
}

impl<C: Channel<Wire, In = Wire>> Channel<Wire> for BusChannel<C> {
    type In = Input;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        let is_empty = self.poll_outbox(cx)?.is_ready();
        ready!(self.inner.poll_flush(cx))?;
        // What is left waits for room, which the flush has made.
        match is_empty {
            true => Poll::Ready(Ok(())),
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        ready!(self.poll_flush(cx))?;
        self.inner.poll_close(cx)
    }

    fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    fn connection(&self) -> ConnectionInfo {
        self.inner.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.inner.begin_with(wire)
    }

    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), C::Error>> {
        self.inner.poll_admission(cx, admission)
    }

    fn worked(&self) -> u64 {
        self.inner.worked()
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.inner.lost()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        self.leave();
        self.inner.interrupt(reason)
    }
}
