//! Requests that wait for answers, on both sides.
//!
//! In: requests, answers, members that leave. Out: what is to be told to futures, which is done after the lock is
//! released. Touches nothing.

use bytes::Bytes;
use kyneta_uds_bus::{MemberId, SeqNo};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::quick::QuickMap;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The member's handler has said why.
    #[error("{0}")]
    Failed(String),
    /// The member has left before it answered.
    #[error("the member has left before it answered")]
    Left,
    /// This member has ended.
    #[error("this member of the bus has ended")]
    Ended,
}

/// What the future of a request is told.
type Answer = Result<Bytes, RequestError>;

/// Tells the future of a request.
pub(crate) type Asker = oneshot::Sender<Answer>;

/// An answer that has come, for a future.
#[derive(Debug)]
pub(crate) struct Answered {
    asker: Asker,
    answer: Answer,
}

impl Answered {
    pub(crate) fn tell(self) {
        // The future may have been dropped.
        let _ = self.asker.send(self.answer);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Of this member.
    asked: QuickMap<SeqNo, (MemberId, Asker)>,
    /// Of others, until they are answered.
    asks: QuickMap<(MemberId, SeqNo), CancellationToken>,
}

impl Requests {
    pub(crate) fn asked(&mut self, seq: SeqNo, of: MemberId, asker: Asker) {
        self.asked.insert(seq, (of, asker));
    }

    /// An answer has come: it counts if it is of the member that was asked.
    pub(crate) fn answered(
        &mut self,
        seq: SeqNo,
        from: &MemberId,
        answer: Answer,
    ) -> Option<Answered> {
        let (of, _) = self.asked.get(&seq)?;
        if of != from {
            return None;
        }
        let (_, asker) = self.asked.remove(&seq)?;
        Some(Answered { asker, answer })
    }

    /// The future is dropped; the member that was asked.
    pub(crate) fn gave_up(&mut self, seq: SeqNo) -> Option<(MemberId, Asker)> {
        self.asked.remove(&seq)
    }

    /// A member has left: what it was asked has no answer, and its own requests are to be cancelled.
    pub(crate) fn left(&mut self, member: &MemberId) -> (Vec<Answered>, Vec<CancellationToken>) {
        let asked = self.asked.extract_if(|_, (of, _)| of == member);
        let asked = asked.map(|(_, (_, asker))| Answered {
            asker,
            answer: Err(RequestError::Left),
        });
        let asks = self.asks.extract_if(|(from, _), _| from == member);
        let cancelled = asks.map(|(_, cancel)| cancel);
        (asked.collect(), cancelled.collect())
    }

    /// Those of others.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&MemberId, SeqNo)> {
        self.asks.keys().map(|(member, seq)| (member, *seq))
    }

    /// Another member asks.
    pub(crate) fn asks(&mut self, from: &MemberId, seq: SeqNo) -> CancellationToken {
        let cancel = CancellationToken::new();
        self.asks.insert((from.clone(), seq), cancel.clone());
        cancel
    }

    /// Its answer is not wanted any more.
    pub(crate) fn cancelled(&mut self, from: &MemberId, seq: SeqNo) -> Option<CancellationToken> {
        self.asks.remove(&(from.clone(), seq))
    }
}
