//! The frames that wait for a member's connection.
//!
//! In: what the hub sends. Out: the frames in order, with two exceptions that no member can tell from a slower
//! connection. Acknowledgements of one receiver are joined into the last one. Where the member keeps the newest,
//! the oldest messages to all give way to a `missed`. Touches nothing.

mod saved;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    frame::{DownFrame, Message, PeerPlace, SlowPolicy},
    id::{MemberId, SeqNo},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Item<B> {
    Frame(DownFrame<B>),
    /// Messages of one sender from this index on, shared with the queues of other members.
    Run(MemberId, Arc<[Message<B>]>, usize),
    /// The acknowledgements that are joined.
    Acks,
}

impl<B> Item<B> {
    /// The sender and the number of a message that may be dropped.
    const fn droppable(&self) -> Option<(&MemberId, SeqNo)> {
        match self {
            Self::Frame(DownFrame::Msg { sender, message }) if !message.addressed => {
                Some((sender, message.n))
            }
            _ => None,
        }
    }

    /// The sender whose stream the item belongs to.
    const fn stream(&self) -> Option<&MemberId> {
        match self {
            Self::Frame(
                DownFrame::Msg { sender, .. }
                | DownFrame::Start { sender, .. }
                | DownFrame::Missed { sender, .. }
                | DownFrame::Joined { sender, .. },
            )
            | Self::Frame(DownFrame::Left(sender))
            | Self::Run(sender, ..) => Some(sender),
            _ => None,
        }
    }
}

/// What waits for a member. It is as long as the windows of the other members allow.
///
/// ```
/// use kyneta_uds_bus::{DownFrame, Incarnation, MemberId, MemberQueue, SeqNo, SlowPolicy};
/// use kyneta_uds_core::PeerId;
///
/// let mut queue = MemberQueue::<()>::new(SlowPolicy::Wait);
/// let receiver = MemberId::new(PeerId::new("till")?, Incarnation(1));
/// let acked = |k| DownFrame::Acked { receiver: receiver.clone(), k: SeqNo(k) };
/// queue.push(acked(1));
/// queue.push(acked(2));
/// assert_eq!(queue.pop(), Some(acked(2)));
/// assert_eq!(queue.pop(), None);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberQueue<B> {
    slow: SlowPolicy,
    items: VecDeque<Item<B>>,
    /// The acknowledgements of [`Item::Acks`], by receiver.
    acks: BTreeMap<MemberId, SeqNo>,
    /// [`Item::Acks`] stands among the items.
    has_acks: bool,
    /// How many items may be dropped.
    droppable: usize,
    dropped: u64,
    /// Messages of runs, less one for each run.
    more: usize,
}

impl<B: Clone> MemberQueue<B> {
    /// An empty queue for a member with this policy.
    pub const fn new(slow: SlowPolicy) -> Self {
        Self {
            slow,
            items: VecDeque::new(),
            acks: BTreeMap::new(),
            has_acks: false,
            droppable: 0,
            dropped: 0,
            more: 0,
        }
    }

    /// How many frames wait.
    pub fn len(&self) -> usize {
        self.items.len() + self.more - usize::from(self.has_acks) + self.acks.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages gave way so far.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds a frame behind the others.
    pub fn push(&mut self, frame: DownFrame<B>) {
        match frame {
            DownFrame::Acked { receiver, k } => self.acknowledged(receiver, k),
            frame => self.add(frame),
        }
    }

    /// Adds messages of one sender behind the others: the same as a frame for each.
    pub fn push_run(&mut self, sender: &MemberId, run: &Arc<[Message<B>]>) {
        if self.slow.keeps_newest() {
            for message in run.iter() {
                let (sender, message) = (sender.clone(), message.clone());
                self.add(DownFrame::Msg { sender, message });
            }
        } else if let Some(more) = run.len().checked_sub(1) {
            self.more += more;
            self.items
                .push_back(Item::Run(sender.clone(), run.clone(), 0));
        }
    }

    /// Takes the frame that is first.
    pub fn pop(&mut self) -> Option<DownFrame<B>> {
        loop {
            match self.items.front_mut()? {
                Item::Run(sender, run, next) => {
                    let Some(message) = run.get(*next).cloned() else {
                        self.items.pop_front();
                        continue;
                    };
                    *next += 1;
                    if *next < run.len() {
                        self.more -= 1;
                        let sender = sender.clone();
                        return Some(DownFrame::Msg { sender, message });
                    }
                    let Some(Item::Run(sender, ..)) = self.items.pop_front() else {
                        continue;
                    };
                    return Some(DownFrame::Msg { sender, message });
                }
                Item::Frame(_) => {
                    let item = self.items.pop_front()?;
                    self.droppable -= usize::from(item.droppable().is_some());
                    let Item::Frame(frame) = item else { continue };
                    return Some(frame);
                }
                Item::Acks => match self.acks.pop_first() {
                    Some((receiver, k)) => return Some(DownFrame::Acked { receiver, k }),
                    None => {
                        self.items.pop_front();
                        self.has_acks = false;
                    }
                },
            }
        }
    }

    fn acknowledged(&mut self, receiver: MemberId, k: SeqNo) {
        if !self.has_acks {
            self.has_acks = true;
            self.items.push_back(Item::Acks);
        }
        let acked = self.acks.entry(receiver).or_default();
        *acked = k.max(*acked);
    }

    fn add(&mut self, frame: DownFrame<B>) {
        // What a receiver acknowledges after it has met the sender anew must not come before the meeting.
        if let DownFrame::Peer(PeerPlace { receiver, .. }) | DownFrame::Left(receiver) = &frame
            && let Some(k) = self.acks.remove(receiver)
        {
            let receiver = receiver.clone();
            self.items
                .push_back(Item::Frame(DownFrame::Acked { receiver, k }));
        }
        let item = Item::Frame(frame);
        self.droppable += usize::from(item.droppable().is_some());
        self.items.push_back(item);
        if let SlowPolicy::Newest(most) = self.slow
            && self.droppable > usize::try_from(most.get()).unwrap_or(usize::MAX)
        {
            self.drop_oldest();
        }
    }

    /// The oldest message that may be dropped becomes a `missed`, or adds to the one before it in its stream.
    fn drop_oldest(&mut self) {
        let found = self.items.iter().enumerate().find_map(|(at, item)| {
            let (sender, n) = item.droppable()?;
            Some((at, sender.clone(), n))
        });
        let Some((at, sender, last)) = found else {
            return;
        };
        self.droppable -= 1;
        self.dropped += 1;
        let before = self.items.range_mut(..at).rev();
        let mut before = before.filter(|item| item.stream() == Some(&sender));
        if let Some(Item::Frame(DownFrame::Missed { upto, count, .. })) = before.next() {
            (*upto, *count) = (last, count.saturating_add(1));
            self.items.remove(at);
        } else if let Some(item) = self.items.get_mut(at) {
            *item = Item::Frame(DownFrame::Missed {
                sender,
                upto: last,
                count: 1,
            });
        }
    }
}
