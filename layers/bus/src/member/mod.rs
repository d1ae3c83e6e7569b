//! A member: it keeps what it sends until all that it is owed to have it, and delivers each message once.
//!
//! In: messages to send, a connection that comes and ends, frames of the hub. Out: effects, in order. Touches
//! nothing: no I/O, no clock, no randomness.

mod audience;
mod copies;
mod effect;
mod kept;
mod places;
mod saved;
mod view;

use std::ops::RangeInclusive;

use crate::{
    frame::{DownFrame, Hello, Message, PeerPlace, Recipients, SlowPolicy, UpFrame},
    id::{Attempt, MemberId, SeqNo},
};

use self::{
    audience::Audience,
    kept::{Kept, KeptMessage},
    places::Places,
};
pub use self::{
    copies::Copies,
    effect::{MemberEffect, MemberEvent, NotAccepted},
    view::{HeldSender, ListedReceiver, UnresolvedMessage},
};

/// How a [`Member`] behaves, and its bounds.
///
/// ```
/// use kyneta_uds_bus::{MemberConfig, SlowPolicy};
/// let config = MemberConfig::default().max_messages(16).slow(SlowPolicy::Disconnect);
/// # let _ = config;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberConfig {
    slow: SlowPolicy,
    max_messages: usize,
    max_bytes: usize,
    max_members: usize,
}

impl Default for MemberConfig {
    fn default() -> Self {
        Self {
            slow: SlowPolicy::Wait,
            max_messages: 4096,
            max_bytes: 16 << 20,
            max_members: 4096,
        }
    }
}

impl MemberConfig {
    /// What happens when this member is too slow for the others. [`SlowPolicy::Wait`] by default.
    pub const fn slow(mut self, slow: SlowPolicy) -> Self {
        self.slow = slow;
        self
    }

    /// How many messages are kept until they are acknowledged, at least 1. 4,096 by default.
    pub const fn max_messages(mut self, max: usize) -> Self {
        self.max_messages = if max == 0 { 1 } else { max };
        self
    }

    /// The size of the bodies that are kept, bytes. 16 MiB by default. A larger one is kept alone.
    pub const fn max_bytes(mut self, max: usize) -> Self {
        self.max_bytes = max;
        self
    }

    /// How many other members there may be; what comes of more is ignored. 4,096 by default.
    pub const fn max_members(mut self, max: usize) -> Self {
        self.max_members = max;
        self
    }
}

/// What a [`Member`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemberCounts {
    /// Messages that are kept.
    pub kept: usize,
    /// Their size, bytes.
    pub kept_bytes: usize,
    /// Receivers that are listed.
    pub listed: usize,
    /// Senders that it has a place for.
    pub places: usize,
    /// Frames that had no effect: copies of what it has, and what was said of members that it does not know.
    pub ignored: u64,
}

/// A member of a bus. See the [crate](crate) for an example.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member<B> {
    me: MemberId,
    config: MemberConfig,
    attempt: Attempt,
    connected: bool,
    last_hub: Option<MemberId>,
    /// The last number that was given to a message.
    last: SeqNo,
    audience: Audience,
    kept: Kept<B>,
    places: Places,
    ignored: u64,
}

impl<B: Clone> Member<B> {
    /// A member that has no connection and knows no other.
    pub fn new(me: MemberId, config: MemberConfig) -> Self {
        Self {
            me,
            config,
            attempt: Attempt(0),
            connected: false,
            last_hub: None,
            last: SeqNo(0),
            audience: Audience::default(),
            kept: Kept::new(),
            places: Places::default(),
            ignored: 0,
        }
    }

    /// Its id.
    pub const fn id(&self) -> &MemberId {
        &self.me
    }

    /// The last number that was given to a message; 0 before the first.
    pub const fn last(&self) -> SeqNo {
        self.last
    }

    /// How much is held.
    pub fn counts(&self) -> MemberCounts {
        MemberCounts {
            kept: self.kept.messages(),
            kept_bytes: self.kept.bytes(),
            listed: self.audience.len(),
            places: self.places.len(),
            ignored: self.ignored,
        }
    }

    /// True when a message of this size, in bytes, is accepted now.
    pub fn has_room(&self, size: usize) -> bool {
        let messages = self.kept.messages();
        messages == 0
            || messages < self.config.max_messages
                && self.kept.bytes().saturating_add(size) <= self.config.max_bytes
    }

    /// Accepts a message of `size` bytes, to all that are listed or to one of them, and gives it a number. It is
    /// kept until it is [resolved](MemberEffect::Resolved), which may be at once.
    ///
    /// # Errors
    /// [`NotAccepted`] when the receiver is not listed, or when as much is kept as may be.
    pub fn accept(
        &mut self,
        to: Option<MemberId>,
        body: B,
        size: usize,
        out: &mut Vec<MemberEffect<B>>,
    ) -> Result<SeqNo, NotAccepted> {
        self.accept_showing(to, body, size, |_, _| false, out)
    }

    /// As [`accept`](Self::accept). What goes to the hub is shown to `takes` first: if that returns true, it has taken the
    /// message into what it sends behind all effects so far, and there is no effect that sends it. So a shell that gathers
    /// small messages needs no clone of each.
    ///
    /// ```
    /// use kyneta_uds_bus::{Incarnation, Member, MemberConfig, MemberEvent, MemberId, MemberEffect};
    /// use kyneta_uds_core::PeerId;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let me = MemberId::new(PeerId::new("shop")?, Incarnation(1));
    /// let mut member = Member::new(me, MemberConfig::default());
    /// let (mut gathered, mut out) = (Vec::new(), Vec::new());
    /// let takes = |_: &_, message: &kyneta_uds_bus::Message<&'static str>| {
    ///     gathered.push(message.body);
    ///     true
    /// };
    /// member.accept_showing(None, "sold", 4, takes, &mut out)?;
    /// // It is not connected: nothing is shown, and the message, which no member is owed, is resolved.
    /// assert!(gathered.is_empty());
    /// assert!(matches!(*out, [MemberEffect::Resolved { .. }]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    #[inline]
    pub fn accept_showing(
        &mut self,
        to: Option<MemberId>,
        body: B,
        size: usize,
        takes: impl FnOnce(&Recipients, &Message<B>) -> bool,
        out: &mut Vec<MemberEffect<B>>,
    ) -> Result<SeqNo, NotAccepted> {
        let passes = match &to {
            None => self.audience.any_live(),
            Some(id) => match self.audience.get(id) {
                None => return Err(NotAccepted::NotListed(id.clone())),
                Some(receiver) => receiver.live.is_some(),
            },
        };
        if !self.has_room(size) {
            return Err(NotAccepted::WindowFull {
                messages: self.kept.messages(),
                bytes: self.kept.bytes(),
                max_messages: self.config.max_messages,
                max_bytes: self.config.max_bytes,
            });
        }
        self.last = self.last.next();
        let message = Message {
            n: self.last,
            addressed: to.is_some(),
            body,
        };
        let is_owed = self.audience.is_owed(self.last, to.as_ref());
        if self.connected && passes {
            let to = to.clone().map_or(Recipients::All, Recipients::one);
            if !takes(&to, &message) {
                let message = message.clone();
                out.push(MemberEffect::Send(UpFrame::Msg { to, message }));
            }
        }
        if is_owed {
            self.kept.push(KeptMessage { message, to, size });
        } else {
            out.push(MemberEffect::Resolved {
                numbers: self.last..=self.last,
                left: Vec::new(),
            });
        }
        Ok(self.last)
    }

    /// Something happens.
    pub fn handle(&mut self, event: MemberEvent<B>, out: &mut Vec<MemberEffect<B>>) {
        match event {
            MemberEvent::Connected => self.connected(out),
            MemberEvent::Disconnected => {
                self.connected = false;
                self.audience.none_live();
            }
            MemberEvent::Frame(frame) => self.frame(frame, out),
            MemberEvent::Acknowledge if self.connected => {
                self.places.untold(|sender, k| {
                    let sender = sender.clone();
                    out.push(MemberEffect::Send(UpFrame::Ack { sender, k }));
                });
            }
            MemberEvent::Acknowledge => {}
        }
    }

    /// Messages of one sender come, in their order. What remains in `run` is to be handed to the user; the rest
    /// were copies, or there is no place for the sender.
    ///
    /// The same as an event with a [`DownFrame::Msg`] for each, whose effects are [`MemberEffect::Deliver`], but
    /// the place is looked for once.
    pub fn receive(&mut self, sender: &MemberId, run: &mut Vec<Message<B>>) {
        self.ignored += self.places.advance_run(sender, run);
    }

    /// Messages of one sender come, with all of these numbers. Returns how many of the last ones are to be handed to
    /// the user; the others were copies, or there is no place for the sender.
    ///
    /// The same as [`receive`](Self::receive) with a message for each number, without the messages.
    pub fn receive_all(&mut self, sender: &MemberId, numbers: RangeInclusive<SeqNo>) -> u64 {
        let count = (numbers.end().0.saturating_add(1)).saturating_sub(numbers.start().0);
        let new = self.places.advance_all(sender, &numbers);
        self.ignored += count - new;
        new
    }

    /// A message that was delivered waits for the user in the shell. It is not acknowledged, nor what comes behind it,
    /// before the user has [got](Self::got) it.
    ///
    /// ```
    /// use kyneta_uds_bus::{DownFrame, Incarnation, Member, MemberConfig, MemberEffect, MemberEvent, MemberId};
    /// use kyneta_uds_bus::{Message, SeqNo, Session, UpFrame};
    /// use kyneta_uds_core::PeerId;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let id = |name| Ok::<_, kyneta_uds_core::TextTooLong>(MemberId::new(PeerId::new(name)?, Incarnation(1)));
    /// let (mut till, shop, mut out) = (Member::new(id("till")?, MemberConfig::default()), id("shop")?, Vec::new());
    /// till.handle(MemberEvent::Connected, &mut out);
    /// till.handle(MemberEvent::Frame(DownFrame::Joined { sender: shop.clone(), session: Session(1) }), &mut out);
    /// let message = Message { n: SeqNo(1), addressed: false, body: "pen" };
    /// till.handle(MemberEvent::Frame(DownFrame::Msg { sender: shop.clone(), message }), &mut out);
    /// till.waits(&shop, SeqNo(1));
    ///
    /// out.clear();
    /// till.handle(MemberEvent::Acknowledge, &mut out);
    /// assert_eq!(out, []);
    /// till.got(&shop, SeqNo(1));
    /// till.handle(MemberEvent::Acknowledge, &mut out);
    /// assert_eq!(out, [MemberEffect::Send(UpFrame::Ack { sender: shop, k: SeqNo(1) })]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn waits(&mut self, sender: &MemberId, n: SeqNo) {
        self.places.waits(sender, n);
    }

    /// The user has got what [waited](Self::waits) of a sender, up to this number. The next
    /// [`MemberEvent::Acknowledge`] says so, or the next greeting.
    pub fn got(&mut self, sender: &MemberId, n: SeqNo) {
        self.places.got(sender, n);
    }

    fn connected(&mut self, out: &mut Vec<MemberEffect<B>>) {
        self.connected = true;
        self.attempt = self.attempt.next();
        self.audience.none_live();
        out.push(MemberEffect::Send(UpFrame::Hello(Hello {
            member: self.me.clone(),
            attempt: self.attempt,
            last_hub: self.last_hub.clone(),
            slow: self.config.slow,
            places: self.places.tell(),
        })));
    }

    fn frame(&mut self, frame: DownFrame<B>, out: &mut Vec<MemberEffect<B>>) {
        match frame {
            DownFrame::Welcome { hub, .. } => self.last_hub = Some(hub),
            DownFrame::Refused(why) => out.push(MemberEffect::Refused(why)),
            DownFrame::Joined { sender, session } => {
                if !self.may_know(&sender, self.places.contains(&sender), self.places.len()) {
                    return;
                }
                let token = self.places.token(sender.clone());
                out.push(MemberEffect::Send(UpFrame::Position {
                    sender,
                    session,
                    token,
                }));
            }
            DownFrame::Peer(peer) => self.meet(peer, out),
            DownFrame::Acked { receiver, k } => {
                self.audience
                    .acknowledged(&receiver, k, &mut self.kept, out);
            }
            DownFrame::Left(member) => {
                self.places.forget(&member);
                if self.audience.get(&member).is_some() {
                    out.push(MemberEffect::Absent(member.clone()));
                    self.audience.part(&member, &mut self.kept, out);
                }
            }
            DownFrame::Start { sender, from } => {
                let count = self.places.start(&sender, from);
                if count > 0 {
                    out.push(MemberEffect::Missed { sender, count });
                }
            }
            DownFrame::Msg { sender, message } => {
                if self.places.advance(&sender, message.n) {
                    out.push(MemberEffect::Deliver { sender, message });
                } else {
                    self.ignored += 1;
                }
            }
            DownFrame::Missed {
                sender,
                upto,
                count,
            } => {
                if self.places.advance(&sender, upto) {
                    out.push(MemberEffect::Missed { sender, count });
                } else {
                    self.ignored += 1;
                }
            }
        }
    }

    /// The hub says where a receiver is: it is listed from now on, and gets what it lacks.
    fn meet(&mut self, peer: PeerPlace, out: &mut Vec<MemberEffect<B>>) {
        let is_known = self.audience.get(&peer.receiver).is_some();
        if !self.may_know(&peer.receiver, is_known, self.audience.len()) {
            return;
        }
        if !is_known {
            out.push(MemberEffect::Present(peer.receiver.clone()));
        } else if self.is_forgotten(&peer) {
            self.audience.part(&peer.receiver, &mut self.kept, out);
        }
        let receiver = self.audience.meet(&peer, self.last);
        let (after, from) = (receiver.acked.max(peer.place.k), receiver.start);
        out.push(MemberEffect::Send(UpFrame::Start {
            receiver: peer.receiver.clone(),
            session: peer.session,
            from,
        }));
        out.push(MemberEffect::SendCopies(Copies {
            receiver: peer.receiver.clone(),
            session: peer.session,
            after: after.max(from.before()),
            upto: self.last,
        }));
        self.audience
            .acknowledged(&peer.receiver, peer.place.k, &mut self.kept, out);
    }

    /// False for what is said of this member itself, or of more members than there may be.
    fn may_know(&mut self, member: &MemberId, is_known: bool, known: usize) -> bool {
        let may = *member != self.me && (is_known || known < self.config.max_members);
        self.ignored += u64::from(!may);
        may
    }
}
