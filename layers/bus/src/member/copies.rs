//! Copies of what is kept, for one receiver that a sender meets again.
//!
//! In: a cursor. Out: the next frame, and the cursor moves on. A cursor holds no message, so what waits for a
//! connection does not grow when connections are cut often.

use crate::{
    frame::{Recipients, UpFrame},
    id::{MemberId, SeqNo, Session},
};

use super::Member;

/// A cursor over the copies for one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Copies {
    pub(super) receiver: MemberId,
    pub(super) session: Session,
    /// The last number that the receiver has, or that is drawn.
    pub(super) after: SeqNo,
    /// The last number that was accepted before the meeting: what comes later goes to all.
    pub(super) upto: SeqNo,
}

impl Copies {
    /// The receiver.
    pub const fn receiver(&self) -> &MemberId {
        &self.receiver
    }

    /// Messages up to this one are not kept any more, though they may be lacking: the receiver is to count them
    /// as missed.
    fn start_again<B>(&mut self, last: SeqNo) -> UpFrame<B> {
        self.after = last;
        UpFrame::Start {
            receiver: self.receiver.clone(),
            session: self.session,
            from: last.next(),
        }
    }
}

impl<B: Clone> Member<B> {
    /// The next frame of the copies, or `None` when all are drawn.
    ///
    /// Ends early when the receiver has left, or when another meeting with it has begun: what this one would
    /// have sent is sent, or named, there. Messages that it has acknowledged meanwhile are left out.
    pub fn next_copy(&self, copies: &mut Copies) -> Option<UpFrame<B>> {
        let receiver = self.audience.get(&copies.receiver)?;
        if receiver.live != Some(copies.session) {
            return None;
        }
        copies.after = copies.after.max(receiver.acked);
        if copies.after >= copies.upto {
            return None;
        }
        for kept in self.kept.range(&(copies.after.next()..=copies.upto)) {
            let n = kept.message.n;
            if receiver.keeps_newest && n > copies.after.next() {
                return Some(copies.start_again(n.before()));
            }
            copies.after = n;
            if receiver.is_addressed(&copies.receiver, kept) {
                return Some(UpFrame::Msg {
                    to: Recipients::one(copies.receiver.clone()),
                    message: kept.message.clone(),
                });
            }
        }
        let is_lacking = receiver.keeps_newest && copies.after < copies.upto;
        is_lacking.then(|| copies.start_again(copies.upto))
    }
}
