//! Every order of everything, in small worlds with few faults.
//!
//! Each case names its faults and how many there may be. A failure prints the events that lead there, from the first
//! one on; the number of states shows that a case is as large as it was.

use std::time::Duration;

use kyneta_uds_bus::MemberId;
use stateright::{Checker, Model, Property};

use crate::{
    observer::Who,
    world::{Rules, World},
};

/// How often each may happen yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Budget {
    /// Messages to all, of process 1; process 0 is the first hub.
    messages: u8,
    /// Messages of process 1 to the last process.
    addressed: u8,
    hub_deaths: u8,
    deaths: u8,
    byes: u8,
    restarts: u8,
    breaks: u8,
    /// The time of a living member is over.
    expiries: u8,
    kicks: u8,
    joins: u8,
    link_cuts: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    world: World,
    budget: Budget,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Action {
    ReadUp(u64),
    ReadDown(u64),
    MemberNotices(u64),
    HubNotices(u64),
    BecomeHub(usize),
    Connect(usize),
    WaitOver(usize, MemberId),
    ReadLink(usize, usize),
    LinkNotices(usize, usize),
    Link(usize, usize),
    Publish,
    PublishTo,
    Die(usize),
    Bye(usize),
    Restart(usize),
    Cut(u64),
    Expire(usize, MemberId),
    Kick(usize, MemberId),
    Join,
    CutLink(usize),
}

struct Case {
    /// How many members on each machine.
    members: &'static [usize],
    budget: Budget,
}

impl State {
    /// What happens without a fault and without a new message.
    fn progress(&self, out: &mut Vec<Action>) {
        let world = &self.world;
        for key in world.connections.keys().copied() {
            if world.has_up(key) {
                out.push(Action::ReadUp(key));
            }
            if world.has_down(key) {
                out.push(Action::ReadDown(key));
            }
            if world.member_may_notice(key) {
                out.push(Action::MemberNotices(key));
            }
            if world.hub_may_notice(key) {
                out.push(Action::HubNotices(key));
            }
        }
        for (process, at) in world.processes.iter().enumerate() {
            if at.member.is_some() && at.connection.is_none() {
                out.push(match &world.hubs[at.machine] {
                    None => Action::BecomeHub(process),
                    Some(_) => Action::Connect(process),
                });
            }
        }
        for machine in 0..world.hubs.len() {
            for member in world.awaited(machine) {
                if world.observer.is_dead(Who::of(&member)) {
                    out.push(Action::WaitOver(machine, member));
                }
            }
            for other in machine + 1..world.hubs.len() {
                let are_there = world.hubs[machine].is_some() && world.hubs[other].is_some();
                if are_there && !world.has_link(machine, other) {
                    out.push(Action::Link(machine, other));
                }
            }
        }
        for link in 0..world.links.len() {
            for end in 0..2 {
                if world.has_inbound(link, end) {
                    out.push(Action::ReadLink(link, end));
                }
                if world.link_may_notice(link, end) {
                    out.push(Action::LinkNotices(link, end));
                }
            }
        }
    }

    fn faults(&self, out: &mut Vec<Action>) {
        let (world, budget) = (&self.world, &self.budget);
        if budget.messages > 0 && world.is_alive(1) {
            out.push(Action::Publish);
        }
        if budget.addressed > 0 && world.is_alive(1) {
            out.push(Action::PublishTo);
        }
        for (process, at) in world.processes.iter().enumerate() {
            let hub = world.hubs[at.machine].as_ref();
            let is_hub = hub.is_some_and(|hub| hub.host == process);
            let deaths = if is_hub {
                budget.hub_deaths
            } else {
                budget.deaths
            };
            if at.member.is_some() && deaths > 0 {
                out.push(Action::Die(process));
            }
            if at.member.is_some() && !is_hub && budget.byes > 0 {
                out.push(Action::Bye(process));
            }
            if at.member.is_none() && budget.restarts > 0 {
                out.push(Action::Restart(process));
            }
        }
        if budget.breaks > 0 {
            out.extend(world.connections.keys().copied().map(Action::Cut));
        }
        for machine in 0..world.hubs.len() {
            if budget.expiries > 0 {
                let awaited = world.awaited(machine).into_iter();
                let living = awaited.filter(|member| !world.observer.is_dead(Who::of(member)));
                out.extend(living.map(|member| Action::Expire(machine, member)));
            }
            if budget.kicks > 0 {
                let present = world.present(machine).into_iter();
                out.extend(present.map(|member| Action::Kick(machine, member)));
            }
        }
        if budget.joins > 0 {
            out.push(Action::Join);
        }
        if budget.link_cuts > 0 {
            out.extend((0..world.links.len()).map(Action::CutLink));
        }
    }

    /// False for what changes nothing.
    fn apply(&mut self, action: Action) -> bool {
        let (world, budget) = (&mut self.world, &mut self.budget);
        match action {
            Action::ReadUp(key) => world.read_up(key),
            Action::ReadDown(key) => world.read_down(key),
            Action::MemberNotices(key) => world.member_notices(key),
            Action::HubNotices(key) => world.hub_notices(key),
            Action::BecomeHub(process) => world.become_hub(process),
            Action::Connect(process) => world.connect(process),
            Action::WaitOver(machine, member) => world.wait_over(machine, member),
            Action::ReadLink(link, end) => world.read_link(link, end),
            Action::LinkNotices(link, end) => world.link_notices(link, end),
            Action::Link(a, b) => world.link(a, b),
            Action::Publish => {
                budget.messages -= 1;
                world.publish(1, None);
            }
            Action::PublishTo => {
                budget.addressed -= 1;
                world.publish(1, Some(world.processes.len() - 1));
            }
            Action::Die(process) => {
                let hub = world.hubs[world.processes[process].machine].as_ref();
                if hub.is_some_and(|hub| hub.host == process) {
                    budget.hub_deaths -= 1;
                } else {
                    budget.deaths -= 1;
                }
                world.die(process);
            }
            Action::Bye(process) => {
                budget.byes -= 1;
                world.bye(process);
            }
            Action::Restart(process) => {
                budget.restarts -= 1;
                world.restart(process);
            }
            Action::Cut(key) => {
                budget.breaks -= 1;
                return world.cut(key);
            }
            Action::Expire(machine, member) => {
                budget.expiries -= 1;
                world.wait_over(machine, member);
            }
            Action::Kick(machine, member) => {
                budget.kicks -= 1;
                world.remove(machine, member);
            }
            Action::Join => {
                budget.joins -= 1;
                world.join(0, None);
            }
            Action::CutLink(link) => {
                budget.link_cuts -= 1;
                world.links[link].cut = true;
            }
        }
        true
    }
}

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let rules = Rules {
            departures: self.budget.expiries + self.budget.kicks > 0,
            lazy: false,
            ack_always: true,
            inbox: false,
        };
        let mut world = World::new(rules, self.members.len());
        for (machine, members) in self.members.iter().enumerate() {
            (0..*members).for_each(|_| world.join(machine, None));
        }
        // From here on, all have met.
        world.settle();
        world.check_rest();
        let budget = self.budget;
        vec![State { world, budget }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        if state.world.broken.is_none() {
            state.progress(out);
            state.faults(out);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        if !next.apply(action) {
            return None;
        }
        next.world.check_bounds();
        let mut progress = Vec::new();
        next.progress(&mut progress);
        if progress.is_empty() {
            next.world.check_rest();
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("the promise holds", |_, state: &State| {
            state.world.broken.is_none()
        })]
    }
}

/// How many successors are looked at in a case, in the normal run and in the long one.
const MOST: (usize, usize) = (15_000, 3_000_000);

fn check(name: &str, members: &'static [usize], budget: Budget) {
    let is_long = std::env::var("KYNETA_MODEL").is_ok_and(|length| length == "long");
    let most = if is_long { MOST.1 } else { MOST.0 };
    let checker = Case { members, budget }
        .checker()
        .target_state_count(most)
        .timeout(Duration::from_secs(if is_long { 900 } else { 20 }))
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    let is_complete = checker.is_done() && checker.state_count() < most;
    let extent = if is_complete { "complete" } else { "cut off" };
    println!(
        "{name}: {states} states, {extent}, at most {} steps",
        checker.max_depth()
    );
    checker.assert_properties();
    assert!(states > 1000, "{states}");
}

const NONE: Budget = Budget {
    messages: 1,
    addressed: 0,
    hub_deaths: 0,
    deaths: 0,
    byes: 0,
    restarts: 0,
    breaks: 0,
    expiries: 0,
    kicks: 0,
    joins: 0,
    link_cuts: 0,
};

#[test]
fn in_every_order_a_hub_dies() {
    check(
        "2 members, hub death",
        &[2],
        Budget {
            messages: 2,
            hub_deaths: 1,
            restarts: 1,
            ..NONE
        },
    );
    check(
        "3 members, hub death",
        &[3],
        Budget {
            addressed: 1,
            hub_deaths: 1,
            ..NONE
        },
    );
}

#[test]
fn in_every_order_a_connection_breaks() {
    check(
        "2 members, 2 breaks",
        &[2],
        Budget {
            messages: 2,
            breaks: 2,
            ..NONE
        },
    );
    check(
        "3 members, break, death",
        &[3],
        Budget {
            breaks: 1,
            deaths: 1,
            ..NONE
        },
    );
}

#[test]
fn in_every_order_living_members_are_declared_left() {
    check(
        "2 members, break, expiry",
        &[2],
        Budget {
            messages: 2,
            breaks: 1,
            expiries: 1,
            ..NONE
        },
    );
    check(
        "2 members, 2 kicks",
        &[2],
        Budget {
            messages: 2,
            kicks: 2,
            ..NONE
        },
    );
    check("3 members, kick", &[3], Budget { kicks: 1, ..NONE });
}

#[test]
fn in_every_order_members_join_leave_and_restart() {
    check("2 members, join", &[2], Budget { joins: 1, ..NONE });
    check(
        "3 members, bye",
        &[3],
        Budget {
            messages: 2,
            byes: 1,
            restarts: 1,
            ..NONE
        },
    );
}

#[test]
fn in_every_order_links_are_cut() {
    check(
        "2 machines, 2 cuts",
        &[1, 1],
        Budget {
            messages: 2,
            link_cuts: 2,
            ..NONE
        },
    );
    check(
        "2 machines, hub death",
        &[2, 1],
        Budget {
            hub_deaths: 1,
            ..NONE
        },
    );
}

#[test]
fn in_every_order_of_several_faults() {
    let faults = Budget {
        messages: 2,
        hub_deaths: 2,
        breaks: 1,
        ..NONE
    };
    check("3 members, 2 hub deaths, break", &[3], faults);
    let faults = Budget {
        messages: 2,
        hub_deaths: 1,
        expiries: 1,
        restarts: 1,
        ..NONE
    };
    check("3 members, hub death, restart, expiry", &[3], faults);
    let faults = Budget {
        hub_deaths: 1,
        link_cuts: 1,
        restarts: 1,
        ..NONE
    };
    check("2 machines, hub death, restart, cut", &[2, 1], faults);
}
