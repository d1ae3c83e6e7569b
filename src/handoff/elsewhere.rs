//! Elsewhere than on Linux nothing is handed over.

use std::{convert::Infallible, marker::PhantomData};

use kyneta_uds_core::{ChannelMsg, SocketPath};
use kyneta_uds_negotiate::Acceptor;
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::Listener;
use tokio_util::task::TaskTracker;

use crate::{accept_handler::RoleAcceptHandler, builder::Settings, server::Server};

/// There is none.
pub(crate) struct Taken<C>(Infallible, PhantomData<C>);

/// There is none.
pub(crate) struct TakenRole<C>(Infallible, PhantomData<C>);

impl<C> TakenRole<C> {
    pub(crate) async fn go_on<M>(
        self,
        _: RoleAcceptHandler<M>,
    ) -> (Listener, Option<Offering>, Vec<Handle<ChannelMsg>>) {
        match self.0 {}
    }
}

/// There is none.
pub(crate) struct Offering(Infallible);

impl Offering {
    pub(crate) fn of_role(_: &Settings, _: &SocketPath) -> Option<Self> {
        None
    }
}

pub(crate) struct Handoffs;

impl Handoffs {
    pub(crate) async fn start<M, C>(
        _: &Server,
        _: Option<Offering>,
        _: Option<Taken<C>>,
        _: RoleAcceptHandler<M>,
    ) -> Self {
        Self
    }

    pub(crate) async fn asked(&self) -> Infallible {
        std::future::pending().await
    }

    pub(crate) async fn hand_over<S, A>(
        &self,
        asking: Infallible,
        _: &mut Acceptor<S, A, ChannelMsg>,
    ) -> bool {
        match asking {}
    }

    pub(crate) async fn leave<S, A>(self, _: Acceptor<S, A, ChannelMsg>, _: &TaskTracker) {}

    pub(crate) fn close(self) {}
}
