//! Runs the links over an engine.
//!
//! In: machines, a connector, an acceptor. Out: events, with the byte stream of each link. May touch: the engine, tasks
//! of tokio's, its clock, randomness.

mod event;
mod io;
mod open;
mod task;

use std::sync::Arc;

use kyneta_uds_core::BoxError;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
};
use tower_service::Service;

use crate::{
    admission::{Admission, SameKey},
    engine::{Accept, Remote},
    link::Incarnation,
    name::{Machine, MachineKey, MachineName},
    settings::LinkSettings,
};

pub use event::{LinkEvent, LinkStatus, LinkWatch};
pub use io::LinkIo;

use task::{Shell, Us};

/// How many events may wait. Then links wait, too.
const EVENTS: usize = 64;

/// The links of a machine, until it is dropped; see the [crate](crate).
#[derive(Debug)]
pub struct Links<Io> {
    events: mpsc::Receiver<LinkEvent<Io>>,
    name: MachineName,
    board: LinkWatch,
    task: JoinHandle<()>,
}

impl<Io> Links<Io> {
    /// The next event. `None` when the runtime has ended its task.
    pub async fn next(&mut self) -> Option<LinkEvent<Io>> {
        self.events.recv().await
    }

    /// The name of this machine.
    pub fn name(&self) -> &MachineName {
        &self.name
    }

    /// The status, seen from elsewhere.
    pub fn watch(&self) -> LinkWatch {
        self.board.clone()
    }

    /// Each machine that is named, in the order of names, and whether its link is up.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.board.status()
    }
}

impl Links<()> {
    /// A machine with this name and key. The engine must have the same key.
    pub fn builder<A>(name: MachineName, key: MachineKey) -> LinksBuilder<A> {
        LinksBuilder {
            name,
            key,
            machines: Vec::new(),
            settings: LinkSettings::default(),
        }
    }
}

impl<Io> Drop for Links<Io> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The settings of [`Links`].
#[derive(Debug, Clone)]
pub struct LinksBuilder<A> {
    name: MachineName,
    key: MachineKey,
    machines: Vec<Machine<A>>,
    settings: LinkSettings,
}

impl<A: Clone + Send + 'static> LinksBuilder<A> {
    /// Another machine. It must name this one, too.
    pub fn machine(mut self, machine: Machine<A>) -> Self {
        self.machines.push(machine);
        self
    }

    /// How long links wait before they are tried again.
    pub fn settings(mut self, settings: LinkSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Dials and accepts from now on, in a task of its own. `connector` is a tower service of [`Remote`]; a stack of
    /// layers over an engine's is one, too.
    ///
    /// It must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`SameKey`]: two machines cannot be told apart.
    pub fn start<C, L>(self, connector: C, acceptor: L) -> Result<Links<C::Response>, SameKey>
    where
        C: Service<Remote<A>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        C::Response: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        L: Accept<Io = C::Response>,
    {
        let mut admission = Admission::new(self.key);
        for machine in &self.machines {
            admission.add(machine.key, machine.name.clone())?;
        }
        let name = self.name.clone();
        let us = Us {
            name: self.name,
            me: Incarnation(fastrand::u64(1..)),
            admission,
            open_timeout: self.settings.open_timeout,
        };
        let (to_user, events) = mpsc::channel(EVENTS);
        let board = LinkWatch::new(self.machines.iter().map(|machine| machine.name.clone()));
        let shell = Shell::new(
            Arc::new(us),
            connector,
            self.machines,
            self.settings,
            to_user,
            board.clone(),
        );
        let task = tokio::spawn(shell.run(acceptor));
        Ok(Links {
            events,
            name,
            board,
            task,
        })
    }
}
