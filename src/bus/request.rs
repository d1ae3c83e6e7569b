//! Requests that wait for answers, on both sides. Pure, but for the channels of the futures.

use std::collections::HashMap;

use bytes::Bytes;
use kyneta_uds_bus::{MemberId, SeqNo};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

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

/// An answer that has come, for a future.
#[derive(Debug)]
pub(crate) struct Answered {
    asker: oneshot::Sender<Answer>,
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
    asked: HashMap<SeqNo, (MemberId, oneshot::Sender<Answer>)>,
    /// Of others, until they are answered.
    asks: HashMap<(MemberId, SeqNo), CancellationToken>,
}

impl Requests {
    pub(crate) fn asked(&mut self, seq: SeqNo, of: MemberId, asker: oneshot::Sender<Answer>) {
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

    /// The asker does not wait any more; the member that it has asked.
    pub(crate) fn gave_up(&mut self, seq: SeqNo) -> Option<MemberId> {
        self.asked.remove(&seq).map(|(of, _)| of)
    }

    /// A member has left.
    pub(crate) fn left(&mut self, member: &MemberId) -> Vec<Answered> {
        self.asks.retain(|(from, _), cancel| {
            let stays = from != member;
            if !stays {
                cancel.cancel();
            }
            stays
        });
        let asked = self.asked.extract_if(|_, (of, _)| of == member);
        asked
            .map(|(_, (_, asker))| Answered {
                asker,
                answer: Err(RequestError::Left),
            })
            .collect()
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
