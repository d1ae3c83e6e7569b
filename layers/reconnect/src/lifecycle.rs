//! The machine with its policy, its random numbers and its state watch.
//!
//! In: events. Out: actions, and the wait before the next attempt. May touch: a generator of random numbers.

use kyneta_uds_core::DisconnectReason;

use crate::{
    machine::{Effect, Input, Machine, State},
    policy::{Failure, Recover, Wait},
    state_watch::StateWatch,
};

pub(crate) struct Lifecycle<P> {
    machine: Machine,
    policy: P,
    state_watch: StateWatch,
}

impl<P> Lifecycle<P> {
    pub(crate) const fn state(&self) -> &State {
        self.machine.state()
    }
}

impl<P: Recover> Lifecycle<P> {
    pub(crate) fn new(policy: P, state_watch: StateWatch) -> Self {
        Self {
            machine: Machine::default(),
            policy,
            state_watch,
        }
    }

    /// The actions, and the wait where a timer is to be set.
    pub(crate) fn handle(&mut self, input: Input) -> (Vec<Effect>, Option<Wait>) {
        let mut wait = None;
        let policy = &mut self.policy;
        let outcome = self.machine.handle(input, |attempts, reason| {
            let recovered = policy.recover(Failure::new(attempts, reason, &mut fastrand::f64))?;
            let delay = recovered.delay;
            wait = Some(recovered);
            Ok(delay)
        });
        self.state_watch.publish(outcome.transition);
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

/// A watch outlives the channel: it reports that it was dropped.
impl<P> Drop for Lifecycle<P> {
    fn drop(&mut self) {
        let stopped = self
            .machine
            .handle(Input::Stop, |_, reason| Err(reason.clone()));
        self.state_watch.publish(stopped.transition);
    }
}
