//! What connections say to the bus, and what they ask of it.
//!
//! In: connections that come and end, their payloads, the role. Out: a [`Turn`](super::turn::Turn) for each. May touch: the lock.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use futures_util::task::AtomicWaker;
use kyneta_uds_bus::{
    ConnectionKey, Copies, DownFrame, Hub, HubEvent, Incarnation, Meeting, MemberEvent, MemberId,
    SlowPolicy, UpFrame,
};
use kyneta_uds_core::{Credentials, DisconnectReason, PeerId};
use kyneta_uds_negotiate::Role;
use kyneta_uds_queue::Handle;

use super::{
    Shared,
    core::{Connection, Core},
    own::Own,
    turn::Turn,
};
use crate::bus::{
    event::BusEvent,
    fault::{fault_before_greeting, fault_of_member},
    input::{DownInput, Input, UpInput},
    outbox::{DownBox, Up, UpBox},
    stall::Stall,
    wire::{Body, Introduction, VERSIONS, Welcome, Wire},
};

impl Shared {
    /// This process listens from now on, or does not any more.
    pub(crate) fn role(self: &Arc<Self>, role: Role) {
        self.turn(|core, turn| {
            turn.after.events.push(BusEvent::Role(role));
            if role == Role::Listener && core.hub.is_none() {
                core.up = None;
                core.hub = Some(Hub::new(core.member.id().clone()));
                core.own = Own::default();
                turn.member(MemberEvent::Connected);
            } else if role != Role::Listener && core.hub.take().is_some() {
                let accepted = std::mem::take(&mut core.connections);
                let accepted = accepted.into_values().map(|of| of.handle);
                turn.after.closed.extend(accepted);
                core.taps.clear();
                core.awaited.clear();
                #[cfg(feature = "machines")]
                core.links.end();
                turn.member(MemberEvent::Disconnected);
            }
        });
    }

    /// This side's connection to a hub is used from now on.
    pub(crate) fn connected(self: &Arc<Self>) -> (u64, Arc<AtomicWaker>) {
        let connection = self.turn(|core, turn| {
            let outbox = UpBox::new(core.number());
            let connection = (outbox.number, outbox.waker().clone());
            core.up = Some(outbox);
            core.meeting = Meeting::default();
            core.forget_unknown();
            turn.member(MemberEvent::Connected);
            connection
        });
        self.expect_welcome(connection.0);
        connection
    }

    /// It has ended.
    pub(crate) fn disconnected(self: &Arc<Self>, number: u64) {
        self.turn(|core, turn| {
            if core.is_up(number) {
                core.up = None;
                core.meeting = Meeting::default();
                turn.member(MemberEvent::Disconnected);
            }
        });
    }

    /// A connection was accepted.
    pub(crate) fn accepted(
        self: &Arc<Self>,
        handle: Handle<Wire>,
        credentials: Option<Credentials>,
    ) -> (ConnectionKey, Arc<DownBox>) {
        let outbox = Arc::new(DownBox::new());
        let connection = Connection {
            outbox: outbox.clone(),
            handle,
            credentials,
            greeting: None,
            member: None,
            protocol: String::new(),
            slow: SlowPolicy::Wait,
            stall: Stall::default(),
            is_closing: false,
        };
        let key = self.turn(|core, _| {
            let key = ConnectionKey(core.number());
            core.connections.insert(key, connection);
            key
        });
        self.expect_greeting(key);
        (key, outbox)
    }

    /// An accepted connection has ended. If this side has not closed it, a fault of the other side is reported.
    pub(crate) fn ended(self: &Arc<Self>, key: ConnectionKey, reason: &DisconnectReason) {
        self.turn(|core, turn| {
            let Some(connection) = core.remove(key) else {
                return;
            };
            let fault = match connection.member {
                Some(_) => fault_of_member(reason),
                None => fault_before_greeting(reason),
            };
            turn.after.events.extend(fault);
            turn.hub(HubEvent::Ended(key));
        });
    }

    /// A connection has brought something.
    pub(crate) fn input(self: &Arc<Self>, input: Input) {
        match input {
            Input::Up(key, mut inputs) => self.up(key, &mut inputs),
            Input::Down(number, mut inputs) => self.down(number, &mut inputs),
        }
    }

    /// An accepted connection has brought these. The list is empty then.
    pub(crate) fn up(self: &Arc<Self>, key: ConnectionKey, inputs: &mut Vec<UpInput>) {
        self.turn(|core, turn| {
            for input in inputs.drain(..) {
                core.up_input(key, input, turn);
                core.run(turn);
            }
        });
    }

    /// The connection that this side has made has brought these. The list is empty then.
    pub(crate) fn down(self: &Arc<Self>, number: u64, inputs: &mut Vec<DownInput>) {
        self.turn(|core, turn| {
            for input in inputs.drain(..) {
                if core.is_up(number) {
                    core.down_input(input, turn);
                    core.run(turn);
                }
            }
        });
    }

    /// Moves what waits for this connection, if it is still used, to an empty list.
    pub(crate) fn take_up(&self, number: u64, into: &mut VecDeque<Up>) {
        if let Some(outbox) = self.lock().up_of(number) {
            outbox.take(into);
        }
    }

    /// The next frame of the copies that a connection sends.
    pub(crate) fn next_copy(&self, copies: &mut Copies) -> Option<UpFrame<Body>> {
        self.lock().member.next_copy(copies)
    }

    /// How a hub introduces a member.
    pub(crate) fn introduction(&self, member: &MemberId) -> Introduction {
        self.lock().info(member).introduction()
    }

    /// How a hub welcomes the member of a connection.
    pub(crate) fn welcome(&self, key: ConnectionKey, hub: &MemberId, present: u32) -> Welcome {
        let core = self.lock();
        let connection = core.connections.get(&key);
        Welcome {
            version: VERSIONS.1,
            protocol: connection.map(|of| of.protocol.clone()).unwrap_or_default(),
            hub: (hub.peer.as_str().to_owned(), hub.incarnation.0),
            present,
        }
    }
}

impl Core {
    fn up_input(&mut self, from: ConnectionKey, input: UpInput, turn: &mut Turn<'_>) {
        let frame = |frame| HubEvent::Frame { from, frame };
        let connection = self.connections.get_mut(&from);
        let Some(connection) = connection.filter(|of| !of.is_closing) else {
            return;
        };
        match input {
            UpInput::Kyneta(id) => self.refuse_kyneta(from, id, turn),
            UpInput::Greet(greeting) => self.greet(from, &greeting, turn),
            UpInput::Observe(observation) => self.observe(from, &observation, turn),
            UpInput::Acks(acks) => {
                for (sender, k) in acks {
                    connection.stall.acked(&sender, k, Instant::now);
                    turn.hub(frame(UpFrame::Ack { sender, k }));
                }
            }
            UpInput::Run(run) => self.route_run(from, run, turn),
            UpInput::Frame(of) => {
                self.show_taps(from, &of, turn);
                turn.hub(frame(of));
            }
        }
    }

    fn down_input(&mut self, input: DownInput, turn: &mut Turn<'_>) {
        let frame = MemberEvent::<Body>::Frame;
        match input {
            DownInput::Welcome(welcome) => {
                let Welcome { hub, present, .. } = *welcome;
                turn.after.welcomed = true;
                if let Ok(peer) = PeerId::new(hub.0) {
                    let hub = MemberId::new(peer, Incarnation(hub.1));
                    let welcome = DownFrame::Welcome { hub, present };
                    self.meeting.saw(&welcome);
                    turn.member(frame(welcome));
                }
            }
            DownInput::Refused(refused) => turn.after.refused = Some((*refused).into()),
            DownInput::Introduced(info) => {
                self.members.insert(info.member_id(), Arc::new(*info));
            }
            DownInput::Acks(acks) => {
                for (receiver, k) in acks {
                    turn.member(frame(DownFrame::Acked { receiver, k }));
                }
            }
            DownInput::Run(sender, run) => self.receive_run(&sender, run, turn),
            DownInput::Frame(of) => {
                self.meeting.saw(&of);
                turn.member(frame(of));
            }
        }
    }
}
