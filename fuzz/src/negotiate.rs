//! Target `negotiate`: the machine that negotiates which process listens. It requests one thing at a time, releases
//! what it holds, and does nothing after it is disposed.
//!
//! Input: whether the inputs answer the requests (1 byte), then two bytes for each input: its kind, the random number.

use std::time::Duration;

use kyneta_uds_negotiate::machine::{Bind, Effect, Input, Negotiation, Probe, Role};

const PROBES: [Probe; 8] = [
    Probe::Joined,
    Probe::NoListener,
    Probe::Busy,
    Probe::Silent,
    Probe::Denied,
    Probe::Rejected,
    Probe::NotAllowed,
    Probe::Foreign,
];
const BINDS: [Bind; 3] = [Bind::Done, Bind::InUse, Bind::Denied];

/// Half of the first wait, and the longest and half of it.
const WAITS: std::ops::RangeInclusive<Duration> =
    Duration::from_micros(250)..=Duration::from_millis(1500);

/// The time between two reports of why there is no role.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

pub fn negotiate(data: &[u8]) {
    let Some((&honest, inputs)) = data.split_first() else {
        return;
    };
    let (inputs, _) = inputs.as_chunks();
    if honest & 1 == 0 {
        anything(inputs);
    } else {
        World::default().run(inputs);
    }
}

fn random(byte: u8) -> f64 {
    match byte {
        // Callers may pass invalid numbers.
        255 => f64::NAN,
        254 => f64::INFINITY,
        byte => f64::from(byte) / 254.0,
    }
}

/// Any inputs in any order.
fn anything(inputs: &[[u8; 2]]) {
    let mut machine = Negotiation::new();
    for &[what, number] in inputs {
        let input = match what % 25 {
            0 => Input::Start,
            probe @ 1..=5 => Input::Probed(PROBES[usize::from(probe - 1)]),
            bind @ 6..=8 => Input::Bound(BINDS[usize::from(bind - 6)]),
            bind @ 9..=11 => Input::Restored(BINDS[usize::from(bind - 9)]),
            12 => Input::ConnectionLost,
            13..=15 => Input::Rejected { times: number },
            16 => Input::PathFree,
            17 => Input::PathLost,
            18 => Input::TimerFired,
            19 => Input::Dispose,
            20 => Input::Overdue,
            21 => Input::PathMoved,
            probe => Input::Probed(PROBES[usize::from(probe - 17)]),
        };
        step(&mut machine, input, number);
    }
}

/// Handles one input, and checks what must always be true.
fn step(machine: &mut Negotiation, input: Input, number: u8) -> Vec<Effect> {
    let before = machine.role();
    let effects = machine.on(input, random(number));
    let after = machine.role();
    let mut announced = None;
    for effect in &effects {
        match effect {
            Effect::Announce(role) => {
                assert!(
                    announced.replace(*role).is_none(),
                    "a role is announced once"
                );
            }
            Effect::Wait(wait) => assert!(WAITS.contains(wait), "{wait:?}"),
            Effect::Remind(pause) => assert!(PAUSES.contains(pause), "{pause:?}"),
            Effect::Waiting(why) => assert_eq!(machine.why(), Some(*why)),
            Effect::Report => assert!(matches!(
                input,
                Input::Probed(Probe::Denied | Probe::NotAllowed | Probe::Foreign)
                    | Input::Bound(Bind::Denied)
                    | Input::Restored(Bind::Denied)
            )),
            _ => {}
        }
        let gives_back = matches!(effect, Effect::StopListening | Effect::Disconnect);
        assert!(before != Role::Disposed || gives_back, "{effect:?}");
    }
    // Its first role, negotiating, is announced at its start.
    assert!(before == after || announced.is_some());
    assert!(announced.is_none_or(|role| role == after));
    assert!(before != Role::Disposed || after == Role::Disposed);
    assert!(input != Input::Dispose || after == Role::Disposed);
    effects
}

/// A request that is not answered yet.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    Start,
    Probe,
    Bind,
    Wait,
    Restore,
}

/// An environment that answers requests, and in which connections and paths are lost.
struct World {
    machine: Negotiation,
    asked: Option<Asked>,
    connected: bool,
    listening: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            machine: Negotiation::new(),
            asked: Some(Asked::Start),
            connected: false,
            listening: false,
        }
    }
}

impl World {
    fn run(mut self, inputs: &[[u8; 2]]) {
        for &[what, number] in inputs {
            let input = self.input(what, number);
            self.tell(input, number);
        }
        self.tell(Input::Dispose, 0);
        // Answers may still be under way.
        for answer in [
            Input::Probed(Probe::Joined),
            Input::Bound(Bind::Done),
            Input::TimerFired,
        ] {
            self.tell(answer, 0);
        }
    }

    fn input(&mut self, what: u8, number: u8) -> Input {
        let (some, which) = (what & 1 == 0, usize::from(what >> 1));
        match (self.asked, self.machine.role()) {
            (_, _) if what == 0xff => Input::Dispose,
            (Some(_), Role::Negotiating) if number == 253 => Input::Overdue,
            (None, Role::Connector) if some && number & 1 == 1 => Input::PathMoved,
            (Some(Asked::Restore), Role::Listener) if !some => Input::PathLost,
            (Some(asked), _) => match asked {
                Asked::Start => Input::Start,
                Asked::Probe => Input::Probed(PROBES[which % PROBES.len()]),
                Asked::Bind => Input::Bound(BINDS[which % BINDS.len()]),
                Asked::Wait => Input::TimerFired,
                Asked::Restore => Input::Restored(BINDS[which % BINDS.len()]),
            },
            (None, Role::Listener) if some => Input::PathFree,
            (None, Role::Listener) => Input::PathLost,
            (None, Role::Connector) if some => Input::ConnectionLost,
            (None, Role::Connector) => Input::Rejected { times: number },
            (None, role) => {
                assert_eq!(
                    role,
                    Role::Disposed,
                    "only a disposed machine waits for nothing"
                );
                Input::Start
            }
        }
    }

    fn tell(&mut self, input: Input, number: u8) {
        match input {
            Input::Probed(Probe::Joined) => self.connected = true,
            Input::Bound(Bind::Done) => self.listening = true,
            Input::ConnectionLost | Input::Rejected { .. } => self.connected = false,
            _ => {}
        }
        match input {
            Input::Start
            | Input::Probed(_)
            | Input::Bound(_)
            | Input::Restored(_)
            | Input::TimerFired => self.asked = None,
            // Requests end with the role.
            Input::Dispose | Input::PathLost => self.asked = None,
            _ => {}
        }
        for effect in step(&mut self.machine, input, number) {
            let asked = match effect {
                Effect::Probe => Asked::Probe,
                Effect::Bind => Asked::Bind,
                Effect::Wait(_) => Asked::Wait,
                Effect::Restore => Asked::Restore,
                Effect::StopListening => {
                    assert!(std::mem::take(&mut self.listening));
                    continue;
                }
                Effect::Disconnect => {
                    assert!(std::mem::take(&mut self.connected));
                    continue;
                }
                // The connection is lost once the shutdown is complete.
                Effect::HalfClose => {
                    assert!(self.connected);
                    continue;
                }
                Effect::Remind(_) | Effect::Waiting(_) => continue,
                Effect::Report | Effect::Announce(_) => continue,
                other => panic!("{other:?}"),
            };
            assert_eq!(self.asked.replace(asked), None, "one request at a time");
        }
        let role = self.machine.role();
        assert_eq!(self.connected, role == Role::Connector);
        assert_eq!(self.listening, role == Role::Listener);
        assert_eq!(
            self.asked.is_some(),
            role == Role::Negotiating || self.asked == Some(Asked::Restore)
        );
    }
}
