//! Members, hubs and links, in every order of few events and in random schedules from seeds: what was promised holds
//! at each step and at rest.
//!
//! A seed that fails is named; `KYNETA_SEED=n` runs it alone. `KYNETA_RUNS=20000` and `KYNETA_MODEL=long` make them
//! long runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod exhaustive;
mod observer;
#[path = "../../../../tests/support/schedules/random.rs"]
mod random;
mod world;

use observer::Who;
use random::Random;
use world::{Rules, World};

/// What may happen in a run.
#[derive(Debug, Clone, Copy)]
struct Plan {
    machines: usize,
    departures: bool,
    newest: bool,
}

#[derive(Debug, Default)]
struct Totals {
    hub_deaths: u64,
    faults: u64,
    departures: u64,
    cuts: u64,
    delivered: u64,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(name: &str, plan: Plan) {
    let mut totals = Totals::default();
    if let Some(seed) = number("KYNETA_SEED") {
        schedule(seed, plan, &mut totals).unwrap();
        return;
    }
    let runs = number("KYNETA_RUNS").unwrap_or(60);
    for seed in 0..runs {
        if let Err(why) = schedule(seed, plan, &mut totals) {
            panic!("{name}, KYNETA_SEED={seed}: {why}");
        }
    }
    println!("{name}: {runs} runs, {totals:?}, none broken");
}

/// 400 messages among faults, then rest.
fn schedule(seed: u64, plan: Plan, totals: &mut Totals) -> Result<(), String> {
    let mut random = Random::new(seed);
    let rules = Rules {
        departures: plan.departures,
        lazy: random.percent(50),
        ack_always: false,
        inbox: random.percent(50),
    };
    let mut world = World::new(rules, plan.machines);
    for machine in 0..plan.machines {
        let members = if plan.machines == 1 {
            5 + random.below(4)
        } else {
            2 + random.below(2)
        };
        for _ in 0..members {
            let newest = (plan.newest && random.percent(33)).then_some(4);
            world.join(machine, newest);
        }
    }
    let mut messages = 0;
    while messages < 400 {
        act(&mut world, &mut random, plan, &mut messages, totals);
        if random.percent(2) {
            world.check_bounds();
        }
        if let Some(why) = world.broken {
            return Err(why);
        }
    }
    world.settle();
    world.check_bounds();
    world.check_rest();
    totals.delivered += world.observer.deliveries();
    world.broken.map_or(Ok(()), Err)
}

fn act(
    world: &mut World,
    random: &mut Random,
    plan: Plan,
    messages: &mut u32,
    totals: &mut Totals,
) {
    let process = random.below(world.processes.len());
    let machine = world.processes[process].machine;
    let keys: Vec<u64> = world.connections.keys().copied().collect();
    let key = keys.get(random.below(keys.len())).copied();
    // Faults are rare enough that most messages arrive between two of them.
    match random.below(4000) {
        0..600 | 1500..3300 => {
            let Some(key) = key else { return };
            for _ in 0..=random.below(6) {
                if random.percent(50) {
                    world.read_up(key);
                } else if world.has_down(key) {
                    world.read_down(key);
                }
            }
        }
        600..700 | 3300..3600 if !world.links.is_empty() => {
            let (link, end) = (random.below(world.links.len()), random.below(2));
            for _ in 0..=random.below(8) {
                if world.has_inbound(link, end) {
                    world.read_link(link, end);
                }
            }
        }
        700..760 | 3600..3800 if world.is_alive(process) => {
            let to = random.percent(30);
            let to = to.then(|| random.below(world.processes.len()));
            world.publish(process, to);
            *messages += 1;
        }
        760..820 => {
            for _ in 0..random.below(8) {
                world.take(process);
            }
            world.acknowledge(process);
        }
        820..900 | 3800..4000 => {
            let is_idle = world.is_alive(process) && world.processes[process].connection.is_none();
            if is_idle && world.hubs[machine].is_none() {
                world.become_hub(process);
            } else if is_idle {
                world.connect(process);
            }
        }
        900..940 => {
            let Some(key) = key else { return };
            if world.member_may_notice(key) && random.percent(50) {
                world.member_notices(key);
            } else if world.hub_may_notice(key) {
                world.hub_notices(key);
            }
        }
        940..946 if world.is_alive(process) => {
            let hub = world.hubs[machine].as_ref();
            let is_hub = hub.is_some_and(|hub| hub.host == process);
            totals.hub_deaths += u64::from(is_hub);
            totals.faults += u64::from(!is_hub);
            if random.percent(20) {
                world.bye(process);
            } else {
                world.die(process);
            }
        }
        946..952 => {
            if let Some(host) = world.hubs[machine].as_ref().map(|hub| hub.host) {
                totals.hub_deaths += 1;
                world.die(host);
            }
        }
        952..966 if !world.is_alive(process) && world.processes[process].life < 250 => {
            world.restart(process);
        }
        966..974 => {
            if let Some(key) = key {
                totals.faults += u64::from(world.cut(key));
            }
        }
        974..984 => {
            let awaited = world.awaited(machine);
            let Some(member) = awaited.get(random.below(awaited.len())) else {
                return;
            };
            let is_dead = world.observer.is_dead(Who::of(member));
            if is_dead || plan.departures {
                totals.departures += u64::from(!is_dead);
                world.wait_over(machine, member.clone());
            }
        }
        984..987 if plan.departures => {
            let present = world.present(machine);
            if let Some(member) = present.get(random.below(present.len())) {
                totals.departures += 1;
                world.remove(machine, member.clone());
            }
        }
        987..995 if plan.machines > 1 => {
            let (a, b) = (random.below(plan.machines), random.below(plan.machines));
            let is_free = a < b && (!world.has_link(a, b) || random.percent(10));
            if is_free && world.hubs[a].is_some() && world.hubs[b].is_some() {
                world.link(a, b);
            }
        }
        995..997 if !world.links.is_empty() => {
            totals.cuts += 1;
            let link = random.below(world.links.len());
            world.links[link].cut = true;
        }
        997..1000 if !world.links.is_empty() => {
            let (link, end) = (random.below(world.links.len()), random.below(2));
            if world.link_may_notice(link, end) {
                world.link_notices(link, end);
            }
        }
        _ => {}
    }
}

const fn plan(machines: usize, departures: bool, newest: bool) -> Plan {
    Plan {
        machines,
        departures,
        newest,
    }
}

#[test]
fn hubs_and_members_that_die_lose_and_repeat_nothing() {
    run("members", plan(1, false, false));
}

#[test]
fn living_members_that_are_declared_left_are_told_what_they_missed() {
    run("departures", plan(1, true, false));
}

#[test]
fn members_that_keep_the_newest_are_told_what_they_missed() {
    run("newest", plan(1, true, true));
}

#[test]
fn machines_with_links_lose_and_repeat_nothing() {
    run("two machines", plan(2, false, false));
    run("three machines", plan(3, false, false));
}

#[test]
fn machines_with_links_and_departures_are_told_what_they_missed() {
    run("links and departures", plan(3, true, false));
}
