//! A received message, with its sender, and the way to answer it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use kyneta_uds_bus::{MemberId, SeqNo};
use kyneta_uds_core::BoxError;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{encode::encode, info::MemberInfo, shared::Shared, wire::Kind};

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
    /// Of a request: answers it. Dropped without an answer, the asker is told so.
    pub request: Option<Responder>,
}

impl<M> BusIncoming<M> {
    pub(crate) fn new(
        from: Arc<MemberInfo>,
        seq: SeqNo,
        to_me: bool,
        message: M,
        request: Option<Responder>,
    ) -> Self {
        Self {
            from,
            seq: seq.0,
            to_me,
            message,
            request,
        }
    }
}

/// Answers one request.
pub struct Responder {
    shared: Arc<Shared>,
    to: MemberId,
    seq: SeqNo,
    cancel: CancellationToken,
    is_done: bool,
}

impl Responder {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        to: MemberId,
        seq: SeqNo,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            shared,
            to,
            seq,
            cancel,
            is_done: false,
        }
    }

    /// Answers. Without effect when the asker has left or does not wait any more.
    ///
    /// # Errors
    /// `Serialize` has failed, or the answer is larger than a message may be; the asker is told so.
    pub fn answer<M: Serialize>(mut self, message: &M) -> Result<(), BoxError> {
        match encode(message, self.shared.settings().max_message) {
            Ok(data) => {
                self.send(Kind::Answer(self.seq.0), data);
                Ok(())
            }
            Err(error) => {
                self.failed(&error.to_string());
                Err(error.into())
            }
        }
    }

    /// Says why there is no answer.
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
            Bytes::copy_from_slice(why.as_bytes()),
        );
    }

    fn send(&mut self, kind: Kind, data: Bytes) {
        self.is_done = true;
        self.shared.answer(&self.to, self.seq, kind, data);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.is_done {
            self.failed("the request was not answered");
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("to", &self.to)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}
