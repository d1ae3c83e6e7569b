//! The links of a listener: makes members of a hub of them, reports them, and shows their state.
//!
//! In: links. Out: members, events, a status. May touch: a task of tokio's for each link.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use kyneta_uds_core::{ChannelMsg, ignore_poison};
use kyneta_uds_hub::Hub;
use kyneta_uds_machines::{LinkEvent, LinkWatch, Links, MachineName, Reason, Refusal};
use kyneta_uds_queue::Handle;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use super::link::link;
use crate::{event::Event, event_sender::EventSender};

/// How a link has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkChange {
    /// It is up.
    Up,
    /// It is down: what was on its way is lost, and asked anew with the next one.
    Down,
    /// The other machine has opened a newer one, which takes its place.
    Replaced,
    /// A process has no link, because a machine refuses it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// True if this machine refuses.
        here: bool,
    },
    /// There is none, and why. Each reason once in a row.
    Absent(Reason),
}

/// A link at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkState {
    /// To which machine.
    pub machine: MachineName,
    /// True while it is up.
    pub up: bool,
    /// Why it is not, as far as that is known.
    pub reason: Option<Reason>,
    /// How long the other machine took to answer the dial: about one round trip. Absent where it dials.
    pub round_trip: Option<Duration>,
    /// How often it has come up.
    pub opened: u64,
    /// The messages that wait to be sent on it, and their bytes.
    pub queued: (usize, usize),
}

/// The links of a listener. Cloneable.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    hub: Hub<ChannelMsg>,
    events: EventSender,
    present: Arc<Mutex<Present>>,
}

/// What a status is made of.
#[derive(Debug, Default)]
struct Present {
    watch: Option<LinkWatch>,
    handles: BTreeMap<MachineName, Handle<ChannelMsg>>,
}

impl Host {
    pub(super) fn new(hub: Hub<ChannelMsg>, events: EventSender) -> Self {
        let present = Arc::default();
        Self {
            hub,
            events,
            present,
        }
    }

    pub(super) fn hub(&self) -> &Hub<ChannelMsg> {
        &self.hub
    }

    pub(super) fn events(&self) -> &EventSender {
        &self.events
    }

    pub(crate) fn status(&self) -> Vec<LinkState> {
        let present = self.present();
        let links = present.watch.as_ref().map(LinkWatch::status);
        let state = |link: kyneta_uds_machines::LinkStatus| LinkState {
            queued: present
                .handles
                .get(&link.machine)
                .filter(|_| link.up)
                .map_or((0, 0), Handle::queued),
            machine: link.machine,
            up: link.up,
            reason: link.reason,
            round_trip: link.opened_in,
            opened: link.opened,
        };
        links.into_iter().flatten().map(state).collect()
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        ignore_poison(self.present.lock())
    }

    pub(super) fn has_queue(&self, machine: MachineName, handle: Handle<ChannelMsg>) {
        self.present().handles.insert(machine, handle);
    }

    /// No links any more: the role is another one.
    pub(super) fn ended(&self) {
        *self.present() = Present::default();
    }

    /// Until the links end. Dropping it ends them.
    pub(super) async fn serve<Io>(&self, mut links: Links<Io>)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.present().watch = Some(links.watch());
        let me = links.name().clone();
        let mut tasks = JoinSet::new();
        loop {
            let event = tokio::select! {
                event = links.next() => event,
                Some(_) = tasks.join_next() => continue,
            };
            let Some(event) = event else {
                return;
            };
            let (machine, change) = match event {
                LinkEvent::Up { machine, role, io } => {
                    tasks.spawn(link(self.clone(), me.clone(), machine.clone(), role, io));
                    (machine, LinkChange::Up)
                }
                LinkEvent::Down { machine } => (machine, LinkChange::Down),
                LinkEvent::Replaced { machine } => (machine, LinkChange::Replaced),
                LinkEvent::Refused {
                    key,
                    machine,
                    refusal,
                    here,
                } => {
                    let change = LinkChange::Refused { refusal, here };
                    match machine {
                        Some(machine) => (machine, change),
                        None => {
                            self.report(key.to_string(), change);
                            continue;
                        }
                    }
                }
                LinkEvent::Absent { machine, reason } => (machine, LinkChange::Absent(reason)),
                _ => continue,
            };
            self.report(machine.to_string(), change);
        }
    }

    fn report(&self, machine: String, change: LinkChange) {
        tracing::info!(%machine, ?change, "link");
        self.events.send(Event::Link { machine, change });
    }
}
