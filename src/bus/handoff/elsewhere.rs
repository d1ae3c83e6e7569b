//! Elsewhere than on Linux no bus is handed over.

use std::{convert::Infallible, marker::PhantomData, sync::Arc};

use kyneta_uds_queue::Handle;
use kyneta_uds_unix::Listener;

use crate::{
    bus::{shared::Shared, wire::Wire},
    handoff::Offering,
};

/// There is none.
pub(crate) struct TakenBus<C>(Infallible, PhantomData<C>);

impl<C> TakenBus<C> {
    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        match self.0 {}
    }

    pub(crate) fn go_on(self, _: &Arc<Shared>) -> (Listener, Option<Offering>, Vec<Handle<Wire>>) {
        match self.0 {}
    }
}
