//! One thing that happens to a bus: what is to be run under the lock, and what is done after it.
//!
//! In: events for the machines; what they bring about. Out: futures that are resolved, tasks that are woken,
//! connections that are closed, events, timers. May touch: all of these, after the lock is released.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard},
    task::Waker,
};

use futures_util::task::AtomicWaker;
use kyneta_uds_bus::{HubEvent, MemberEvent, MemberId};
use kyneta_uds_queue::Handle;
use tokio_util::sync::CancellationToken;

use super::{Present, Shared, core::Core};
#[cfg(feature = "machines")]
use crate::bus::links::LinkBox;
use crate::bus::{
    event::BusEvent,
    inbox::Delivery,
    outbox::{DownBox, Up, UpBox},
    refusal::NotAdmittedToBus,
    request::Answered,
    wire::{Body, Wire},
};

/// An event for one of the two machines.
#[derive(Debug)]
pub(super) enum Work {
    Hub(HubEvent<Body>),
    Member(MemberEvent<Body>),
}

/// What is run under the lock.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Shared,
    pub(super) work: VecDeque<Work>,
    /// The list of members has changed.
    pub(super) lists: bool,
    pub(super) after: After,
}

/// What is done after the lock is released: it may run code of a user's.
#[derive(Default)]
pub(super) struct After {
    /// Slots of the window that are free again.
    pub(super) slots: usize,
    /// So few bytes are kept that more may be sent. What is sent beyond the window has bytes and no slot.
    pub(super) has_room: bool,
    /// Of futures whose messages are resolved.
    pub(super) wakers: Vec<Waker>,
    pub(super) answered: Vec<Answered>,
    pub(super) cancelled: Vec<CancellationToken>,
    pub(super) up: Option<Arc<AtomicWaker>>,
    down: Option<Arc<DownBox>>,
    downs: Vec<Arc<DownBox>>,
    pub(super) closed: Vec<Handle<Wire>>,
    pub(super) awaited: Vec<(MemberId, u64)>,
    #[cfg(feature = "machines")]
    pub(super) links: std::collections::BTreeMap<kyneta_uds_bus::MachineId, Arc<LinkBox>>,
    pub(super) events: Vec<BusEvent>,
    pub(super) present: Option<Present>,
    pub(super) refused: Option<NotAdmittedToBus>,
    pub(super) welcomed: bool,
    pub(super) delivered: bool,
    pub(super) watch_stalls: bool,
}

impl After {
    /// A connection is to be woken: mostly the only one.
    pub(super) fn down(&mut self, outbox: &Arc<DownBox>) {
        match self.down {
            None => self.down = Some(outbox.clone()),
            Some(_) => self.downs.push(outbox.clone()),
        }
    }
}

impl Turn<'_> {
    pub(super) fn hub(&mut self, event: HubEvent<Body>) {
        self.work.push_back(Work::Hub(event));
    }

    pub(super) fn member(&mut self, event: MemberEvent<Body>) {
        self.work.push_back(Work::Member(event));
    }

    pub(super) fn up(&mut self, outbox: &mut UpBox, item: Up) {
        if outbox.push(item) {
            self.after.up = Some(outbox.waker().clone());
        }
    }

    pub(super) fn deliver(&mut self, delivery: Delivery) {
        self.shared.inbox.push(delivery);
        self.after.delivered = true;
    }

    /// A message was for this library. The task that delivers sees to its acknowledgement.
    pub(super) fn handled(&mut self) {
        self.after.delivered |= self.shared.inbox.owe_lazily() == 1;
    }
}

impl Shared {
    /// Takes the lock, runs the machines until they are still, and does the rest after it.
    pub(super) fn turn<T>(
        self: &Arc<Self>,
        begin: impl FnOnce(&mut Core, &mut Turn<'_>) -> T,
    ) -> T {
        self.turn_with(self.lock(), begin)
    }

    /// The same under a lock that was taken before.
    pub(super) fn turn_with<T>(
        self: &Arc<Self>,
        mut core: MutexGuard<'_, Core>,
        begin: impl FnOnce(&mut Core, &mut Turn<'_>) -> T,
    ) -> T {
        let mut turn = Turn {
            shared: self,
            work: std::mem::take(&mut core.work),
            lists: false,
            after: After::default(),
        };
        let begun = begin(&mut core, &mut turn);
        core.run(&mut turn);
        core.settle(&mut turn);
        core.work = std::mem::take(&mut turn.work);
        drop(core);
        self.carry_out(turn.after);
        begun
    }

    fn carry_out(self: &Arc<Self>, after: After) {
        // First: it is woken once for all that wait, whatever becomes of the rest.
        if let Some(waker) = after.up {
            waker.wake();
        }
        if after.slots > 0 {
            self.window.add_permits(after.slots);
        }
        if after.slots > 0 || after.has_room {
            self.room.notify_waiters();
        }
        after.wakers.into_iter().for_each(Waker::wake);
        after.answered.into_iter().for_each(Answered::tell);
        after.cancelled.iter().for_each(CancellationToken::cancel);
        let downs = after.down.iter().chain(&after.downs);
        downs.for_each(|outbox| outbox.wake());
        #[cfg(feature = "machines")]
        after.links.values().for_each(|outbox| outbox.wake());
        after.closed.iter().for_each(Handle::close);
        if let Some(present) = after.present {
            // Turns may come here in another order than they had the lock.
            self.present.send_if_modified(|last| {
                let is_newer = present.version > last.version;
                if is_newer {
                    *last = present;
                }
                is_newer
            });
        }
        for event in after.events {
            self.events.send(event);
        }
        if after.welcomed {
            self.refused.send_if_modified(|last| last.take().is_some());
        }
        if let Some(error) = after.refused {
            let is_new = self.refused.send_if_modified(|last| {
                let is_new = last.as_ref() != Some(&error);
                *last = Some(error.clone());
                is_new
            });
            if is_new {
                self.events.send(BusEvent::NotAdmitted { error });
            }
        }
        if after.delivered {
            self.inbox.wake();
        }
        for (member, number) in after.awaited {
            self.wait_for(member, number, self.settings.regroup);
        }
        if after.watch_stalls {
            self.watch_stalls();
        }
    }
}
