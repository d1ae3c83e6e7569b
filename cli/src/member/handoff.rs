//! `--take-over` and `--offer-handoff`: a restart that no peer sees.
//!
//! In: the options, a builder of a role. Out: the role, taken over or begun anew. May touch: what the role touches.

use std::convert::Infallible;

use clap::Args;
use kyneta_uds::{
    Bus, DefaultStack, Handler, JoinError, Peer, Server,
    bus::{BusBuilder, BusIncoming, BusJoinError},
    roles::{Binds, Builder, PeerBuilder, ServerBuilder},
};
use serde_json::Value;
use tower::Service;

use crate::failure::Failure;

/// The options of a process that may be replaced, or that replaces another one.
#[derive(Debug, Args)]
pub(crate) struct HandoffArgs {
    /// Let another process of this user take over, with all connections
    #[arg(long)]
    offer_handoff: bool,

    /// Take over from the process that listens at the path, if one does, with all its connections; implies
    /// --offer-handoff
    #[arg(long)]
    take_over: bool,
}

impl HandoffArgs {
    /// True if it may hand over.
    pub(super) const fn offers(&self) -> bool {
        self.offer_handoff || self.take_over
    }

    pub(crate) const fn takes_over(&self) -> bool {
        self.take_over
    }

    /// With the offer, if it is to be made.
    pub(super) fn offering<R: Binds>(
        &self,
        builder: Builder<R, DefaultStack>,
    ) -> Builder<R, DefaultStack> {
        match self.offer_handoff {
            true => builder.offer_handoff(Default::default()),
            false => builder,
        }
    }

    /// Takes over, or binds.
    pub(super) async fn listen(
        &self,
        builder: ServerBuilder,
        handler: impl Handler + Clone,
    ) -> Result<Server, Failure> {
        if self.take_over {
            return Ok(builder.take_over().listen(handler).await?);
        }
        Ok(self.offering(builder).listen(handler).await?)
    }

    /// Takes over, or joins.
    pub(super) async fn join(
        &self,
        builder: PeerBuilder,
        handler: impl Handler + Clone,
    ) -> Result<Peer, JoinError> {
        if self.take_over {
            return builder.take_over().join_lazy(handler).await;
        }
        self.offering(builder).join_lazy(handler).await
    }

    /// Takes over, or joins a bus.
    pub(crate) async fn join_bus<H>(
        &self,
        builder: BusBuilder<Value>,
        handler: H,
    ) -> Result<Bus<Value>, BusJoinError>
    where
        H: Service<BusIncoming<Value>, Response = (), Error = Infallible, Future: Send>
            + Send
            + 'static,
    {
        if self.take_over {
            return builder.take_over().join_lazy(handler).await;
        }
        let builder = match self.offer_handoff {
            true => builder.offer_handoff(Default::default()),
            false => builder,
        };
        builder.join_lazy(handler)
    }
}
