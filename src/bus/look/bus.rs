//! Looks at a bus.
//!
//! In: a path. Out: what the hub says. May touch: one connection.

use std::{collections::VecDeque, future::poll_fn};

use futures_util::StreamExt as _;
use kyneta_uds_bus::{Message, SeqNo};
use kyneta_uds_cbor::{CborChannel, CborError, CborLayer};
use kyneta_uds_core::{Admission, BoxError, Channel as _, Credentials, Inbound, SocketPath};
use kyneta_uds_framing::{FrameTransport, FramingLayer};
use kyneta_uds_unix::{AccessPolicy, AuthorizeLayer, UnixConnector};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::{ANSWER, LookError, Passed, Present, not_connected};
use crate::bus::{
    bundle,
    channel::MAGIC,
    codec::BusCodec,
    wire::{Body, Observation, Passed as WirePassed, VERSIONS, Wire},
};

/// A connection to a hub that only looks on.
#[derive(Debug)]
pub(super) struct BusLook {
    channel: CborChannel<FrameTransport<tokio::net::UnixStream>, BusCodec>,
    /// Of a bundle, what is not given out yet.
    rest: VecDeque<Passed>,
}

/// The listeners that are asked: those of this user or of root.
pub(super) fn listeners() -> AccessPolicy {
    AccessPolicy::same_uid().or(AccessPolicy::uids([0]))
}

/// A connection to a listener that may be a hub.
pub(super) struct Unadmitted {
    channel: CborChannel<FrameTransport<tokio::net::UnixStream>, BusCodec>,
}

impl Unadmitted {
    pub(super) async fn new(path: &SocketPath) -> Result<Self, LookError> {
        let stack = AuthorizeLayer::new(listeners()).layer(
            CborLayer::with_codec(BusCodec).layer(FramingLayer::new().layer(UnixConnector::new())),
        );
        let channel = stack.oneshot(path.clone().into()).await;
        let channel = channel.map_err(|error| not_connected(path, error))?;
        Ok(Self { channel })
    }

    /// The process that listens.
    pub(super) fn listener(&self) -> Option<Credentials> {
        self.channel.connection().credentials
    }

    /// Waits for the first word of the listener: false if it is not that of a hub, or if there is none. Cancel safe.
    pub(super) async fn is_admitted(&mut self) -> bool {
        poll_fn(|cx| self.channel.poll_admission(cx, Admission::Await))
            .await
            .is_ok()
    }

    /// Asks the hub.
    pub(super) async fn ask(
        self,
        path: &SocketPath,
        tap: bool,
    ) -> Result<(BusLook, Vec<Present>), LookError> {
        let Self { mut channel } = self;
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
                    Some(Ok(Inbound::Message(Wire::Members(of)))) => return Ok(Some(of)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(None),
                }
            }
        };
        let members = match timeout(ANSWER, asked).await {
            Ok(Ok(Some(members))) => members,
            Ok(Err(error)) => {
                let error: CborError = error;
                return Err(not_connected(path, error.into()));
            }
            Ok(Ok(None)) => return Err(LookError::Rejected { path: path.clone() }),
            Err(_) => return Err(LookError::NoBus { path: path.clone() }),
        };
        let present = members.iter().filter_map(Present::read).collect();
        let rest = VecDeque::new();
        Ok((BusLook { channel, rest }, present))
    }
}

impl BusLook {
    /// The next message that has passed.
    pub(super) async fn next(&mut self) -> Result<Option<Passed>, BoxError> {
        loop {
            if let Some(passed) = self.rest.pop_front() {
                return Ok(Some(passed));
            }
            match self.channel.next().await {
                Some(Ok(Inbound::Message(Wire::Passed(passed)))) => {
                    self.rest.extend(each(*passed));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(None),
            }
        }
    }
}

/// The messages of a payload, one by one.
fn each(passed: WirePassed) -> Vec<Passed> {
    let message = Message {
        n: SeqNo(passed.n),
        addressed: !passed.to.is_empty(),
        body: Body {
            kind: passed.kind,
            at_once: false,
            data: passed.data.clone(),
            trace: None,
        },
    };
    let mut missed = passed.missed;
    let each = bundle::each(&message).map(|message| {
        Passed::from(WirePassed {
            n: message.n.0,
            missed: std::mem::take(&mut missed),
            kind: message.body.kind,
            data: message.body.data,
            ..passed.clone()
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::service_fn;

    use super::*;
    use crate::{Bus, BusIncoming};

    #[tokio::test]
    async fn one_that_asks_again_and_again_is_answered_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sock");
        let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
        let _bus = Bus::<String>::builder(&path).join(ignore).await.unwrap();
        let path = SocketPath::new(&path).unwrap();
        let Unadmitted { mut channel } = Unadmitted::new(&path).await.ok().unwrap();
        for _ in 0..100 {
            let observation = Observation {
                bus: MAGIC.to_owned(),
                lo: VERSIONS.0,
                hi: VERSIONS.1,
                tap: false,
            };
            drop(channel.call(Wire::Observe(Box::new(observation))));
        }
        poll_fn(|cx| channel.poll_flush(cx)).await.unwrap();
        let mut answers = 0;
        // An error is its end, too.
        while let Some(Ok(inbound)) = channel.next().await {
            answers += usize::from(matches!(inbound, Inbound::Message(Wire::Members(_))));
        }
        assert_eq!(answers, 1);
    }
}
