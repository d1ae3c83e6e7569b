//! Links to other machines: while a peer listens, its relay has a member for each machine that is linked.
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
//! # What passes
//!
//! Documents whose mode is concurrent (loro, yjs), of which both machines have a member when their link comes up. What
//! came over a link goes to the members of this machine alone, so all machines must be linked with one another. The
//! handler of the peer does not see what comes over a link; a [local member](crate::Peer::local_member) does.
//!
//! Not yet: if the other machine has presented a document first, a member that presents it here later gets what is there,
//! and its own edits stay here until the link comes up anew. Documents with a serialized mode (JSON, one writer at a
//! time) do not pass: their changes need the version that they start from, which no frame carries.
//!
//! # Times
//!
//! A link whose queue stays full for a second is ended, so that it delays the members of this machine once; it comes
//! back, and all documents are asked anew. After a cut each side goes on by itself.

mod host;
mod link;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use kyneta_uds_core::{BoxError, ChannelMsg, SharedError};
use kyneta_uds_hub::Hub;
use kyneta_uds_negotiate::{Role, RoleWatch};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};

use crate::{event::Event, event_sender::EventSender};

pub(crate) use host::Host;
pub use host::{LinkChange, LinkState};
#[doc(no_inline)]
pub use kyneta_uds_machines::{
    Accept, Accepted, LinkEvent, LinkIo, LinkSettings, Links, LinksBuilder, Machine, MachineError,
    MachineKey, MachineName, Reason, Refusal, Remote, memory,
};

/// The pause before links that could not be started are started again.
const RETRY: Duration = Duration::from_secs(1);

/// What starts the links of a machine, for [`PeerBuilder::machines`](crate::PeerBuilder). See the [module](self).
#[derive(Clone)]
pub struct Machines {
    serve: Arc<Serve>,
}

type Serve = dyn Fn(Host) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

impl Machines {
    /// `start` is called each time that the peer begins to listen, and again after a second while it fails. Only then may
    /// a key file be opened and an address be bound: of the processes at a path one listens at a time.
    pub fn new<F, Io, E>(start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Links<Io>, E>> + Send + 'static,
        E: Into<BoxError> + Send,
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let serve = move |host: Host| -> BoxFuture<'static, _> {
            let starting = start();
            Box::pin(async move {
                let links = starting.await.map_err(Into::into)?;
                host.serve(links).await;
                Ok(())
            })
        };
        let serve = Arc::new(serve);
        Self { serve }
    }

    /// Runs links whenever the role is that of the listener, in a task of its own.
    pub(crate) fn start(self, hub: Hub<ChannelMsg>, events: EventSender, roles: RoleWatch) -> Host {
        let host = Host::new(hub, events);
        tokio::spawn(self.run(host.clone(), roles));
        host
    }

    async fn run(self, host: Host, roles: RoleWatch) {
        loop {
            let may_link = |role| matches!(role, Role::Listener | Role::Disposed);
            if roles.wait_for(may_link).await == Role::Disposed {
                return;
            }
            tokio::select! {
                _ = roles.wait_for(|role| role != Role::Listener) => {}
                served = (self.serve)(host.clone()) => {
                    if let Err(error) = served {
                        let error = SharedError::new(error);
                        tracing::warn!(%error, "the links to other machines could not be started");
                        host.events().send(Event::MachinesFailed { error });
                    }
                    sleep(RETRY).await;
                }
            }
            host.ended();
        }
    }
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").finish_non_exhaustive()
    }
}
