//! Connections that look on at a listener of the kyneta protocol: they are no peers.
//!
//! In: such connections, the messages that pass. Out: reports in their queues. May touch: a lock of its own, a task of
//! tokio's for each. A connection that reads too slowly misses messages; none waits for it.

pub(crate) mod report;

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use futures_util::FutureExt as _;
use kyneta_uds_core::{Channel, ChannelMsg, DocEntry, Observe, PeerId, ignore_poison};
use kyneta_uds_handshake::Established;
use kyneta_uds_hub::Hub;
use kyneta_uds_queue::{Handle, QueueConfig, queue};
use tower::service_fn;

use crate::bus::{Introduction, Kind, WirePassed};

/// How many messages may wait for an observer. Beyond it messages are missed.
const MAX_OBSERVED: usize = 1024;

/// How many documents of a member are told together.
const TOGETHER: usize = 512;

/// At most so many connections look on at the messages; one more is told nothing, and ends.
pub(crate) const MAX_OBSERVERS: usize = 16;

/// The observers of one role.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observers {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// There is an observer of messages. Only the check of the hot path.
    are_watching: AtomicBool,
    own_id: OnceLock<PeerId>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    observers: Vec<Observer>,
}

#[derive(Debug)]
struct Observer {
    number: u64,
    handle: Handle<ChannelMsg>,
    /// How many messages have passed since it looks on.
    passed: u64,
    /// How many of these it was not shown since the last one.
    missed: u64,
}

impl Observers {
    /// True when a message that passes is to be [shown](Self::show).
    #[inline]
    pub(crate) fn are_watching(&self) -> bool {
        self.inner.are_watching.load(Ordering::Relaxed)
    }

    /// Called once, before the first connection.
    pub(crate) fn of(&self, own_id: PeerId) {
        let _ = self.inner.own_id.set(own_id);
    }

    /// The id of this side.
    pub(crate) fn own_id(&self) -> Option<&PeerId> {
        self.inner.own_id.get()
    }

    /// Shows a message to all observers.
    #[cold]
    pub(crate) fn show(&self, from: &PeerId, to: &PeerId, msg: &ChannelMsg) {
        let Some(data) = report::payload(msg) else {
            return;
        };
        let mut state = self.inner.lock();
        for observer in &mut state.observers {
            observer.passed += 1;
            let report = report::passed(WirePassed {
                from: from.as_str().to_owned(),
                to: vec![to.as_str().to_owned()],
                n: observer.passed,
                missed: observer.missed,
                kind: Kind::Plain,
                data: data.clone(),
            });
            let is_shown = report.is_some_and(|report| observer.handle.try_queue(report).is_ok());
            observer.missed = if is_shown { 0 } else { observer.missed + 1 };
        }
    }

    /// Serves a connection that looks on, in a task of its own, and then drops `held`. `members` is what it is told
    /// first; `hub` knows the documents that it may want to be told, where they are passed on.
    pub(crate) fn serve<C>(
        &self,
        channel: Established<C>,
        what: Observe,
        members: Vec<Introduction>,
        hub: Option<&Hub<ChannelMsg>>,
        held: impl Send + 'static,
    ) where
        C: Channel<ChannelMsg, In = ChannelMsg, Future: Send> + Send + 'static,
    {
        let (mut handle, driver) = queue(QueueConfig::default().max_messages(MAX_OBSERVED));
        // It is the first message: there is room.
        if let Some(report) = report::members(members) {
            let _ = handle.try_queue(report);
        }
        let observer = match what {
            Observe::Members | Observe::Documents => None,
            Observe::Messages => match self.enter(&handle) {
                None => return,
                entered => entered,
            },
        };
        match hub.filter(|_| what == Observe::Documents) {
            Some(hub) => {
                let own_id = self.own_id().cloned();
                tokio::spawn(tell_holdings(hub.clone(), own_id, handle.clone()));
            }
            None if observer.is_none() => handle.close(),
            None => {}
        }
        // What it says is of no interest: it is no peer.
        let ignore =
            service_fn(|_: ChannelMsg| std::future::ready(Ok::<_, std::convert::Infallible>(())));
        let served = driver.drive(channel, ignore);
        tokio::spawn(served.map(move |_| drop((observer, handle, held))));
    }

    /// The listener ends: all connections that look on end, too.
    pub(crate) fn end(&self) {
        let observers = std::mem::take(&mut self.inner.lock().observers);
        self.inner.are_watching.store(false, Ordering::Relaxed);
        observers.iter().for_each(|of| of.handle.close());
    }

    fn enter(&self, handle: &Handle<ChannelMsg>) -> Option<Entry> {
        let mut state = self.inner.lock();
        if state.observers.len() >= MAX_OBSERVERS {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.observers.push(Observer {
            number,
            handle: handle.clone(),
            passed: 0,
            missed: 0,
        });
        self.inner.are_watching.store(true, Ordering::Relaxed);
        drop(state);
        Some(Entry {
            observers: self.clone(),
            number,
        })
    }
}

/// Tells what each member holds, as if it presented that now, and ends.
async fn tell_holdings(
    hub: Hub<ChannelMsg>,
    own_id: Option<PeerId>,
    mut handle: Handle<ChannelMsg>,
) {
    let holdings = hub.look(|router| router.holdings()).await;
    let mut passed = 0;
    for of in holdings.unwrap_or_default() {
        for entries in of.entries.chunks(TOGETHER) {
            let present = entries.iter().map(|entry| DocEntry::clone(entry)).collect();
            let Some(data) = report::payload(&ChannelMsg::Present(present)) else {
                continue;
            };
            passed += 1;
            let report = report::passed(WirePassed {
                from: of.holder.as_str().to_owned(),
                to: own_id.iter().map(|id| id.as_str().to_owned()).collect(),
                n: passed,
                missed: 0,
                kind: Kind::Plain,
                data,
            });
            if let Some(report) = report
                && handle.queue(report).await.is_err()
            {
                return;
            }
        }
    }
    handle.close();
}

/// An observer, until it is dropped.
struct Entry {
    observers: Observers,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let inner = &self.observers.inner;
        let mut state = inner.lock();
        let gone = state
            .observers
            .iter()
            .position(|of| of.number == self.number);
        let gone = gone.map(|at| state.observers.swap_remove(at));
        inner
            .are_watching
            .store(!state.observers.is_empty(), Ordering::Relaxed);
        drop(state);
        drop(gone);
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}
