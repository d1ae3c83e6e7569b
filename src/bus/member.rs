//! One other member of a bus: messages to it, and requests.
//!
//! In: messages to a member. Out: deliveries, answers. May touch: the state of the bus.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use kyneta_uds_bus::{MemberId, SeqNo};
use kyneta_uds_core::{BoxError, PeerId};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use tower_service::Service;

use super::{
    handle::{Bus, BusError, Delivered, Publish},
    info::MemberInfo,
    request::RequestError,
    shared::Shared,
    trace::{CarriesTrace, TraceParent},
    usual,
    wire::Kind,
};

/// There is no such member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no member {id:?} is on the bus; {}", list(known))]
#[non_exhaustive]
pub struct UnknownMember {
    /// What was asked for, cut at 256 characters. It need not be a legal id.
    pub id: String,
    /// The members that are there.
    pub known: Vec<PeerId>,
}

impl UnknownMember {
    pub(super) fn new(id: &str, known: &[Arc<MemberInfo>]) -> Self {
        Self {
            id: id.chars().take(256).collect(),
            known: known.iter().map(|member| member.id.clone()).collect(),
        }
    }
}

/// How many names an error shows.
const SHOWN: usize = 16;

fn list(known: &[PeerId]) -> String {
    if known.is_empty() {
        return "there is no other".to_owned();
    }
    let mut names: Vec<_> = known
        .iter()
        .take(SHOWN)
        .map(|id| format!("{id:?}"))
        .collect();
    if known.len() > SHOWN {
        names.push(format!("and {} more", known.len() - SHOWN));
    }
    format!("there are {}", names.join(", "))
}

impl<M> Bus<M> {
    /// One other member, by its id. It stands for the process that has the id now: after a restart ask again.
    ///
    /// # Errors
    /// [`UnknownMember`], with the ids of the members that are there.
    pub fn member(&self, id: &str) -> Result<BusMember<M>, UnknownMember> {
        let legal = PeerId::new(id).ok();
        legal
            .and_then(|id| self.shared().find(&id))
            .map(|member| BusMember::new(self.clone(), member))
            .ok_or_else(|| UnknownMember::new(id, &self.members()))
    }
}

/// One other member. A `Service<M, Response = M>` of requests: put tower's timeout, retry or limit around it.
pub struct BusMember<M> {
    bus: Bus<M>,
    member: MemberId,
}

impl<M> BusMember<M> {
    pub(super) const fn new(bus: Bus<M>, member: MemberId) -> Self {
        Self { bus, member }
    }
}

impl<M: Serialize> BusMember<M> {
    /// Its id.
    pub const fn id(&self) -> &PeerId {
        &self.member.peer
    }

    /// Sends it a message as soon as there is room; the future of the answer is ready when it has it.
    ///
    /// Cancel safe: dropped, it has sent nothing.
    ///
    /// # Errors
    /// [`BusError::Ended`].
    pub async fn begin_send(&mut self, message: M) -> Result<Publish, BusError> {
        std::future::poll_fn(|cx| self.bus.poll_slot(cx)).await?;
        let to = self.member.clone();
        Ok(self.bus.send_in_slot(to, Kind::Plain, &message, None, None))
    }

    /// Sends it a message; ready when it has it, or has left and is named.
    ///
    /// Cancel safe: dropped before its first poll is ready, nothing was sent; later the message arrives all the same.
    ///
    /// # Errors
    /// [`BusError`]: it has left before, or the message cannot be encoded.
    pub async fn send(&mut self, message: M) -> Result<Delivered, BusError> {
        self.begin_send(message).await?.await
    }
}

impl<M: Serialize + DeserializeOwned + Send + 'static> BusMember<M> {
    /// Asks it, and waits for the answer. Dropping the future takes the request back: the other side is told.
    ///
    /// # Errors
    /// [`RequestError`] or [`BusError`], in a box: it has said why there is no answer; it has left; the request
    /// cannot be encoded; the answer is no `M`.
    pub async fn request(&mut self, message: M) -> Result<M, BoxError> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await?;
        self.call(message).await
    }
}

impl<M: Serialize + DeserializeOwned + Send + 'static> Service<M> for BusMember<M> {
    type Response = M;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<M, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.bus.poll_slot(cx).map_err(Into::into)
    }

    fn call(&mut self, message: M) -> Self::Future {
        self.ask(message, None)
    }
}

impl<M: Serialize + DeserializeOwned + Send + 'static> CarriesTrace<M> for BusMember<M> {
    fn call_in_trace(&mut self, message: M, trace: TraceParent) -> Self::Future {
        self.ask(message, Some(trace))
    }
}

impl<M: Serialize + DeserializeOwned + Send + 'static> BusMember<M> {
    fn ask(&mut self, message: M, trace: Option<TraceParent>) -> <Self as Service<M>>::Future {
        let (asker, answer) = oneshot::channel();
        let to = self.member.clone();
        let sent = self
            .bus
            .send_in_slot(to, Kind::Request, &message, trace, Some(asker));
        let asked = Asked {
            shared: self.bus.shared().clone(),
            seq: sent.seq(),
        };
        Box::pin(async move {
            if asked.seq.is_none() {
                sent.await?;
            }
            let answer = answer.await;
            asked.finish();
            let data: Bytes = match answer {
                Ok(answer) => answer?,
                Err(_) => return Err(RequestError::Ended.into()),
            };
            match usual::part(&data, &data).or_else(|| usual::read(&data)) {
                Some(answer) => Ok(answer),
                None => Ok(ciborium::from_reader(&*data)?),
            }
        })
    }
}

impl<M> Clone for BusMember<M> {
    fn clone(&self) -> Self {
        Self {
            bus: self.bus.clone(),
            member: self.member.clone(),
        }
    }
}

impl<M> fmt::Debug for BusMember<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusMember")
            .field("id", &self.member.peer)
            .finish_non_exhaustive()
    }
}

/// A request that waits. Dropped, it is taken back.
struct Asked {
    shared: Arc<Shared>,
    seq: Option<u64>,
}

impl Asked {
    /// It is answered, or never will be: there is nothing to take back.
    fn finish(mut self) {
        self.seq = None;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(seq) = self.seq {
            self.shared.give_up(SeqNo(seq));
        }
    }
}
