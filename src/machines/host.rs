//! The links of a listener: has each served, reports them, and shows their state.
//!
//! In: links. Out: events, a status. May touch: a task of tokio's for each link.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use kyneta_uds_core::{BoxError, SharedError, ignore_poison};
use kyneta_uds_machines::{DownReason, LinkEvent, LinkWatch, Links, MachineName, Reason, Refusal};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    failing::{Failing, LinksFailure, RETRY},
    side::{Queue, Side},
};

/// How a link has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkChange {
    /// It is up.
    Up,
    /// It is down, and why: what was on its way is lost, and asked anew with the next one.
    Down(DownReason),
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
    /// Why the one before it is down; `None` for the first one.
    pub last_down: Option<DownReason>,
    /// How long the other machine takes to answer, while the link is up. On a bus it is asked each second; with documents
    /// it is what the engine measures, where [`Links::round_trip`] says how.
    pub round_trip: Option<Duration>,
    /// How often it has come up.
    pub opened: u64,
    /// The messages that wait to be sent on it, and their bytes.
    pub queued: (usize, usize),
}

/// What is told of an engine that accepts no more.
#[derive(Debug, thiserror::Error)]
#[error("no other machine can open a link to this one any more, links that stand go on: {why}")]
struct AcceptsNoMore {
    why: String,
}

/// How long the links may take to write what waits when the role ends.
const END: Duration = Duration::from_millis(500);

/// The links of a listener. Cloneable.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    side: Side,
    present: Arc<Mutex<Present>>,
    failing: Arc<Mutex<Failing>>,
    /// No link comes any more.
    finished: CancellationToken,
}

/// What a status is made of.
#[derive(Debug, Default)]
struct Present {
    watch: Option<LinkWatch>,
    up: BTreeMap<MachineName, Up>,
    /// Why links to a machine do not become links of this role, and will not.
    faults: BTreeMap<MachineName, Reason>,
    /// Why the last link to a machine is down.
    downs: BTreeMap<MachineName, DownReason>,
}

/// A link that is up.
#[derive(Debug)]
struct Up {
    /// Of the links of a listener in the order in which the engine has given them.
    number: u64,
    queue: Queue,
}

impl Host {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            present: Arc::default(),
            failing: Arc::default(),
            finished: CancellationToken::new(),
        }
    }

    pub(crate) fn status(&self) -> Vec<LinkState> {
        let watch = self.present().watch.clone();
        let links = watch.as_ref().map(LinkWatch::status);
        let present = self.present();
        let state = |link: kyneta_uds_machines::LinkStatus| {
            let up = present.up.get(&link.machine);
            let fault = || present.faults.get(&link.machine).cloned();
            LinkState {
                queued: up.map_or((0, 0), |up| up.queue.queued()),
                up: up.is_some(),
                reason: link.reason.or_else(fault),
                last_down: present.downs.get(&link.machine).cloned(),
                round_trip: up.and_then(|up| up.queue.round_trip()).or(link.round_trip),
                opened: link.opened,
                machine: link.machine,
            }
        };
        links.into_iter().flatten().map(state).collect()
    }

    /// That they cannot be started, and why.
    pub(crate) fn failure(&self) -> Option<LinksFailure> {
        self.failing().failure(Instant::now())
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        ignore_poison(self.failing.lock())
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        ignore_poison(self.present.lock())
    }

    /// Frames pass over a link from now on. Of one that says so after the one that takes its place, nothing is told.
    pub(super) fn is_up(&self, machine: &MachineName, number: u64, queue: Queue) {
        let mut present = self.present();
        if present.up.get(machine).is_some_and(|up| up.number > number) {
            return;
        }
        present.faults.remove(machine);
        let before = present.up.insert(machine.clone(), Up { number, queue });
        drop((present, before));
        self.report(machine.to_string(), LinkChange::Up);
    }

    /// A link that was up has ended.
    pub(super) fn is_down(&self, machine: &MachineName, number: u64, reason: DownReason) {
        let is_this =
            |present: &Present| present.up.get(machine).map(|up| up.number) == Some(number);
        let mut present = self.present();
        let ended = is_this(&present).then(|| present.ended(machine, &reason));
        drop(present);
        if ended.is_some() {
            self.report(machine.to_string(), LinkChange::Down(reason));
        }
    }

    /// A link has not become one of this role.
    pub(super) fn is_unfit(&self, machine: &MachineName, reason: Reason) {
        let last = self
            .present()
            .faults
            .insert(machine.clone(), reason.clone());
        if last.as_ref() != Some(&reason) {
            self.report(machine.to_string(), LinkChange::Absent(reason));
        }
    }

    /// The engine has ended a link.
    fn ended(&self, machine: MachineName, reason: DownReason) {
        let ended = self.present().ended(&machine, &reason);
        if ended.is_some() {
            let change = match reason {
                DownReason::Replaced => LinkChange::Replaced,
                reason => LinkChange::Down(reason),
            };
            self.report(machine.to_string(), change);
        }
    }

    /// Until `stop`; then what waits is written, for a while, and the engine is closed. Dropping it ends the links.
    pub(super) async fn serve<Io>(&self, mut links: Links<Io>, stop: CancellationToken)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let watch = links.watch();
        if let Err(error) = self.side.may_link(&watch) {
            self.tell_failure(error);
            links.close().await;
            return stop.cancelled().await;
        }
        self.failing().end();
        self.present().watch = Some(watch);
        let me = links.name().clone();
        let (mut tasks, mut last) = (JoinSet::new(), 0);
        loop {
            let event = tokio::select! {
                event = links.next() => event,
                Some(_) = tasks.join_next() => continue,
                () = stop.cancelled() => None,
            };
            let Some(event) = event else {
                break;
            };
            match event {
                LinkEvent::Up { machine, role, io } => {
                    last += 1;
                    let (host, me) = ((self.clone(), last), me.clone());
                    tasks.spawn(self.side.clone().link(host, me, machine, role, io));
                }
                LinkEvent::Down { machine, reason } => self.ended(machine, reason),
                LinkEvent::Replaced { machine } => self.ended(machine, DownReason::Replaced),
                LinkEvent::Refused {
                    key,
                    machine,
                    refusal,
                    here,
                } => {
                    let machine = machine.map_or_else(|| key.to_string(), |of| of.to_string());
                    self.report(machine, LinkChange::Refused { refusal, here });
                }
                LinkEvent::Absent { machine, reason } => {
                    self.report(machine.to_string(), LinkChange::Absent(reason));
                }
                LinkEvent::AcceptsNoMore { why } => {
                    self.tell_failure(SharedError::new(AcceptsNoMore { why }));
                }
                _ => {}
            }
        }
        self.present().up.values().for_each(|up| up.queue.finish());
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout(END, all).await;
        tasks.shutdown().await;
        // The other machines see the end at once, and the next process can have the address.
        links.close().await;
        self.forget();
        if !stop.is_cancelled() {
            let pause = self.ended_early("the task of the engine's links has panicked".into());
            let _ = timeout(pause, stop.cancelled()).await;
        }
    }

    /// No links any more: the role is another one.
    pub(super) fn forget(&self) {
        let before = std::mem::take(&mut *self.present());
        drop(before);
    }

    /// The role is another one: it is not tried any more to start links.
    pub(super) fn stop_trying(&self) {
        self.failing().end();
    }

    /// There is no link any more, and will be none.
    pub(super) fn finish(&self) {
        self.forget();
        self.finished.cancel();
    }

    /// Ready when there is no link any more, and will be none.
    pub(crate) async fn finished(&self) {
        self.finished.cancelled().await;
    }

    fn report(&self, machine: String, change: LinkChange) {
        tracing::info!(%machine, ?change, "link");
        self.side.report(machine, change);
    }

    /// The links could not be started. After how long to try again.
    pub(super) fn failed(&self, error: SharedError) -> Duration {
        let (pause, is_news) = self.failing().failed(error.clone(), Instant::now());
        match is_news {
            true => self.tell_failure(error),
            false => tracing::debug!(%error, "the links to other machines could not be started"),
        }
        pause
    }

    /// The links have ended by themselves. After how long to start them again.
    pub(super) fn ended_early(&self, error: BoxError) -> Duration {
        self.tell_failure(SharedError::new(error));
        RETRY
    }

    fn tell_failure(&self, error: SharedError) {
        tracing::warn!(%error, "the links to other machines have failed");
        self.side.failed(error);
    }
}

impl Present {
    /// A link is down. The answer is what it was, if it was up.
    fn ended(&mut self, machine: &MachineName, reason: &DownReason) -> Option<Up> {
        let up = self.up.remove(machine)?;
        self.downs.insert(machine.clone(), reason.clone());
        Some(up)
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_hub::Hub;
    use kyneta_uds_queue::{QueueConfig, queue};
    use kyneta_uds_relay::{Switch, SwitchConfig};

    use super::*;
    use crate::event_sender::EventSender;

    /// The first words of a link and its end are of two tasks.
    #[tokio::test]
    async fn a_link_that_is_late_does_not_take_the_place_of_a_newer_one() {
        let hub = Hub::new(|| Box::new(Switch::new(SwitchConfig::default())));
        let host = Host::new(Side::Documents(hub, EventSender::new()));
        let oslo: MachineName = "oslo".parse().unwrap();
        let is_up = || host.present().up.contains_key(&oslo);
        let [late, newer] = [(); 2].map(|()| Queue::Documents(queue(QueueConfig::default()).0));
        host.is_up(&oslo, 2, newer);
        host.is_up(&oslo, 1, late);
        host.is_down(&oslo, 1, DownReason::Finished);
        assert!(is_up());
        host.is_down(&oslo, 2, DownReason::Finished);
        assert!(!is_up());
    }
}
