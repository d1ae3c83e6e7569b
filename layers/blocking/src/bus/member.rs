//! The member.
//!
//! In: messages by reference, limits of time. Out: messages, and what became of those that were sent. May touch: its
//! socket, the clock.

use std::{fmt, marker::PhantomData, thread, time::Duration};

use bytes::Bytes;
use kyneta_uds_bus::{
    Incarnation, Meeting, Member, MemberConfig, MemberEffect, MemberEvent, MemberId, Message,
    NotAccepted, SeqNo, Token, UpFrame, reason,
};
use kyneta_uds_cbor::EncodeError;
use kyneta_uds_core::{Identity, PeerId, SocketPath};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    builder::BusBuilder,
    error::BusError,
    link::{Link, Up},
    request::{BusRequest, Unanswered},
    wire::{Body, Down, Kind},
};
use crate::{deadline::Deadline, error::Error, held::Held};

/// How long `connect` waits to meet the members that are there.
const MEETING: Duration = Duration::from_secs(1);

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the end of the connection may take in [`BusMember::leave`].
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A member of a bus, for one thread: what it publishes arrives exactly once, in order, at each member that was listed, as
/// from a `Bus` of kyneta-uds. It only connects; another process listens.
///
/// Limits of time are those of the whole call; `None` waits without limit. A message whose call has run out of time is kept
/// and arrives all the same. When the connection is lost, the next call connects again, to whichever process listens
/// then, and nothing is lost or repeated.
///
/// It reads only while a call runs, and acknowledges what it has read; [`recv`](Self::recv) gives that out. So call it often:
/// a member for which messages wait, and that reads none of them for the stall limit of the listener (5 s), is disconnected,
/// comes back as a newcomer, and is told what it has [missed](BusError::Missed).
///
/// It holds up to 4,096 messages of 16 MiB that others have not acknowledged, and what it has read and not given out: 1,024
/// messages or 16 MiB, and those of one read more.
///
/// ```no_run
/// use std::time::Duration;
/// use kyneta_uds_blocking::BusMember;
/// use kyneta_uds_core::{Identity, SocketPath};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Shop {
///     Sold(String),
///     HowMany(String),
///     Left(u32),
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let path = SocketPath::new("/run/app/shop.sock")?;
/// let mut till = BusMember::<Shop>::builder(path, Identity::service("till")?).protocol("shop/1").connect()?;
/// let soon = Some(Duration::from_secs(1));
///
/// // To all others: returns when each of them has it, or has left.
/// let delivered = till.publish(&Shop::Sold("pen".into()), soon)?;
/// assert!(delivered.missed.is_empty());
///
/// // Ask one, and answer others.
/// println!("{:?}", till.request("stock", &Shop::HowMany("pen".into()), soon)?);
/// let incoming = till.recv(None)?;
/// if let Some(request) = incoming.request {
///     till.answer(request, &Shop::Left(3), soon)?;
/// }
/// till.leave()?;
/// # Ok(())
/// # }
/// ```
pub struct BusMember<M> {
    settings: BusBuilder<M>,
    member: Member<Body>,
    /// Absent after a loss.
    link: Option<Link>,
    /// With those that were there when the hub welcomed this member.
    meeting: Meeting,
    /// What came and was not given out.
    held: Held<Arrived>,
    /// The message that a call waits for, and what is known of it.
    waits: SeqNo,
    resolved: Option<Vec<MemberId>>,
    /// If it is a request: the member that is asked, and what it has answered.
    asked: Option<MemberId>,
    answer: Option<(Kind, Bytes)>,
    /// Of others, that are not answered.
    unanswered: Unanswered,
    message: PhantomData<fn(M) -> M>,
}

enum Arrived {
    Message {
        from: MemberId,
        message: Message<Body>,
    },
    Missed {
        from: PeerId,
        count: u64,
    },
}

/// What became of a message that was published or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Its number among the messages of this member.
    pub seq: u64,
    /// The receivers that have left before they said that they have it.
    pub missed: Vec<PeerId>,
}

/// A message that a member has published, sent to this one, or asks it.
#[derive(Debug)]
#[non_exhaustive]
pub struct BusIncoming<M> {
    /// Its sender, as the listener says.
    pub from: PeerId,
    /// Its number among the messages of its sender.
    pub seq: u64,
    /// It went to this member alone.
    pub to_me: bool,
    /// The message.
    pub message: M,
    /// Of a request: for [`BusMember::answer`] or [`BusMember::fail`].
    pub request: Option<BusRequest>,
}

impl<M> BusMember<M> {
    /// The settings of a member that connects to the bus at `path` as `identity`.
    pub const fn builder(path: SocketPath, identity: Identity) -> BusBuilder<M> {
        BusBuilder::new(path, identity)
    }

    /// The members that what is published now is owed to, in the order of their ids.
    pub fn members(&self) -> Vec<PeerId> {
        self.member.listed().map(|of| of.id.peer.clone()).collect()
    }
}

impl<M: Serialize + DeserializeOwned> BusMember<M> {
    pub(super) fn join(settings: BusBuilder<M>) -> Result<Self, BusError> {
        let me = MemberId::new(settings.identity.peer_id.clone(), incarnation());
        let mut deadline = Deadline::after(Some(settings.timeout));
        let mut this = Self {
            settings,
            member: Member::new(me, MemberConfig::default()),
            link: None,
            meeting: Meeting::default(),
            held: Held::default(),
            waits: SeqNo(0),
            resolved: None,
            asked: None,
            answer: None,
            unanswered: Unanswered::default(),
            message: PhantomData,
        };
        this.connect(&mut deadline)?;
        this.until(&mut deadline, |this| {
            this.meeting.is_welcomed().then_some(())
        })?;
        let met = this.until(&mut Deadline::after(Some(MEETING)), |this| {
            this.meeting.is_over().then_some(())
        });
        match met {
            // They are met later.
            Ok(())
            | Err(BusError::Connection(Error::TimedOut { .. }) | BusError::Unread { .. }) => {
                Ok(this)
            }
            Err(error) => Err(error),
        }
    }

    /// Publishes a message to all members that are [listed](Self::members), and waits until each of them has it, or has
    /// left.
    ///
    /// # Errors
    /// [`BusError::Encode`]: it was not sent. [`Error::TimedOut`] and [`BusError::Unread`]: it is kept and arrives all the
    /// same, but was not accepted if 4,096 messages or 16 MiB wait for acknowledgements. Any other: see [`BusError`].
    pub fn publish(
        &mut self,
        message: &M,
        timeout: Option<Duration>,
    ) -> Result<Delivered, BusError> {
        self.deliver(None, message, &mut Deadline::after(timeout))
    }

    /// Sends a message to one member, and waits until it has it, or has left.
    ///
    /// # Errors
    /// [`BusError::Unknown`]: it is not on the bus. Else as of [`publish`](Self::publish).
    pub fn send(
        &mut self,
        to: &str,
        message: &M,
        timeout: Option<Duration>,
    ) -> Result<Delivered, BusError> {
        let to = self.listed(to)?;
        self.deliver(Some(to), message, &mut Deadline::after(timeout))
    }

    /// Asks one member, and waits for its answer. Other messages that come meanwhile are kept for [`recv`](Self::recv).
    ///
    /// # Errors
    /// [`BusError::NotAnswered`], [`BusError::Left`]; [`Error::TimedOut`] and [`BusError::Unread`] take the request back.
    /// [`BusError::NotUnderstood`]: the answer is no `M`. Else as of [`send`](Self::send).
    pub fn request(
        &mut self,
        to: &str,
        message: &M,
        timeout: Option<Duration>,
    ) -> Result<M, BusError> {
        let mut deadline = Deadline::after(timeout);
        let (to, data) = (self.listed(to)?, self.encode(message)?);
        let seq = self.accept(Some(to.clone()), Kind::Request, data, &mut deadline)?;
        let place = self.place(&to);
        let answered = self.until(&mut deadline, |this| {
            if let Some(answer) = this.answer.take() {
                return Some(Some(answer));
            }
            // With another place it was told that this member had left, and does not answer.
            let is_there = this.place(&to) == place;
            (!is_there).then_some(None)
        });
        (self.waits, self.asked) = (SeqNo(0), None);
        match answered {
            Ok(Some((Kind::Failure(_), why))) => Err(BusError::NotAnswered {
                from: to.peer,
                why: String::from_utf8_lossy(&why).into_owned(),
            }),
            Ok(Some((_, data))) => decode(&to, seq, &data),
            Ok(None) => Err(BusError::Left(to.peer)),
            Err(error) => {
                self.take_back(to, seq);
                Err(error)
            }
        }
    }

    /// The next message that a member has published, sent to this one, or asks it.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: none has come. [`Error::Rejected`]: the hub has sent what is no payload, which is skipped.
    /// [`BusError::NotUnderstood`]: the next one is no `M`. [`BusError::Missed`]. Any other: see [`BusError`].
    pub fn recv(&mut self, timeout: Option<Duration>) -> Result<BusIncoming<M>, BusError> {
        let mut deadline = Deadline::after(timeout);
        if !self.unanswered.is_empty() {
            self.flush(&mut deadline)?;
        }
        loop {
            match self.held.pop() {
                Some(Arrived::Message { from, message }) => return self.give(from, message),
                Some(Arrived::Missed { from, count }) => {
                    return Err(BusError::Missed { from, count });
                }
                None => self.turn(&mut deadline)?,
            }
        }
    }

    /// Answers a request. Without effect when the asker has left or does not wait any more.
    ///
    /// # Errors
    /// [`BusError::Encode`]: the asker is told so. [`Error::TimedOut`] and [`BusError::Unread`]: the answer is kept and is sent
    /// by the next call; but if 4,096 messages or 16 MiB wait for acknowledgements, the asker is told that there is none.
    pub fn answer(
        &mut self,
        request: BusRequest,
        message: &M,
        timeout: Option<Duration>,
    ) -> Result<(), BusError> {
        let mut deadline = Deadline::after(timeout);
        let answer = Kind::Answer(request.seq.0);
        match self.encode(message) {
            Ok(data) => self.reply(request, answer, data, &mut deadline),
            Err(error) => {
                self.failed(request, &error.to_string(), &mut deadline)?;
                Err(error)
            }
        }
    }

    /// Says why there is no answer to a request; the asker is told the first 4 KiB of it.
    ///
    /// # Errors
    /// As of [`answer`](Self::answer).
    pub fn fail(
        &mut self,
        request: BusRequest,
        why: &str,
        timeout: Option<Duration>,
    ) -> Result<(), BusError> {
        self.failed(request, why, &mut Deadline::after(timeout))
    }

    /// Leaves in good order: what is written arrives, and the others see at once that this member has left. Takes a second at
    /// most. A member that is dropped is awaited by the others for their regroup time.
    ///
    /// # Errors
    /// [`BusError::Connection`]: the listener has not ended the connection in time, or it has failed.
    pub fn leave(mut self) -> Result<(), BusError> {
        let mut deadline = Deadline::after(Some(LEAVE_TIMEOUT));
        self.tell_unanswered();
        if let Some(mut link) = self.link.take() {
            link.push(Up::Frame(UpFrame::Bye));
            link.flush(&self.member, &self.settings, &mut deadline)?;
            link.end(&mut deadline)?;
        }
        Ok(())
    }

    fn listed(&self, id: &str) -> Result<MemberId, BusError> {
        let mut listed = self.member.listed();
        match listed.find(|of| of.id.peer.as_str() == id) {
            Some(of) => Ok(of.id.clone()),
            None => Err(BusError::Unknown(id.to_owned())),
        }
    }

    /// Names the place of a member that is listed.
    fn place(&self, of: &MemberId) -> Option<Token> {
        let mut listed = self.member.listed();
        listed
            .find(|receiver| receiver.id == of)
            .map(|receiver| receiver.token)
    }

    fn encode(&self, message: &M) -> Result<Bytes, BusError> {
        let (mut data, limit) = (Vec::new(), self.settings.max_message);
        ciborium::into_writer(message, &mut data)
            .map_err(|error| EncodeError::Serialize(error.to_string().into()))?;
        let size = data.len();
        match size > limit {
            true => Err(EncodeError::TooLarge { size, limit }.into()),
            false => Ok(data.into()),
        }
    }

    fn deliver(
        &mut self,
        to: Option<MemberId>,
        message: &M,
        deadline: &mut Deadline,
    ) -> Result<Delivered, BusError> {
        let data = self.encode(message)?;
        let seq = self.accept(to, Kind::Plain, data, deadline)?;
        let left = self.until(deadline, |this| this.resolved.take())?;
        Ok(Delivered {
            seq: seq.0,
            missed: left.into_iter().map(|member| member.peer).collect(),
        })
    }

    /// Gives a message to the machine, once that has room.
    fn accept(
        &mut self,
        to: Option<MemberId>,
        kind: Kind,
        data: Bytes,
        deadline: &mut Deadline,
    ) -> Result<SeqNo, BusError> {
        let size = data.len();
        self.until(deadline, |this| this.member.has_room(size).then_some(()))?;
        let body = Body {
            kind,
            at_once: kind == Kind::Plain,
            data,
        };
        let asked = to.clone().filter(|_| kind == Kind::Request);
        let mut out = Vec::new();
        let accepted = self.member.accept(to, body, size, &mut out);
        let seq = accepted.map_err(|error| match error {
            NotAccepted::NotListed(of) => BusError::Unknown(of.peer.as_str().to_owned()),
            // There was room.
            _ => BusError::Unread {
                limit: self.held.len(),
            },
        })?;
        (self.waits, self.resolved) = (seq, None);
        (self.asked, self.answer) = (asked, None);
        self.run(out);
        Ok(seq)
    }

    fn failed(
        &mut self,
        request: BusRequest,
        why: &str,
        deadline: &mut Deadline,
    ) -> Result<(), BusError> {
        let failure = Kind::Failure(request.seq.0);
        let why = Bytes::copy_from_slice(reason(why).as_bytes());
        self.reply(request, failure, why, deadline)
    }

    fn reply(
        &mut self,
        request: BusRequest,
        kind: Kind,
        data: Bytes,
        deadline: &mut Deadline,
    ) -> Result<(), BusError> {
        let accepted = self.accept(Some(request.from.clone()), kind, data, deadline);
        match accepted {
            Ok(_) => {
                request.answered();
                self.flush(deadline)
            }
            // The asker has left.
            Err(BusError::Unknown(_)) => {
                request.answered();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The answer to a request is not wanted any more.
    fn take_back(&mut self, to: MemberId, seq: SeqNo) {
        // Where there is no room, the other one will see no use in its answer itself.
        self.say(to, Kind::Cancel(seq.0), Bytes::new());
    }

    /// Tells askers why there is no answer, as long as there is room.
    fn tell_unanswered(&mut self) {
        while let Some((asker, seq, why)) = self.unanswered.next(|size| self.member.has_room(size))
        {
            self.say(asker, Kind::Failure(seq.0), why);
        }
    }

    /// Says something that no call waits for, with what is written next. Nothing if the other one has left.
    fn say(&mut self, to: MemberId, kind: Kind, data: Bytes) {
        let (mut out, size) = (Vec::new(), data.len());
        let body = Body {
            kind,
            at_once: false,
            data,
        };
        if self.member.accept(Some(to), body, size, &mut out).is_ok() {
            self.run(out);
        }
    }

    /// Works until `done` says what it waits for.
    fn until<T>(
        &mut self,
        deadline: &mut Deadline,
        mut done: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, BusError> {
        loop {
            if let Some(done) = done(self) {
                return Ok(done);
            }
            if self.held.is_full() {
                self.flush(deadline)?;
                let limit = self.held.len();
                return Err(BusError::Unread { limit });
            }
            self.turn(deadline)?;
        }
    }

    /// Writes what waits, then waits for what comes, and acknowledges it. After a loss it connects instead.
    fn turn(&mut self, deadline: &mut Deadline) -> Result<(), BusError> {
        self.flush(deadline)?;
        let Some(link) = &mut self.link else {
            return self.connect(deadline);
        };
        let mut next = link.next(deadline).map(Some);
        loop {
            match next {
                Ok(Some(down)) => self.down(down)?,
                Ok(None) => break,
                Err(error) => return self.ended(error),
            }
            let Some(link) = &mut self.link else { break };
            next = link.arrived();
        }
        self.event(MemberEvent::Acknowledge);
        self.flush(deadline)
    }

    /// Writes what waits.
    fn flush(&mut self, deadline: &mut Deadline) -> Result<(), BusError> {
        self.tell_unanswered();
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        match link.flush(&self.member, &self.settings, deadline) {
            Ok(()) => Ok(()),
            Err(error) => {
                let refusal = error.ends_connection().then(|| link.refusal());
                match refusal.flatten() {
                    Some(refusal) => self.down(refusal),
                    None => self.ended(error),
                }
            }
        }
    }

    /// An error of the connection, which is made again if it has ended.
    fn ended(&mut self, error: Error) -> Result<(), BusError> {
        if !error.ends_connection() {
            return Err(error.into());
        }
        self.link = None;
        self.event(MemberEvent::Disconnected);
        Ok(())
    }

    /// Connects, once a process listens.
    fn connect(&mut self, deadline: &mut Deadline) -> Result<(), BusError> {
        loop {
            match Link::connect(&self.settings, deadline) {
                Ok(link) => {
                    self.link = Some(link);
                    self.event(MemberEvent::Connected);
                    return Ok(());
                }
                // A listener that ends closes what it has not served.
                Err(error @ (Error::Connect { .. } | Error::Closed)) => {
                    thread::sleep(PAUSE);
                    if deadline.left().is_err() {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn down(&mut self, down: Down) -> Result<(), BusError> {
        match down {
            Down::Frames(frames) => {
                for frame in frames {
                    self.meeting.saw(&frame);
                    self.event(MemberEvent::Frame(frame));
                }
                Ok(())
            }
            Down::Refused(of) => Err(BusError::NotAdmitted {
                code: of.code,
                why: of.why,
            }),
        }
    }

    fn event(&mut self, event: MemberEvent<Body>) {
        let mut out = Vec::new();
        self.member.handle(event, &mut out);
        self.run(out);
    }

    /// Carries effects out. What is to be written waits for a flush; without a connection it is of none.
    fn run(&mut self, effects: Vec<MemberEffect<Body>>) {
        for effect in effects {
            match effect {
                MemberEffect::Send(frame) => self.push(Up::Frame(frame)),
                MemberEffect::SendCopies(copies) => self.push(Up::Copies(copies)),
                MemberEffect::Deliver { sender, message } => self.delivered(sender, message),
                MemberEffect::Missed { sender, count } => {
                    let from = sender.peer;
                    self.held.push(Arrived::Missed { from, count }, 0);
                }
                MemberEffect::Resolved { numbers, left } if numbers.contains(&self.waits) => {
                    self.resolved = Some(left);
                }
                // Of messages that no call waits for; who is present, the machine says.
                _ => {}
            }
        }
    }

    fn push(&mut self, up: Up) {
        if let Some(link) = &mut self.link {
            link.push(up);
        }
    }

    fn delivered(&mut self, from: MemberId, message: Message<Body>) {
        match message.body.kind {
            Kind::Plain | Kind::Request => {
                let size = message.body.data.len();
                self.held.push(Arrived::Message { from, message }, size);
            }
            kind @ (Kind::Answer(of) | Kind::Failure(of))
                if of == self.waits.0 && self.asked.as_ref() == Some(&from) =>
            {
                self.answer = Some((kind, message.body.data));
            }
            // To a request that was taken back, or of a member that was not asked.
            Kind::Answer(_) | Kind::Failure(_) => {}
            Kind::Cancel(of) => {
                self.unanswered.taken_back(&from, SeqNo(of));
                self.held.retain(|arrived| {
                    !matches!(arrived, Arrived::Message { from: asker, message }
                    if *asker == from && message.n.0 == of && message.body.kind == Kind::Request)
                });
            }
        }
    }

    fn give(&mut self, from: MemberId, message: Message<Body>) -> Result<BusIncoming<M>, BusError> {
        let Message { n, addressed, body } = message;
        let is_request = body.kind == Kind::Request;
        match decode(&from, n, &body.data) {
            Ok(message) => Ok(BusIncoming {
                from: from.peer.clone(),
                seq: n.0,
                to_me: addressed,
                message,
                request: is_request.then(|| BusRequest::new(from, n, self.unanswered.clone())),
            }),
            Err(error) => {
                if is_request {
                    let why = format!("{} does not understand the message", self.member.id().peer);
                    self.unanswered.add(from, n, why.into());
                }
                Err(error)
            }
        }
    }
}

fn decode<M: DeserializeOwned>(from: &MemberId, seq: SeqNo, data: &[u8]) -> Result<M, BusError> {
    let mut rest = data;
    let source = match ciborium::from_reader(&mut rest) {
        Ok(message) if rest.is_empty() => return Ok(message),
        Ok(_) => "bytes after the message".into(),
        Err(error) => error.into(),
    };
    Err(BusError::NotUnderstood {
        from: from.peer.clone(),
        seq: seq.0,
        source,
    })
}

/// Nanoseconds since boot: of two processes, and of two members in one, the later one has the larger number.
fn incarnation() -> Incarnation {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let now = clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Incarnation(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

impl<M> fmt::Debug for BusMember<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusMember")
            .field("id", self.member.id())
            .field("path", &self.settings.path)
            .field("is_connected", &self.link.is_some())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}
