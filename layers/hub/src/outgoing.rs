//! What a turn has for the members' queues, collected for each of them.
//!
//! In: messages, each for one member. Out: a batch for each, in the order of the messages. Touches nothing.

use kyneta_uds_core::Message;
use kyneta_uds_queue::MessageBatch;
use kyneta_uds_relay::MemberKey;

/// Batches whose memory is kept for the next turn.
const KEPT: usize = 8;

/// Where in [`Outgoing`] the batch of a member is, in this turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place(u32);

#[derive(Debug)]
pub(crate) struct Outgoing<M> {
    batches: Vec<(MemberKey, MessageBatch<M>)>,
    /// Those of this turn; the rest are empty.
    used: usize,
}

impl<M: Message> Outgoing<M> {
    pub(crate) const fn new() -> Self {
        Self {
            batches: Vec::new(),
            used: 0,
        }
    }

    /// Adds a message for the member that has this place.
    #[inline]
    pub(crate) fn push(&mut self, to: MemberKey, place: &mut Place, msg: M) {
        let at = match place.0 {
            0 => {
                let at = self.used;
                self.used += 1;
                match self.batches.get_mut(at) {
                    Some((member, _)) => *member = to,
                    None => self.batches.push((to, MessageBatch::new())),
                }
                // So many members need more memory than there is.
                *place = Place(u32::try_from(at + 1).unwrap_or(u32::MAX));
                at
            }
            place => place as usize - 1,
        };
        if let Some((_, batch)) = self.batches.get_mut(at) {
            batch.push(msg);
        }
    }

    /// What it has for the member that has this place.
    pub(crate) fn batch(&mut self, place: Place) -> Option<&mut MessageBatch<M>> {
        let at = (place.0 as usize).checked_sub(1)?;
        self.batches.get_mut(at).map(|(_, batch)| batch)
    }

    /// The next member that it has a batch for.
    pub(crate) fn last(&mut self) -> Option<(MemberKey, &mut MessageBatch<M>)> {
        self.used = self.used.checked_sub(1)?;
        let (to, batch) = self.batches.get_mut(self.used)?;
        Some((*to, batch))
    }

    /// The turn is over: all is queued.
    pub(crate) fn rest(&mut self) {
        self.batches.truncate(KEPT);
    }
}
