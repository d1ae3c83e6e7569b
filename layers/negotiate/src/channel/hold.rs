//! A handoff, seen from the channel: it begins as the listener of another process, and holds still for a successor.
//!
//! In: a listener with its members; orders. Out: the listener's parts. May touch: the acceptor.

use std::{io, mem};

use kyneta_uds_core::{Message, SocketPath};
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::Listener;

use super::{Link, Negotiated};
use crate::{
    accept_handler::AcceptHandler,
    acceptor::Acceptor,
    fan_out::FanOut,
    holding::{Held, Holding, Order},
    machine::Input,
    make_channel::MakeChannel,
    settings::Settings,
};

impl<S, A, M> Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    pub(crate) fn resume(
        path: SocketPath,
        make: S,
        settings: Settings<A>,
        listener: Box<Listener>,
        members: Vec<Handle<M>>,
    ) -> Self {
        let mut this = Self::idle(path, make, settings);
        this.had_peers = !members.is_empty();
        this.listen(listener);
        if let Link::Listening(_, fan_out) = &mut this.link {
            members.into_iter().for_each(|member| fan_out.add(member));
        }
        this.feed(Input::TakenOver);
        this
    }

    pub(super) fn listen(&mut self, listener: Box<Listener>) {
        let handler = self.settings.accept_handler.clone();
        let acceptor = Acceptor::new(listener, self.make.clone(), handler);
        let fan_out = FanOut::new(self.settings.regroup, self.had_peers);
        self.link = Link::Listening(Box::new(acceptor), fan_out);
    }

    pub(super) fn on_order(&mut self, order: Order) {
        match order {
            Order::Release => self.release(),
            Order::Pause(done) => {
                if let Some(holding) = &mut self.holding {
                    holding.is_paused = true;
                }
                let _ = done.send(());
            }
            Order::Hold { handshakes, reply } => match self.hold() {
                Ok(held) => self.holding = Some(Holding::new(held, handshakes, reply)),
                // An error: it is not waited for any more.
                Err(error) => drop(reply.send(Err(error))),
            },
        }
    }

    fn hold(&mut self) -> io::Result<Held> {
        let refused = |why| Err(io::Error::other(why));
        if self.holding.is_some() {
            return refused("it is being handed over already");
        }
        if self.machine.is_restoring() {
            return refused("its socket file is being put back");
        }
        let Link::Listening(acceptor, _) = &mut self.link else {
            return refused("it does not listen");
        };
        let Some(parts) = acceptor.hold().map(Listener::hand_over) else {
            return refused("the listener is closed");
        };
        match parts {
            Ok(parts) => Ok(Held::new(self.settings.role_watch.orders(), parts)),
            Err(error) => {
                acceptor.release();
                Err(error)
            }
        }
    }

    /// Accepts and sends again.
    pub(super) fn release(&mut self) {
        if self.holding.take().is_some()
            && let Link::Listening(acceptor, _) = &mut self.link
        {
            acceptor.release();
        }
    }

    /// Another process may have the path: it is not given up.
    pub(super) fn leave_if_held(&mut self) {
        if self.holding.take().is_none() {
            return;
        }
        if let Link::Listening(acceptor, _) = mem::replace(&mut self.link, Link::Idle)
            && let Some(listener) = acceptor.into_listener()
        {
            listener.leave();
        }
    }
}
