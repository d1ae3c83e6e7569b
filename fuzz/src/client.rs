//! Target `client`: the machine of a reconnecting client, under any inputs. It requests one thing at a time, not more
//! often and not earlier than the policy allows, and stays disconnected once it is.
//!
//! Input: the policy (4 bytes), then a byte for each input: its kind (3 bits), the random number.

use std::time::Duration;

use kyneta_uds_core::DisconnectReason;
use kyneta_uds_reconnect::{
    Effect, Failure, Input, Jitter, Machine, Outcome, ReconnectPolicy, Recover, State, StateKind,
    Wait,
};

const TIMES: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_millis(1),
    Duration::from_secs(1),
    Duration::from_secs(30),
    Duration::from_secs(u32::MAX as u64),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

pub fn client(data: &[u8]) {
    let Some((&[how, attempts, base, max], inputs)) = data.split_first_chunk() else {
        return;
    };
    let mut client = Client::new(how, attempts, base, max);
    for input in inputs {
        client.step(*input);
    }
}

/// The machine, and a model of what it has requested.
struct Client {
    machine: Machine,
    policy: ReconnectPolicy,
    jitter: Jitter,
    max_attempts: u32,
    base: Duration,
    max: Duration,

    /// A connection attempt is in progress.
    connecting: bool,
    /// A connection is in use.
    adopted: bool,
    /// A timer for the next attempt is set.
    waiting: bool,
    /// Attempts since the start or the last useful connection.
    in_a_row: u32,
}

impl Client {
    fn new(how: u8, attempts: u8, base: u8, max: u8) -> Self {
        let policy = if how & 1 == 0 {
            ReconnectPolicy::new()
        } else {
            ReconnectPolicy::off()
        };
        let jitter = if how & 2 == 0 {
            Jitter::Upwards
        } else {
            Jitter::Full
        };
        let max_attempts = match attempts {
            u8::MAX => u32::MAX,
            few => u32::from(few),
        };
        let [base, max] = [base, max].map(|time| TIMES[usize::from(time % 8)]);
        Self {
            machine: Machine::default(),
            policy: policy
                .max_attempts(max_attempts)
                .base(base)
                .max(max)
                .jitter(jitter),
            jitter,
            max_attempts,
            base,
            max,
            connecting: false,
            adopted: false,
            waiting: false,
            in_a_row: 0,
        }
    }

    fn step(&mut self, byte: u8) {
        let input = match byte & 7 {
            0 => Input::Start,
            1 => Input::Opened,
            2 => Input::Proved,
            3 => Input::Closed,
            4 => Input::Failed(DisconnectReason::Closed),
            5 => Input::Failed(DisconnectReason::MaxRetriesExceeded { attempts: 7 }),
            6 => Input::TimerFired,
            _ => Input::Stop,
        };
        let random = f64::from(byte >> 3) / 32.0;
        let before = self.machine.state().clone();
        let (mut asked, mut policy) = (None, self.policy);
        let outcome = self.machine.handle(input.clone(), |attempts, reason| {
            assert!(asked.is_none(), "the policy is called once");
            let wait = policy.recover(Failure::new(attempts, reason, &mut || random));
            let delay = wait.as_ref().ok().and_then(Wait::duration);
            asked = Some((attempts, delay));
            wait.map(|wait| wait.duration())
        });
        self.transition(&before, &input, &outcome);
        if let Some((attempts, delay)) = asked {
            self.recovered(attempts, delay, random);
        }
        if matches!((&before, &input), (State::Connected, Input::Proved)) {
            self.in_a_row = 0;
        }
        for effect in &outcome.effects {
            self.effect(effect, outcome.effects.last() == Some(effect));
        }
        self.balance();
    }

    fn transition(&self, before: &State, input: &Input, outcome: &Outcome) {
        let after = self.machine.state();
        match &outcome.transition {
            None => {
                assert_eq!(outcome.effects, []);
                assert_eq!(before.kind(), after.kind());
            }
            Some(transition) => {
                assert_ne!(outcome.effects, []);
                assert_ne!(before.kind(), after.kind());
                assert_eq!(transition.from.kind(), before.kind());
                assert_eq!(transition.to.kind(), after.kind());
            }
        }
        if before.kind() == StateKind::Disconnected && !matches!(input, Input::Start) {
            assert!(outcome.transition.is_none(), "it stays disconnected");
        }
        if matches!(input, Input::Stop) {
            assert_eq!(after.kind(), StateKind::Disconnected);
        }
    }

    /// Checks the policy's answer to a failure.
    fn recovered(&self, attempts: u32, delay: Option<Duration>, random: f64) {
        assert_eq!(attempts, self.in_a_row, "failed attempts");
        let Some(delay) = delay else {
            let over = !self.policy.is_on() || attempts >= self.max_attempts;
            assert!(over, "given up after {attempts}");
            return;
        };
        assert!(self.policy.is_on() && attempts < self.max_attempts);
        assert!(delay <= self.max, "{delay:?}");
        let doubled = 2f64.powi(attempts.min(1000) as i32);
        let whole = (self.base.as_secs_f64() * doubled).min(self.max.as_secs_f64());
        let least = match self.jitter {
            Jitter::Upwards => whole,
            Jitter::Full => whole * random,
        };
        let most = match self.jitter {
            Jitter::Upwards => whole * 1.2,
            Jitter::Full => whole * random,
        };
        // The precision of a double, and a nanosecond.
        let slack = whole * 1e-9 + 1e-9;
        let delay = delay.as_secs_f64();
        assert!(delay >= least - slack, "{delay} s, {least} s at least");
        assert!(delay <= most + slack, "{delay} s, {most} s at most");
    }

    fn effect(&mut self, effect: &Effect, is_last: bool) {
        match effect {
            Effect::Connect { attempt } => {
                assert!(
                    !self.connecting && !self.adopted,
                    "one connection at a time"
                );
                self.waiting = false;
                self.connecting = true;
                self.in_a_row += 1;
                assert_eq!(*attempt, self.in_a_row);
                assert!(*attempt <= self.max_attempts.max(1), "attempt {attempt}");
            }
            Effect::Adopt => {
                assert!(std::mem::take(&mut self.connecting));
                self.adopted = true;
            }
            Effect::Release | Effect::Close => assert!(std::mem::take(&mut self.adopted)),
            Effect::SetTimer(_) => {
                assert!(!self.adopted && !self.waiting);
                self.connecting = false;
                self.waiting = true;
            }
            Effect::CancelTimer => {
                self.connecting = false;
                self.waiting = false;
            }
            Effect::GiveUp => {
                assert!(is_last && !self.adopted && !self.waiting);
                self.connecting = false;
            }
        }
    }

    /// Checks that the state agrees with what is in progress.
    fn balance(&mut self) {
        let in_progress = (self.connecting, self.adopted, self.waiting);
        match self.machine.state() {
            State::Disconnected { reason } => {
                assert_eq!(in_progress, (false, false, false));
                assert!(reason.is_some() || self.in_a_row == 0);
                self.in_a_row = 0;
            }
            State::Connecting { attempt } => {
                assert_eq!(
                    (in_progress, *attempt),
                    ((true, false, false), self.in_a_row)
                );
            }
            State::Connected => assert_eq!(in_progress, (false, true, false)),
            State::Reconnecting { attempt, .. } => {
                assert_eq!(in_progress, (false, false, true));
                assert_eq!(*attempt, self.in_a_row + 1);
            }
        }
    }
}
