//! A received message, with its sender, and the way to answer it.
//!
//! In: a message, and for a request its number. Out: the answer. May touch: the state of the bus.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use kyneta_uds_bus::{SeqNo, reason};
use kyneta_uds_core::{BoxError, Chain, ignore_poison};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{info::MemberInfo, shared::Shared, trace::TraceParent, wire::Kind};

/// A message that a member has published, sent to this one, or asks it.
#[derive(Debug)]
#[non_exhaustive]
pub struct BusIncoming<M> {
    /// Its sender, as the listener says.
    pub from: Arc<MemberInfo>,
    /// Its number among the messages of its sender.
    pub seq: u64,
    /// It went to this member alone.
    pub to_me: bool,
    /// The message.
    pub message: M,
    /// Which trace it belongs to, if its sender has [put that in](super::trace).
    pub trace: Option<TraceParent>,
    /// Of a request: answers it. Dropped without an answer, the asker is told so.
    pub request: Option<Responder>,
}

/// Answers one request.
pub struct Responder {
    /// Until it is answered.
    open: Option<Arc<Shared>>,
    asker: Arc<MemberInfo>,
    seq: SeqNo,
    cancel: CancellationToken,
}

impl Responder {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        asker: Arc<MemberInfo>,
        seq: SeqNo,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            open: Some(shared),
            asker,
            seq,
            cancel,
        }
    }

    /// Answers. Without effect when the asker has left or does not wait any more.
    ///
    /// # Errors
    /// `Serialize` has failed, or the answer is larger than a message may be; the asker is told so.
    pub fn answer<M: Serialize>(mut self, message: &M) -> Result<(), BoxError> {
        let Some(shared) = &self.open else {
            return Ok(());
        };
        let limit = shared.settings().max_message;
        // Taken, because `Serialize` is code of the user: it must not run under a lock.
        let mut encoder = std::mem::take(&mut *ignore_poison(shared.encoder.lock()));
        let encoded = encoder.encode(message, limit);
        *ignore_poison(shared.encoder.lock()) = encoder;
        match encoded {
            Ok(data) => {
                self.send(Kind::Answer(self.seq.0), data);
                Ok(())
            }
            Err(error) => {
                self.failed(&Chain(&error).to_string());
                Err(error.into())
            }
        }
    }

    /// Says why there is no answer; the asker is told the first 4 KiB of it.
    pub fn fail(mut self, why: &str) {
        self.failed(why);
    }

    /// Ready when the asker does not wait any more: it has given up, or has left.
    ///
    /// Cancel safe.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    fn failed(&mut self, why: &str) {
        self.send(
            Kind::Failure(self.seq.0),
            Bytes::copy_from_slice(reason(why).as_bytes()),
        );
    }

    fn send(&mut self, kind: Kind, data: Bytes) {
        if let Some(shared) = self.open.take() {
            shared.answer(&self.asker.member_id(), self.seq, kind, data);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.open.is_some() {
            self.failed("the request was not answered");
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("to", &self.asker.id)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}
