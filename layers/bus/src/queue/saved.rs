//! What waits for a member as a value, and the same queue from it.
//!
//! In: a queue, or its saved state. Out: the same, the other way round. Touches nothing.

use kyneta_uds_core::{Saved, SavedError, SavedValue};

use super::{Item, MemberQueue};
use crate::{
    frame::{DownFrame, Message, PeerPlace, Place, Refusal, SlowPolicy},
    id::{MemberId, SeqNo, Session, Token},
    saved::{Members, Numbered, groups, packed},
};

/// What the state is of, in errors.
const PART: &str = "what waits for a member";
const VERSION: u32 = 1;
const FRAMES: &str = "frames";
const ACKS: &str = "acks";

/// What a saved frame begins with.
mod kind {
    pub(super) const WELCOME: u64 = 0;
    pub(super) const REFUSED: u64 = 1;
    pub(super) const JOINED: u64 = 2;
    pub(super) const PEER: u64 = 3;
    pub(super) const ACKED: u64 = 4;
    pub(super) const LEFT: u64 = 5;
    pub(super) const START: u64 = 6;
    pub(super) const MSG: u64 = 7;
    pub(super) const MISSED: u64 = 8;
}

impl<B: Clone> MemberQueue<B> {
    /// What waits, for the same queue in another process. The policy is not part of it.
    ///
    /// ```
    /// use kyneta_uds_bus::{DownFrame, Incarnation, MemberId, MemberQueue, SlowPolicy};
    /// use kyneta_uds_core::PeerId;
    ///
    /// let mut queue = MemberQueue::new(SlowPolicy::Wait);
    /// queue.push(DownFrame::Left(MemberId::new(PeerId::new("till")?, Incarnation(1))));
    /// let saved = queue.save(|()| 0_u64.into());
    /// assert_eq!(MemberQueue::resume(SlowPolicy::Wait, &saved, |_| Ok(()))?, queue);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, body: impl Fn(&B) -> SavedValue) -> Saved {
        let mut members = Numbered::default();
        let (mut frames, mut acks_at) = (Vec::<SavedValue>::new(), None);
        for item in &self.items {
            match item {
                Item::Frame(frame) => frames.push(save(frame, &mut members, &body).into()),
                Item::Run(sender, run, next) => {
                    for message in run.iter().skip(*next) {
                        frames.push(save_message(members.number(sender), message, &body).into());
                    }
                }
                Item::Acks => acks_at = Some(frames.len() as u64),
            }
        }
        let acks = self.acks.iter();
        let acks = acks.flat_map(|(receiver, k)| [members.number(receiver), k.0]);
        let acks = packed(acks.collect::<Vec<_>>());
        let saved = members
            .save(Saved::new(VERSION, 1))
            .with(FRAMES, frames)
            .with(ACKS, acks)
            .with("dropped", self.dropped);
        match acks_at {
            Some(at) => saved.with("acks-at", at),
            None => saved,
        }
    }

    /// A queue of what waited in another process.
    ///
    /// # Errors
    /// [`SavedError`]: a field is missing or has a value that cannot be, or the version is not one that this reads.
    pub fn resume(
        slow: SlowPolicy,
        saved: &Saved,
        body: impl Fn(&SavedValue) -> Result<B, SavedError>,
    ) -> Result<Self, SavedError> {
        saved.check(PART, 1..=VERSION)?;
        let members = Members::resume(saved)?;
        let mut queue = Self::new(slow);
        for value in saved.list(FRAMES)? {
            let fields = match value {
                SavedValue::List(fields) => fields.as_slice(),
                _ => &[],
            };
            let item = Item::Frame(resume(fields, &members, &body)?);
            queue.droppable += usize::from(item.droppable().is_some());
            queue.items.push_back(item);
        }
        for [receiver, k] in groups(saved, ACKS)? {
            queue.acks.insert(members.get(receiver)?.clone(), SeqNo(k));
        }
        let acks_at = saved.number_if_any("acks-at")?;
        let acks_at = acks_at.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        match acks_at {
            Some(at) if at <= queue.items.len() => {
                queue.items.insert(at, Item::Acks);
                queue.has_acks = true;
            }
            None if queue.acks.is_empty() => {}
            _ => {
                return Err(SavedError::invalid(
                    ACKS,
                    "they have no place among the frames",
                ));
            }
        }
        queue.dropped = saved.number_or_zero("dropped")?;
        Ok(queue)
    }
}

/// The kind, numbers, and the body of a message.
fn save<'a, B>(
    frame: &'a DownFrame<B>,
    members: &mut Numbered<'a>,
    body: impl Fn(&B) -> SavedValue,
) -> Vec<SavedValue> {
    let mut of = |kind: u64, member: &'a MemberId, numbers: &[u64]| {
        let fixed = [kind, members.number(member)];
        let numbers = fixed.iter().chain(numbers);
        numbers
            .map(|number| SavedValue::from(*number))
            .collect::<Vec<_>>()
    };
    match frame {
        DownFrame::Welcome { hub, present } => of(kind::WELCOME, hub, &[(*present).into()]),
        DownFrame::Refused(why) => {
            let why: u64 = match why {
                Refusal::Replaced => 0,
                Refusal::Full => 1,
                Refusal::OtherMachine => 2,
            };
            vec![kind::REFUSED.into(), why.into()]
        }
        DownFrame::Joined { sender, session } => of(kind::JOINED, sender, &[session.0]),
        DownFrame::Peer(peer) => of(
            kind::PEER,
            &peer.receiver,
            &[
                peer.session.0,
                peer.place.token.0,
                peer.place.k.0,
                peer.keeps_newest.into(),
            ],
        ),
        DownFrame::Acked { receiver, k } => of(kind::ACKED, receiver, &[k.0]),
        DownFrame::Left(member) => of(kind::LEFT, member, &[]),
        DownFrame::Start { sender, from } => of(kind::START, sender, &[from.0]),
        DownFrame::Msg { sender, message } => save_message(members.number(sender), message, body),
        DownFrame::Missed {
            sender,
            upto,
            count,
        } => of(kind::MISSED, sender, &[upto.0, *count]),
    }
}

fn save_message<B>(
    sender: u64,
    message: &Message<B>,
    body: impl Fn(&B) -> SavedValue,
) -> Vec<SavedValue> {
    vec![
        kind::MSG.into(),
        sender.into(),
        message.n.0.into(),
        u64::from(message.addressed).into(),
        body(&message.body),
    ]
}

fn resume<B>(
    fields: &[SavedValue],
    members: &Members,
    body: impl Fn(&SavedValue) -> Result<B, SavedError>,
) -> Result<DownFrame<B>, SavedError> {
    let mut numbers = fields.iter().map_while(|field| match field {
        SavedValue::Number(number) => Some(*number),
        _ => None,
    });
    let no_frame = || SavedError::invalid(FRAMES, "one is no frame that this version knows");
    let mut next = || numbers.next().ok_or_else(no_frame);
    let (kind, first) = (next()?, next()?);
    if kind == kind::REFUSED {
        return Ok(DownFrame::Refused(match first {
            0 => Refusal::Replaced,
            1 => Refusal::Full,
            _ => Refusal::OtherMachine,
        }));
    }
    let member = members.get(first)?.clone();
    Ok(match kind {
        kind::WELCOME => DownFrame::Welcome {
            hub: member,
            present: u32::try_from(next()?).unwrap_or(u32::MAX),
        },
        kind::JOINED => DownFrame::Joined {
            sender: member,
            session: Session(next()?),
        },
        kind::PEER => DownFrame::Peer(PeerPlace {
            receiver: member,
            session: Session(next()?),
            place: Place {
                token: Token(next()?),
                k: SeqNo(next()?),
            },
            keeps_newest: next()? != 0,
        }),
        kind::ACKED => DownFrame::Acked {
            receiver: member,
            k: SeqNo(next()?),
        },
        kind::LEFT => DownFrame::Left(member),
        kind::START => DownFrame::Start {
            sender: member,
            from: SeqNo(next()?),
        },
        kind::MSG => DownFrame::Msg {
            sender: member,
            message: Message {
                n: SeqNo(next()?),
                addressed: next()? != 0,
                body: body(fields.last().ok_or_else(no_frame)?)?,
            },
        },
        kind::MISSED => DownFrame::Missed {
            sender: member,
            upto: SeqNo(next()?),
            count: next()?,
        },
        _ => return Err(no_frame()),
    })
}
