//! A bus of three machines, whose members all publish.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    tally::Tally,
    three::{Machines, Member, Place, Running},
};
use crate::process::Process;

impl Member for Tally {
    fn command(&self) -> Vec<String> {
        vec!["bus".into()]
    }

    fn heard(&mut self, event: &Value) {
        Tally::heard(self, event);
    }

    fn shown(&self) -> String {
        let (sent, delivered) = (self.sent.len(), self.delivered);
        format!(
            "sent {sent}, delivered {delivered}, last of each {:?}, sees {:?}",
            self.last_of_each(),
            self.listed
        )
    }

    fn turn(&mut self, process: &mut Process) {
        let number = self.sends();
        process.write_line(json!({"publish": number}));
    }
}

/// Goes on until all links are up, and each member that is alive sees each other one.
pub(super) fn until_complete<P: Place>(bus: &mut Machines<Tally, P>, begin: Instant) -> Duration {
    let up = bus.until_linked(begin);
    let listed = bus.until("each member is listed at each other one", |bus| {
        let sees_all = |one: &Running<Tally>| {
            let mut others = bus.alive().filter(|other| other.id != one.id);
            others.all(|other| one.member.listed.contains(&other.id))
        };
        bus.alive().all(sees_all)
    });
    up + listed
}
