//! What links are for: the documents of a peer, or a bus.
//!
//! In: links. Out: members of the hub of documents, or links of the hub of a bus; events. May touch: either hub.

use std::{sync::Arc, time::Duration};

use kyneta_uds_core::{Chain, ChannelMsg, SharedError};
use kyneta_uds_hub::Hub;
use kyneta_uds_machines::{LinkIo, LinkWatch, MachineName, Reason, Role};
use kyneta_uds_queue::Handle;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    host::{Host, LinkChange},
    link::link,
};
use crate::{
    bus::{
        BusEvent,
        links::{LinkBox, LinkFault, run},
        shared::Shared,
    },
    event::Event,
    event_sender::EventSender,
};

/// What the links of a listener are for. Cloneable.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    /// A link is a member of this hub.
    Documents(Hub<ChannelMsg>, EventSender),
    /// A link is one of the hub of this bus.
    Bus(Arc<Shared>),
}

/// What waits to be sent on a link.
#[derive(Debug)]
pub(super) enum Queue {
    Documents(Handle<ChannelMsg>),
    Bus(Arc<LinkBox>),
}

impl Queue {
    /// Messages and their bytes.
    pub(super) fn queued(&self) -> (usize, usize) {
        match self {
            Self::Documents(handle) => handle.queued(),
            Self::Bus(outbox) => outbox.queued(),
        }
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Documents(_) => None,
            Self::Bus(outbox) => outbox.round_trip(),
        }
    }

    /// What waits is sent, and the link ends.
    pub(super) fn finish(&self) {
        match self {
            Self::Documents(handle) => handle.close(),
            Self::Bus(outbox) => outbox.finish(),
        }
    }
}

impl Side {
    /// Whether the members of this machine can be told from those of the others.
    pub(super) fn may_link(&self, links: &LinkWatch) -> Result<(), SharedError> {
        match self {
            Self::Documents(..) => Ok(()),
            Self::Bus(shared) => {
                let links = links.status();
                let names = links.iter().map(|link| link.machine.as_str());
                shared.may_link(names).map_err(SharedError::new)
            }
        }
    }

    /// Runs a link until it ends.
    pub(super) async fn link<Io>(
        self,
        (host, number): (Host, u64),
        me: MachineName,
        machine: MachineName,
        role: Role,
        io: LinkIo<Io>,
    ) where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let end = io.end();
        let mut was_up = false;
        let mut up = |queue| {
            was_up = true;
            host.is_up(&machine, number, queue);
        };
        let (why, is_of_another_protocol) = match self {
            Self::Documents(hub, _) => match link(hub, me, machine.clone(), role, io, up).await {
                Ok(reason) => (reason.to_string(), false),
                Err(error) => (Chain(&error).to_string(), false),
            },
            Self::Bus(shared) => {
                let up = |outbox| up(Queue::Bus(outbox));
                match run(shared, machine.clone(), number, io, up).await {
                    Ok(end) => (end.to_string(), false),
                    Err(LinkFault::NotListening | LinkFault::Replaced) => return,
                    Err(fault) => (fault.to_string(), fault.lasts()),
                }
            }
        };
        // Of a link that another one has taken the place of, an event of the engine says so.
        let Some(reason) = end.reason(&why) else {
            return;
        };
        if was_up {
            host.is_down(&machine, number, reason);
        } else if is_of_another_protocol {
            host.is_unfit(&machine, Reason::Protocol(why));
        } else {
            host.is_unfit(&machine, Reason::EndedEarly(why));
        }
    }

    pub(super) fn report(&self, machine: String, change: LinkChange) {
        match self {
            Self::Documents(_, events) => events.send(Event::Link { machine, change }),
            Self::Bus(shared) => shared.events.send(BusEvent::Link { machine, change }),
        }
    }

    pub(super) fn failed(&self, error: SharedError) {
        match self {
            Self::Documents(_, events) => events.send(Event::MachinesFailed { error }),
            Self::Bus(shared) => shared.events.send(BusEvent::MachinesFailed { error }),
        }
    }
}
