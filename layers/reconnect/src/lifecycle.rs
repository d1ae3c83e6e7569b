//! The machine with its policy, its random numbers and its onlookers.
//!
//! In: what happened. Out: what is to be done, and what is waited for. May touch: a
//! generator of random numbers.

use kyneta_uds_core::DisconnectReason;

use crate::{
    machine::{Effect, Input, Machine, State},
    policy::{Failure, Recover, Wait},
    state_watch::StateWatch,
};

pub(crate) struct Lifecycle<P> {
    machine: Machine,
    policy: P,
    states: StateWatch,
}

impl<P: Recover> Lifecycle<P> {
    pub(crate) fn new(policy: P, states: StateWatch) -> Self {
        Self {
            machine: Machine::default(),
            policy,
            states,
        }
    }

    /// What is to be done, and, where a timer is to be set, what it waits for.
    pub(crate) fn handle(&mut self, input: Input) -> (Vec<Effect>, Option<Wait>) {
        let mut wait = None;
        let policy = &mut self.policy;
        let outcome = self.machine.handle(input, |attempts, reason| {
            let recovered = policy.recover(Failure::new(attempts, reason, &mut fastrand::f64))?;
            let delay = recovered.delay;
            wait = Some(recovered);
            Ok(delay)
        });
        self.states.publish(outcome.transition);
        (outcome.effects, wait)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.policy.is_on()
    }

    /// Why there is no connection any more.
    pub(crate) fn reason(&self) -> DisconnectReason {
        match self.machine.state() {
            State::Disconnected {
                reason: Some(reason),
            } => reason.clone(),
            _ => DisconnectReason::Intentional,
        }
    }
}

/// Those who look on outlive the channel: they are told when it is dropped.
impl<P> Drop for Lifecycle<P> {
    fn drop(&mut self) {
        let stopped = self
            .machine
            .handle(Input::Stop, |_, reason| Err(reason.clone()));
        self.states.publish(stopped.transition);
    }
}
