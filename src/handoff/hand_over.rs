//! The predecessor: what is frozen is handed over, or thawed if this process serves on.
//!
//! In: a successor that asks, and what is to be frozen. Out: whether it has taken over. May touch: a blocking thread.

use std::{
    future::ready,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use kyneta_uds_core::{Bytes, Saved, SavedBytes};
use kyneta_uds_handoff::{Asking, Frozen, HandOver, Outcome, Refusal};
use kyneta_uds_negotiate::{Held, RoleWatch};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use super::{HandoffPolicy, LISTENER, Offering, VERSION};

/// What a process freezes and hands over beside its listener.
pub(crate) trait Freeze {
    /// How many connections there are.
    fn connection_count(&self) -> usize;

    /// Puts idle connections aside, which are served on, before the freeze.
    fn put_aside(&self, within: Duration) -> impl Future<Output = ()> + Send {
        let _ = within;
        ready(())
    }

    /// Bytes of at most so many connections, which are written on: for the successor, before the freeze.
    fn ahead(
        &self,
        at_most: usize,
        within: Duration,
    ) -> impl Future<Output = Vec<Vec<Bytes>>> + Send {
        let _ = (at_most, within);
        ready(Vec::new())
    }

    /// From now on nothing is read or written. [`thaw`](Self::thaw) is called also if it fails.
    fn freeze(&self, policy: HandoffPolicy) -> impl Future<Output = Result<State, Refusal>> + Send;

    /// Goes on, whether it is frozen or not.
    fn thaw(&self);
}

/// What is handed over of what is frozen.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) connections: Vec<(OwnedFd, SavedBytes)>,
    /// Of the process, by name.
    pub(crate) parts: Vec<(&'static str, Saved)>,
}

/// What is shared while this process serves on.
pub(crate) struct Handover {
    shared: Vec<OwnedFd>,
    process: Saved,
    policy: HandoffPolicy,
}

/// The blocking thread of a handoff, which asks this one to freeze and to thaw.
struct Thread {
    handover: Handover,
    connections: usize,
    asks: mpsc::Sender<Ask>,
}

enum Ask {
    PutAside(Duration, oneshot::Sender<()>),
    Ahead(usize, Duration, oneshot::Sender<Vec<Vec<Bytes>>>),
    Freeze(oneshot::Sender<Result<State, Refusal>>),
    Thaw,
}

impl Handover {
    /// Of a listener that accepts nothing now, by what its `hand_over` has given.
    pub(crate) fn new(
        offering: &Offering,
        (mut shared, listener): (Vec<OwnedFd>, Saved),
    ) -> io::Result<Self> {
        shared.push(offering.offer().as_fd().try_clone_to_owned()?);
        Ok(Self {
            shared,
            process: Saved::new(VERSION, 1).with(LISTENER, listener),
            policy: offering.policy,
        })
    }

    /// Of a role that listens. It accepts nothing until what holds it is dropped.
    pub(crate) async fn hold(
        roles: &RoleWatch,
        offering: &Offering,
    ) -> Result<(Held, Self), Refusal> {
        let unusable = |error: io::Error| Refusal::Other(error.to_string());
        let held = roles.hold(offering.policy.handlers).await;
        let mut held = held.map_err(unusable)?;
        let listener = held.listener().ok_or(Refusal::Unexpected("shared"))?;
        let handover = Self::new(offering, listener).map_err(unusable)?;
        Ok((held, handover))
    }

    /// The process that has taken over; or why this one serves on.
    pub(crate) async fn run(self, asking: Asking, what: &impl Freeze) -> Result<u32, Refusal> {
        let policy = self.policy;
        let (asks, mut asked) = mpsc::channel(1);
        let mut thread = Thread {
            handover: self,
            connections: what.connection_count(),
            asks,
        };
        let mut task = spawn_blocking(move || asking.hand_over(&mut thread, policy.limits));
        loop {
            tokio::select! {
                biased;
                Some(ask) = asked.recv() => match ask {
                    // The thread may have gone: then it thaws, too.
                    Ask::Freeze(reply) => drop(reply.send(what.freeze(policy).await)),
                    Ask::Thaw => what.thaw(),
                    Ask::PutAside(within, reply) => {
                        what.put_aside(within).await;
                        let _ = reply.send(()); // the thread may have gone
                    }
                    Ask::Ahead(at_most, within, reply) => {
                        drop(reply.send(what.ahead(at_most, within).await));
                    }
                },
                outcome = &mut task => return match outcome {
                    Ok(Outcome::Left { pid, .. }) => Ok(pid),
                    Ok(Outcome::Stayed { why, .. }) => Err(why),
                    other => {
                        what.thaw();
                        Err(Refusal::Other(format!("the handoff has failed: {other:?}")))
                    }
                },
            }
        }
    }
}

impl HandOver for Thread {
    fn shared(&mut self) -> Vec<BorrowedFd<'_>> {
        let shared = &self.handover.shared;
        shared.iter().map(|descriptor| descriptor.as_fd()).collect()
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn prepare(&mut self, within: Duration) {
        let (reply, is_done) = oneshot::channel();
        let asked = self.asks.blocking_send(Ask::PutAside(within, reply));
        // A role that has ended freezes nothing, either.
        let _ = asked.map(|()| is_done.blocking_recv());
    }

    fn ahead(&mut self, at_most: usize, within: Duration) -> Vec<Vec<Bytes>> {
        let (reply, ahead) = oneshot::channel();
        let asked = self.asks.blocking_send(Ask::Ahead(at_most, within, reply));
        // A role that has ended freezes nothing, either.
        let ahead = asked.ok().and_then(|()| ahead.blocking_recv().ok());
        ahead.unwrap_or_default()
    }

    fn freeze(&mut self) -> Result<Frozen, Refusal> {
        let gone = || Refusal::Other("the process that listens has ended".to_owned());
        let (reply, frozen) = oneshot::channel();
        let asked = self.asks.blocking_send(Ask::Freeze(reply));
        asked.map_err(|_| gone())?;
        let State { connections, parts } = frozen.blocking_recv().map_err(|_| gone())??;
        let process = self.handover.process.clone();
        let with_part =
            |process: Saved, (name, part): (&'static str, Saved)| process.with(name, part);
        Ok(Frozen {
            process: parts.into_iter().fold(process, with_part),
            connections,
        })
    }

    fn thaw(&mut self, frozen: Option<Frozen>) {
        drop(frozen);
        // One that has ended has nothing to thaw.
        let _ = self.asks.blocking_send(Ask::Thaw);
    }
}
