//! Links to other machines, of a [`Peer`](crate::Peer) or a [`Bus`](crate::Bus) while it listens.
//!
//! The engine is of your choice: [`Machines::new`] takes what starts [`Links`], over any connector and acceptor of byte
//! streams with verified keys. `kyneta-uds-iroh` has one for networks; [`memory`] is one for tests:
//!
//! ```
//! use kyneta_uds::machines::{LinkChange, Links, Machine, MachineKey, Machines, memory::Network};
//! use kyneta_uds::{Event, Incoming, Peer};
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! let network = Network::new();
//! let (oslo, rome) = (MachineKey::from([1; 32]), MachineKey::from([2; 32]));
//! let machines = |name: &'static str, me, other: &'static str, other_key| {
//!     let network = network.clone();
//!     Machines::new(move || {
//!         let network = network.clone();
//!         async move {
//!             let other = Machine::new(other.parse()?, other_key, other_key);
//!             let builder = Links::builder(name.parse()?, me).machine(other);
//!             let links = builder.start(network.dialer(me), network.listen(me))?;
//!             Ok::<_, Box<dyn std::error::Error + Send + Sync>>(links)
//!         }
//!     })
//! };
//! let ignore = service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
//! let in_oslo = Peer::builder(dir.path().join("oslo.sock")).machines(machines("oslo", oslo, "rome", rome));
//! let in_rome = Peer::builder(dir.path().join("rome.sock")).machines(machines("rome", rome, "oslo", oslo));
//! let mut events = in_oslo.events();
//! let (in_oslo, _in_rome) = (in_oslo.join(ignore).await?, in_rome.join(ignore).await?);
//! loop {
//!     match events.recv().await {
//!         Some(Event::Link { machine, change: LinkChange::Up }) => break assert_eq!(machine, "rome"),
//!         Some(_) => {}
//!         None => panic!("no link"),
//!     }
//! }
//! assert!(in_oslo.links()[0].up);
//! # Ok(())
//! # }
//! ```
//!
//! # A bus
//!
//! `Bus::builder(path).machines(..)` takes the same: the members of all machines are on one bus, with the same
//! [promise](crate::guide::bus) within the [`regroup`](crate::bus::BusBuilder::regroup) time. A link is asked each second
//! for an answer: that is its [round trip](LinkState::round_trip). It ends when the other machine takes no byte for the
//! [`stall_limit`](crate::bus::BusBuilder::stall_limit); what was sent is kept by its senders, and sent again on the next.
//!
//! ```
//! use kyneta_uds::machines::{Links, Machine, MachineKey, Machines, memory::Network};
//! use kyneta_uds::{Bus, BusIncoming, Identity};
//! use tower::{Service as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! let network = Network::new();
//! let (oslo, rome) = (MachineKey::from([1; 32]), MachineKey::from([2; 32]));
//! let join = async |id, name: &'static str, me, other: &'static str, other_key| {
//!     let network = network.clone();
//!     let machines = Machines::new(move || {
//!         let network = network.clone();
//!         async move {
//!             let other = Machine::new(other.parse()?, other_key, other_key);
//!             let builder = Links::builder(name.parse()?, me).machine(other);
//!             let links = builder.start(network.dialer(me), network.listen(me))?;
//!             Ok::<_, Box<dyn std::error::Error + Send + Sync>>(links)
//!         }
//!     });
//!     let print = service_fn(async |incoming: BusIncoming<String>| {
//!         println!("{}: {}", incoming.from, incoming.message);
//!         Ok::<_, std::convert::Infallible>(())
//!     });
//!     let builder = Bus::<String>::builder(dir.path().join(format!("{name}.sock"))).identity(Identity::service(id)?);
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(builder.machines(machines).join(print).await?)
//! };
//! let mut till = join("till", "oslo", oslo, "rome", rome).await?;
//! let _stock = join("stock", "rome", rome, "oslo", oslo).await?;
//! let mut members = till.watch_members();
//! while till.member("stock@rome").is_err() {
//!     members.changed().await;
//! }
//! let delivered = till.ready().await?.call("sold".to_owned()).await?;
//! assert!(delivered.missed.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Documents
//!
//! While a peer listens, its relay has a member for each machine that is linked. What came over a
//! link goes to the members of this machine alone, so all machines must be linked with one another. The handler of the peer does not
//! see what comes over a link; a [local member](crate::Peer::local_member) does.
//!
//! Documents of all modes pass, whichever machine presents them first. An offer of a document with one writer at a time
//! carries, on a link alone, the version that it starts from.
//!
//! A link of documents whose queue stays full for a second is ended, so that it delays the members of this machine once;
//! it comes back, and all documents are asked anew. After a cut each side goes on by itself.
//!
//! # Why there is no link
//!
//! Each end of a link has a [`DownReason`], and each absence a [`Reason`], as an event and in [`LinkState`]. Links that
//! cannot be started are a [`LinksFailure`].
//!
//! ```
//! use kyneta_uds::{Event, Peer, machines::{DownReason, LinkChange}};
//!
//! fn look(event: &Event) {
//!     match event {
//!         Event::Link { machine, change: LinkChange::Down(DownReason::IdleTimeout(_)) } => {
//!             println!("{machine} is gone, or cut off");
//!         }
//!         Event::Link { machine, change: LinkChange::Down(reason) } => println!("{machine}: {reason}"),
//!         Event::Link { machine, change: LinkChange::Absent(reason) } => println!("{machine}: {reason}"),
//!         _ => {}
//!     }
//! }
//!
//! fn links(peer: &Peer) {
//!     for link in peer.links().iter().filter(|link| !link.up) {
//!         println!("{}: {:?}, before {:?}", link.machine, link.reason, link.last_down);
//!     }
//!     if let Some(failure) = peer.links_failure() {
//!         println!("no links after {} attempts in {:?}: {}", failure.attempts, failure.elapsed, failure.error);
//!     }
//! }
//! ```

mod failing;
mod host;
mod link;
mod side;

use std::{fmt, future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use kyneta_uds_core::{BoxError, SharedError, panicked};
use kyneta_uds_negotiate::{Role, RoleWatch};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{host::Host, side::Side};
pub use failing::LinksFailure;
pub use host::{LinkChange, LinkState};
#[doc(no_inline)]
pub use kyneta_uds_machines::{
    Accept, Accepted, DownReason, EndWatch, LinkEvent, LinkIo, LinkSettings, Links, LinksBuilder,
    Machine, MachineError, MachineKey, MachineName, Reason, Refusal, Remote, memory,
};

/// What starts the links of a machine, for [`PeerBuilder::machines`](crate::roles::PeerBuilder::machines) and
/// [`BusBuilder::machines`](crate::bus::BusBuilder::machines). See the [module](self).
#[derive(Clone)]
pub struct Machines {
    serve: Arc<Serve>,
}

type Serve =
    dyn Fn(Host, CancellationToken) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

impl Machines {
    /// `start` is called each time that the peer begins to listen, and again while it fails: each 20 ms for a second, in
    /// which a predecessor may still hold the address, then each second, with a report of each error once in a row. Only
    /// then may a key file be opened and an address be bound: of the processes at a path one listens at a time. A panic of it,
    /// or of the engine, is told as an error, and it is tried again.
    pub fn new<F, Io, E>(start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Links<Io>, E>> + Send + 'static,
        E: Into<BoxError> + Send,
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let start = Arc::new(start);
        let serve = move |host: Host, stop: CancellationToken| -> BoxFuture<'static, _> {
            let start = start.clone();
            Box::pin(async move {
                // A panic of the code that starts links is a user's.
                let starting = AssertUnwindSafe(async { start().await }).catch_unwind();
                let links = tokio::select! {
                    links = starting => links
                        .map_err(|panic| panicked("it", &*panic))?
                        .map_err(Into::into)?,
                    () = stop.cancelled() => return Ok(()),
                };
                host.serve(links, stop).await;
                Ok(())
            })
        };
        let serve = Arc::new(serve);
        Self { serve }
    }

    /// Runs links whenever the role is that of the listener, in a task of its own.
    pub(crate) fn start(self, side: Side, roles: RoleWatch) -> Host {
        let host = Host::new(side);
        tokio::spawn(self.run(host.clone(), roles));
        host
    }

    async fn run(self, host: Host, roles: RoleWatch) {
        loop {
            if roles.role() != Role::Listener {
                host.stop_trying();
            }
            let may_link = |role| matches!(role, Role::Listener | Role::Disposed);
            if roles.wait_for(may_link).await == Role::Disposed {
                return host.finish();
            }
            let stop = CancellationToken::new();
            let served = AssertUnwindSafe((self.serve)(host.clone(), stop.clone())).catch_unwind();
            tokio::pin!(served);
            let served = tokio::select! {
                _ = roles.wait_for(|role| role != Role::Listener) => {
                    stop.cancel();
                    served.await
                }
                served = &mut served => served,
            };
            host.forget();
            let pause = match served {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => host.failed(SharedError::new(error)),
                Err(panic) => host.ended_early(panicked("it", &*panic).into()),
            };
            // A role that has ended is not waited for.
            let ended = roles.wait_for(|role| role == Role::Disposed);
            let _ = timeout(pause, ended).await;
        }
    }
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").finish_non_exhaustive()
    }
}
