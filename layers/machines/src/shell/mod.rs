//! Runs the links over an engine.
//!
//! In: machines, a connector, an acceptor. Out: events, with the byte stream of each link. May touch: the engine, tasks
//! of tokio's, its clock, randomness.

mod event;
mod io;
mod open;
mod task;

use std::{fmt, sync::Arc, time::Duration};

use kyneta_uds_core::BoxError;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::{
    admission::{Admission, SameKey},
    engine::{Accept, Remote},
    link::Incarnation,
    name::{Machine, MachineKey, MachineName},
    settings::LinkSettings,
};

pub use event::{LinkEvent, LinkStatus, LinkWatch};
pub use io::{EndWatch, LinkIo};

use task::{Shell, Us};

/// How many events may wait. Then links wait, too.
const EVENTS: usize = 64;

/// How long an engine may take to close.
const CLOSE: Duration = Duration::from_secs(2);

/// The links of a machine, until it is [closed](Self::close) or dropped; see the [crate](crate).
pub struct Links<Io> {
    events: mpsc::Receiver<LinkEvent<Io>>,
    name: MachineName,
    board: LinkWatch,
    stop: CancellationToken,
    task: JoinHandle<()>,
    round_trip: Option<Box<LookAtRoundTrip<Io>>>,
}

/// Called with the stream of a link that comes up.
type LookAtRoundTrip<Io> = dyn Fn(&Io) -> RoundTrip + Send;

/// Called whenever the status is looked at, while the link is up.
type RoundTrip = Arc<dyn Fn() -> Option<Duration> + Send + Sync>;

impl<Io> Links<Io> {
    /// The next event. `None` when the runtime has ended its task.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<LinkEvent<Io>> {
        let event = self.events.recv().await?;
        if let (LinkEvent::Up { machine, io, .. }, Some(of)) = (&event, &self.round_trip) {
            self.board.measure(machine, of(io.get_ref()));
        }
        Some(event)
    }

    /// Has the [status](LinkStatus::round_trip) show what the engine measures. `of` is called with the stream of each link
    /// that comes up, and what it returns whenever the status is looked at: it must answer at once, and should not keep the
    /// stream alive.
    ///
    /// ```
    /// # use kyneta_uds_machines::{Links, MachineKey, memory};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (network, oslo) = (memory::Network::new(), MachineKey::from([1; 32]));
    /// let links = Links::builder("oslo".parse()?, oslo).start(network.dialer(oslo), network.listen(oslo))?;
    /// let links = links.round_trip(|_stream| || Some(Duration::ZERO)); // in memory
    /// # links.close().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn round_trip<F>(mut self, of: impl Fn(&Io) -> F + Send + 'static) -> Self
    where
        F: Fn() -> Option<Duration> + Send + Sync + 'static,
    {
        self.round_trip = Some(Box::new(move |io| Arc::new(of(io))));
        self
    }

    /// Ends all links, also those that were yielded, and [closes](Accept::close) the engine: the other machines see the end
    /// at once, and the address is free. What was written and shut down arrives. Takes two seconds at most.
    pub async fn close(mut self) {
        // Its task does not wait any more for events to be taken.
        self.events.close();
        self.stop.cancel();
        // An error is a panic of the engine's, or the end of the runtime.
        let _ = (&mut self.task).await;
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

    /// How long links wait before they are tried again. [`LinkSettings::default`] unless said otherwise.
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
        let stop = CancellationToken::new();
        let board = LinkWatch::new(self.machines.iter().map(|machine| machine.name.clone()));
        let shell = Shell::new(
            Arc::new(us),
            connector,
            self.machines,
            self.settings,
            to_user,
            board.clone(),
        );
        let task = tokio::spawn(shell.run(acceptor, stop.clone()));
        Ok(Links {
            events,
            name,
            board,
            stop,
            task,
            round_trip: None,
        })
    }
}

impl<Io> fmt::Debug for Links<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
