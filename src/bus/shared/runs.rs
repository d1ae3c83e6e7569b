//! Runs: messages of one member to all, which came at one time. What is the same for each is done once.
//!
//! In: runs of a connection. Out: the same in the outboxes of connections and in the inbox. Touches nothing else.

use std::{sync::Arc, time::Instant};

use kyneta_uds_bus::{
    ConnectionKey, HubEvent, MemberId, Message, Recipients, Route, SlowPolicy, UpFrame,
};

use super::windows::load;
use super::{
    core::{Core, MAX_BEHIND, OWN},
    turn::Turn,
};
use crate::bus::{
    bundle,
    inbox::Delivery,
    load::Load,
    wire::{Body, Kind},
};

impl Core {
    /// A member's messages go to all that have met it.
    pub(super) fn route_run(
        &mut self,
        from: ConnectionKey,
        run: Vec<Message<Body>>,
        turn: &mut Turn<'_>,
    ) {
        let routes = self.hub.as_ref().and_then(|hub| hub.routes(from));
        let routes = routes.map(|(sender, routes)| (sender.clone(), routes.collect::<Vec<_>>()));
        let is_simple = |route: &Route| matches!(route, Route::Connection(_));
        let routes = routes.filter(|(_, routes)| routes.iter().all(is_simple));
        if !self.taps.is_empty() {
            self.show(from, &Recipients::All, &run, turn);
        }
        let Some((sender, routes)) = routes else {
            for message in run {
                let to = Recipients::All;
                let frame = UpFrame::Msg { to, message };
                turn.hub(HubEvent::Frame { from, frame });
            }
            return;
        };
        let run: Arc<[_]> = run.into();
        for route in routes {
            match route {
                Route::Connection(OWN) => {
                    self.sent_to_own(&sender, &run, turn);
                    self.receive_run(&sender, run.to_vec(), turn);
                }
                Route::Connection(to) => self.send_run(to, &sender, &run, turn),
                Route::Link(_) => {}
            }
        }
    }

    fn send_run(
        &mut self,
        to: ConnectionKey,
        sender: &MemberId,
        run: &Arc<[Message<Body>]>,
        turn: &mut Turn<'_>,
    ) {
        let Some(connection) = self.connections.get_mut(&to) else {
            return;
        };
        if let Some(last) = run.iter().map(|message| message.n).max() {
            // What gives way to newer messages is bounded by that.
            let load = match connection.slow.keeps_newest() {
                true => Load::default(),
                false => load(run),
            };
            let sent = connection.stall.sent(sender, last, load, Instant::now);
            self.after_sent(sender, sent, turn);
        }
        let Some(connection) = self.connections.get_mut(&to) else {
            return;
        };
        let waiting = connection.outbox.push_run(sender, run);
        turn.after.down(&connection.outbox);
        if waiting > MAX_BEHIND
            && connection.slow == SlowPolicy::Disconnect
            && let Some(member) = &connection.member
        {
            turn.hub(HubEvent::Removed(member.clone()));
        }
    }

    /// Leaves what is new of messages and bundles.
    fn take_new(&mut self, sender: &MemberId, run: &mut Vec<Message<Body>>) {
        let is_bundle = |message: &Message<Body>| matches!(message.body.kind, Kind::Bundle(_));
        if !run.iter().any(is_bundle) {
            return self.member.receive(sender, run);
        }
        *run = std::mem::take(run)
            .into_iter()
            .filter_map(|message| {
                let numbers = bundle::first(&message)..=message.n;
                match self.member.receive_all(sender, numbers) {
                    0 => None,
                    new => Some(bundle::newest(message, new)),
                }
            })
            .collect();
    }

    /// A member's messages come to this one.
    pub(super) fn receive_run(
        &mut self,
        sender: &MemberId,
        mut run: Vec<Message<Body>>,
        turn: &mut Turn<'_>,
    ) {
        self.take_new(sender, &mut run);
        let is_plain = |message: &Message<Body>| match message.body.kind {
            Kind::Plain => true,
            Kind::Bundle(_) => !message.addressed,
            _ => false,
        };
        let Some(last) = run.last() else {
            return;
        };
        if run.iter().all(is_plain) {
            let n = last.n;
            let delivery = Delivery::Run(self.info(sender), run);
            return self.hand_over(sender, n, delivery, turn);
        }
        for message in run {
            if is_plain(&message) {
                let (n, from) = (message.n, self.info(sender));
                self.hand_over(sender, n, Delivery::Run(from, vec![message]), turn);
                continue;
            }
            match message.body.kind {
                Kind::Bundle(_) => {
                    bundle::each(&message).for_each(|of| self.deliver(sender, of, turn));
                }
                _ => self.deliver(sender, message, turn),
            }
        }
    }
}
