//! Whether and how a listener passes messages between its members.
//!
//! In: a choice of the user's. Out: a hub for each role that listens. Touches nothing.

use std::{fmt, sync::Arc};

use kyneta_uds_core::ChannelMsg;
#[cfg(target_os = "linux")]
use kyneta_uds_core::{Saved, SavedError};
use kyneta_uds_handshake::PeerInfo;
use kyneta_uds_hub::{Hub, Rates};
#[cfg(target_os = "linux")]
use kyneta_uds_relay::{Effect, MemberKey};
use kyneta_uds_relay::{MemberFacts, Router, Switch, SwitchConfig};

use crate::event_sender::EventSender;

/// What a listener does with the messages of its members, beside its handler. By default it passes documents between
/// them ([`Switch`]), although it holds none; with `false` nothing.
///
/// ```
/// use kyneta_uds::{Access, Gate, Relay, Server, SwitchConfig};
///
/// let star = Server::builder("/run/app/bus.sock").relay(false);
///
/// let gate = Gate::everything().and(|member, doc| match member.peer_id() {
///     Some("dashboard") => Access::Read,
///     _ if doc.as_str().starts_with("audit/") => Access::None,
///     _ => Access::Write,
/// });
/// let gated = Server::builder("/run/app/bus.sock").relay(SwitchConfig::default().gate(gate));
/// ```
#[derive(Clone)]
pub struct Relay {
    make_router: Option<Arc<MakeRouter>>,
    rates: Rates,
}

/// The names of the parts of a hub's state.
#[cfg(target_os = "linux")]
pub(crate) const ROUTER: &str = "router";
#[cfg(target_os = "linux")]
pub(crate) const LAST_KEY: &str = "last-key";

/// A router that knows members of another process.
#[cfg(target_os = "linux")]
pub(crate) struct ResumedRouter {
    pub(crate) router: Box<dyn Router<ChannelMsg>>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) last_key: MemberKey,
}

type MakeRouter = dyn Fn() -> Box<dyn Router<ChannelMsg>> + Send + Sync;

impl Relay {
    /// No message is passed between members.
    pub fn off() -> Self {
        Self {
            make_router: None,
            rates: Rates::default(),
        }
    }

    /// Documents are passed between members, within these bounds.
    pub fn documents(config: SwitchConfig) -> Self {
        Self::router(move || Switch::new(config.clone()))
    }

    /// A router of your own decides which member gets which message. `make` is called for each listener.
    pub fn router<R: Router<ChannelMsg>>(make: impl Fn() -> R + Send + Sync + 'static) -> Self {
        Self {
            make_router: Some(Arc::new(move || Box::new(make()))),
            ..Self::off()
        }
    }

    /// How many interests, presents and messages that are refused a member may send. [`Rates::default`] by default.
    pub fn rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// A router that goes on where another one was, if messages are to be passed on.
    #[cfg(target_os = "linux")]
    pub(crate) fn resume(
        &self,
        saved: &Saved,
        members: Vec<(MemberKey, MemberFacts)>,
    ) -> Result<Option<ResumedRouter>, SavedError> {
        let Some(make_router) = &self.make_router else {
            return Ok(None);
        };
        saved.check("the hub", 1..=1)?;
        let (mut router, mut effects) = (make_router(), Vec::new());
        router.resume(saved.part(ROUTER)?, members, &mut effects)?;
        Ok(Some(ResumedRouter {
            router,
            effects,
            last_key: MemberKey(saved.number(LAST_KEY)?),
        }))
    }

    /// A hub, if messages are to be passed on.
    pub(crate) fn hub(&self, events: &EventSender) -> Option<Hub<ChannelMsg>> {
        let make_router = self.make_router.clone()?;
        let events = events.downgrade();
        let report = move |event: &_| events.hub(event);
        Some(Hub::with(move || make_router(), self.rates, report))
    }
}

impl Default for Relay {
    /// [`documents`](Self::documents), within the bounds of [`SwitchConfig::default`].
    fn default() -> Self {
        Self::documents(SwitchConfig::default())
    }
}

impl From<bool> for Relay {
    fn from(on: bool) -> Self {
        match on {
            true => Self::default(),
            false => Self::off(),
        }
    }
}

impl From<SwitchConfig> for Relay {
    fn from(config: SwitchConfig) -> Self {
        Self::documents(config)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("on", &self.make_router.is_some())
            .field("rates", &self.rates)
            .finish()
    }
}

/// What a router knows of a connected peer.
pub(crate) fn facts(peer: &PeerInfo) -> MemberFacts {
    let facts = MemberFacts::local(peer.wire()).identity(peer.identity().clone());
    match peer.credentials() {
        Some(credentials) => facts.credentials(credentials),
        None => facts,
    }
}
