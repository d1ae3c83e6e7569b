//! What happens on a bus, and how often.
//!
//! In: events, from any thread. Out: the same to each reader, and counts. Touches nothing; a reader that is slow misses some.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kyneta_uds_core::SharedError;
use kyneta_uds_negotiate::Role;
use kyneta_uds_unix::DirectoryRisk;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::{event_log::log, info::MemberInfo, refusal::NotAdmittedToBus};
use crate::waiting::Waiting;

/// How many events a slow reader may be behind before it misses some.
const MAX_BEHIND: usize = 4096;

/// What happens on a bus. Those about other members come in one order with the messages: a message comes after its
/// sender's [`Joined`](Self::Joined).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BusEvent {
    /// The role from now on.
    Role(Role),
    /// A member is listed: what is accepted from now on is owed to it.
    Joined(Arc<MemberInfo>),
    /// A member is gone for good: it has left, has died, or was too slow. If it lives, it joins anew.
    Left(Arc<MemberInfo>),
    /// Messages of a member will not come, at most so many: this member was counted as left for a time, or keeps the
    /// newest ones.
    Missed {
        /// Whose.
        from: Arc<MemberInfo>,
        /// How many, at most.
        count: u64,
    },
    /// A message that is no `M`. If it was a request, its sender is told.
    NotUnderstood {
        /// Whose.
        from: Arc<MemberInfo>,
        /// Why.
        error: SharedError,
    },
    /// What a member has sent is none of the bus's: a payload, which is left out, or bytes that are no frame, which end its
    /// connection.
    Rejected {
        /// Why.
        error: SharedError,
    },
    /// The handler has failed or panicked at a message.
    HandlerFailed {
        /// Whose message.
        from: Arc<MemberInfo>,
        /// Why.
        error: SharedError,
    },
    /// The listener does not admit this member, or no more: mostly a newer process has its id. It is tried again, and the
    /// same reason is reported once.
    NotAdmitted {
        /// Why.
        error: NotAdmittedToBus,
    },
    /// As the listener: a process was not admitted, or a member of another machine is not taken.
    Refused {
        /// The id that it claims, cut at 256 characters; empty if it has claimed none.
        id: String,
        /// Why.
        error: NotAdmittedToBus,
    },
    /// As the listener: a member has acknowledged nothing for the stall limit, and is disconnected. If it is this one, it is
    /// off the bus until its handler goes on; then it joins again, as a newcomer.
    Stalled(Arc<MemberInfo>),
    /// As the listener: a member had more on the way to one other than any window allows, and is disconnected. Its process
    /// is not admitted again. See [`BusBuilder::window`](super::BusBuilder::window).
    BeyondWindow(Arc<MemberInfo>),
    /// The directory of the bound path lets other users replace the socket.
    UnsafeDirectory {
        /// Which users, and the remedy.
        risk: DirectoryRisk,
    },
    /// There has been no role for a second or more, or the listener does not welcome this member.
    Waiting(Waiting),
    /// An obstacle at the path does not go away by itself.
    InTheWay {
        /// What.
        error: SharedError,
    },
    /// A link to another machine has changed, or there is none and why.
    #[cfg(feature = "machines")]
    Link {
        /// What the machine is called here; its key if it is not named.
        machine: String,
        /// How.
        change: crate::machines::LinkChange,
    },
    /// The links to other machines could not be started, and why: each error once in a row. It is tried again every second;
    /// [`Bus::links_failure`](crate::Bus::links_failure) counts the attempts. Also when the engine ends or panics later.
    #[cfg(feature = "machines")]
    MachinesFailed {
        /// Why.
        error: SharedError,
    },
    /// This member, its connections and what it kept go on in this process. It is the last event but for the role.
    HandedOver {
        /// The successor.
        pid: u32,
    },
    /// This process goes on as the member of another one, which listened.
    TookOver {
        /// The former process.
        pid: u32,
        /// How many connections.
        connections: usize,
        /// How long they were frozen, at most.
        pause: Duration,
    },
    /// A handoff was asked for and did not take place: this process listens on.
    NotHandedOver {
        /// Why.
        error: SharedError,
    },
    /// There was nothing to be taken over: this process joins as a member of its own.
    NotTakenOver {
        /// Why.
        error: SharedError,
    },
    /// This reader was too slow and has missed this many events.
    MissedEvents(u64),
}

macro_rules! counts {
    ($($name:ident: $help:literal,)+) => {
        /// How often something has happened on a bus since this member's start.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[non_exhaustive]
        #[serde(default)]
        pub struct BusCounts {
            $(#[doc = concat!($help, ".")] pub $name: u64,)+
        }

        impl BusCounts {
            /// The metric's name, its help text and the value of each count.
            #[cfg(feature = "status")]
            pub(crate) fn metrics(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
                [$((concat!("kyneta_uds.bus.", stringify!($name)), $help, self.$name),)+].into_iter()
            }
        }

        #[derive(Debug, Default)]
        struct Counters {
            $($name: AtomicU64,)+
        }

        impl Counters {
            fn get(&self) -> BusCounts {
                BusCounts {
                    $($name: self.$name.load(Ordering::Relaxed),)+
                }
            }
        }
    };
}

counts! {
    joined: "Members that joined",
    left: "Members that left",
    received: "Messages that were handed to the handler",
    missed: "Messages that will not come",
    not_understood: "Messages that are of another type",
    rejected: "Payloads, and ends of connections, because of bytes that are none of the bus's",
    handler_failures: "Messages that the handler failed or panicked at",
    refused: "Processes that were not admitted",
    stalled: "Members that were disconnected because they acknowledged nothing",
    beyond_window: "Members that were disconnected because they sent more than any window allows",
}

/// The events, for any number of readers.
#[derive(Debug, Clone)]
pub(crate) struct BusEvents {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sender: broadcast::Sender<BusEvent>,
    counters: Counters,
}

impl BusEvents {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                sender: broadcast::Sender::new(MAX_BEHIND),
                counters: Counters::default(),
            }),
        }
    }

    pub(crate) fn send(&self, event: BusEvent) {
        let counters = &self.inner.counters;
        let (counter, by) = match &event {
            BusEvent::Joined(_) => (&counters.joined, 1),
            BusEvent::Left(_) => (&counters.left, 1),
            BusEvent::Missed { count, .. } => (&counters.missed, *count),
            BusEvent::NotUnderstood { .. } => (&counters.not_understood, 1),
            BusEvent::Rejected { .. } => (&counters.rejected, 1),
            BusEvent::HandlerFailed { .. } => (&counters.handler_failures, 1),
            BusEvent::Refused { .. } => (&counters.refused, 1),
            BusEvent::Stalled(_) => (&counters.stalled, 1),
            BusEvent::BeyondWindow(_) => (&counters.beyond_window, 1),
            _ => {
                let _ = self.inner.sender.send(event);
                return;
            }
        };
        let before = counter.fetch_add(by, Ordering::Relaxed);
        // How many were missed, another machine says.
        log(&event, before.saturating_add(by));
        // Without readers it is counted all the same.
        let _ = self.inner.sender.send(event);
    }

    /// A message is handed over. One task does that, so nothing is added in between.
    pub(crate) fn received(&self) {
        let received = &self.inner.counters.received;
        received.store(received.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> BusCounts {
        self.inner.counters.get()
    }

    pub(crate) fn subscribe(&self) -> BusEventReader {
        BusEventReader {
            receiver: self.inner.sender.subscribe(),
        }
    }
}

/// Reads the events of a bus from one time on.
#[derive(Debug)]
pub struct BusEventReader {
    receiver: broadcast::Receiver<BusEvent>,
}

impl BusEventReader {
    /// The next event; `None` after the last one.
    ///
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<BusEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(BusEvent::MissedEvents(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event that is there already.
    pub fn try_recv(&mut self) -> Option<BusEvent> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(count)) => {
                Some(BusEvent::MissedEvents(count))
            }
            Err(_) => None,
        }
    }
}
