//! Looks at a bus without joining it: the members that are present, and what passes.
//!
//! In: a path. Out: members, messages. May touch: one connection to the listener.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use kyneta_uds_cbor::{CborChannel, CborError, CborLayer};
use kyneta_uds_core::{Admission, BoxError, Channel as _, Inbound, SharedError, SocketPath};
use kyneta_uds_framing::{FrameTransport, FramingLayer};
use kyneta_uds_unix::{AccessPolicy, AuthorizeLayer, UnixConnector};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::{
    channel::MAGIC,
    codec::BusCodec,
    info::MemberInfo,
    wire::{Kind, Observation, VERSIONS, Wire},
};

/// How long the listener may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a bus cannot be looked at.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// No process listens there, or it does not let this one in.
    #[error("{path} cannot be asked")]
    NotConnected {
        /// The path.
        path: SocketPath,
        /// Why.
        source: SharedError,
    },
    /// What listens there is no bus.
    #[error(
        "{path} cannot be asked: its listener is no bus of ours, or has not answered within {ANSWER:?}"
    )]
    NoBus {
        /// The path.
        path: SocketPath,
    },
}

/// A member that is present.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Present {
    /// The member.
    pub member: MemberInfo,
    /// How long the listener has known it.
    pub since: Duration,
    /// How many frames wait for it at the listener.
    pub waits: u64,
}

/// A message that has passed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Passed {
    /// Its sender.
    pub from: String,
    /// Its receivers; empty for all.
    pub to: Vec<String>,
    /// Its number among the messages of its sender.
    pub seq: u64,
    /// How many messages were not shown before it, because this process was too slow.
    pub missed: u64,
    /// `message`, `request`, `answer`, `failure` or `cancel`.
    pub kind: &'static str,
    /// The message as CBOR; of a failure, its text.
    pub data: Bytes,
}

/// A connection that looks on.
#[derive(Debug)]
pub struct Look {
    path: SocketPath,
    channel: CborChannel<FrameTransport<tokio::net::UnixStream>, BusCodec>,
    present: Vec<Present>,
}

/// The members that are present at a path.
///
/// # Errors
/// [`LookError`]
pub async fn who(path: SocketPath) -> Result<Vec<Present>, LookError> {
    Ok(look(path, false).await?.present)
}

/// What passes at a path from now on. The listener never waits for this process: it misses what it is too slow for.
///
/// # Errors
/// [`LookError`]
pub async fn tap(path: SocketPath) -> Result<Look, LookError> {
    look(path, true).await
}

async fn look(path: SocketPath, tap: bool) -> Result<Look, LookError> {
    let not_connected = |source: BoxError| LookError::NotConnected {
        path: path.clone(),
        source: SharedError::new(source),
    };
    let no_bus = || LookError::NoBus { path: path.clone() };
    let stack = AuthorizeLayer::new(AccessPolicy::same_uid().or(AccessPolicy::uids([0]))).layer(
        CborLayer::with_codec(BusCodec).layer(FramingLayer::new().layer(UnixConnector::new())),
    );
    let channel = stack.oneshot(path.clone().into()).await;
    let mut channel = channel.map_err(not_connected)?;
    let admitted = poll_fn(|cx| channel.poll_admission(cx, Admission::Await));
    match timeout(ANSWER, admitted).await {
        Ok(admitted) => admitted.map_err(|error: CborError| not_connected(error.into()))?,
        Err(_) => return Err(no_bus()),
    }
    let observation = Observation {
        bus: MAGIC.to_owned(),
        lo: VERSIONS.0,
        hi: VERSIONS.1,
        tap,
    };
    let asked = async {
        channel.call(Wire::Observe(Box::new(observation))).await?;
        poll_fn(|cx| channel.poll_flush(cx)).await?;
        loop {
            match channel.next().await {
                Some(Ok(Inbound::Message(Wire::Members(members)))) => return Ok(Some(members)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(None),
            }
        }
    };
    let members = match timeout(ANSWER, asked).await {
        Ok(Ok(Some(members))) => members,
        Ok(Err(error)) => return Err(not_connected(error.into())),
        Ok(Ok(None)) | Err(_) => return Err(no_bus()),
    };
    let present = members.iter().filter_map(|of| {
        Some(Present {
            member: MemberInfo::read(of).ok()?,
            since: Duration::from_millis(of.since_ms.unwrap_or(0)),
            waits: of.waits.unwrap_or(0),
        })
    });
    Ok(Look {
        present: present.collect(),
        path,
        channel,
    })
}

impl Look {
    /// The members that were present when it began.
    pub fn present(&self) -> &[Present] {
        &self.present
    }

    /// The next message that has passed; `None` when the listener has ended.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LookError::NotConnected`]: the connection is broken.
    pub async fn next(&mut self) -> Result<Option<Passed>, LookError> {
        loop {
            match self.channel.next().await {
                Some(Ok(Inbound::Message(Wire::Passed(passed)))) => {
                    let kind = match passed.kind {
                        Kind::Plain => "message",
                        Kind::Request => "request",
                        Kind::Answer(_) => "answer",
                        Kind::Failure(_) => "failure",
                        Kind::Cancel(_) => "cancel",
                    };
                    return Ok(Some(Passed {
                        from: passed.from,
                        to: passed.to,
                        seq: passed.n,
                        missed: passed.missed,
                        kind,
                        data: passed.data,
                    }));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Err(LookError::NotConnected {
                        path: self.path.clone(),
                        source: SharedError::new(error),
                    });
                }
                None => return Ok(None),
            }
        }
    }
}
