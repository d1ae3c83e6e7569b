//! A bus of three machines with three members each, all of which publish: each message arrives once and in order, or is
//! named.

use std::time::{Duration, Instant};

use super::{
    super::{
        buses::until_complete,
        tally::{Tally, sum},
        three::Machines,
    },
    net::Net,
    times,
};

/// How many members a machine has.
const MEMBERS: usize = 3;

/// Between two messages of each member.
const PACE: Duration = Duration::from_millis(50);

type Bus = Machines<Tally, Net>;

#[test]
fn each_message_arrives_once_and_in_order_or_is_named_whatever_happens_between_machines() {
    let Some(net) = Net::new() else { return };
    let mut bus = Bus::new(net, PACE);
    let begin = Instant::now();
    bus.is_quiet = true;
    for machine in (0..3).flat_map(|machine| [machine; MEMBERS]) {
        bus.start(machine, Tally::default());
    }
    until_complete(&mut bus, begin);
    bus.is_quiet = false;

    let mut kills = Vec::new();
    for machine in (0..times(2, 20)).flat_map(|_| 0..3) {
        kills.push(bus.kill_listener(machine, Tally::default()));
        until_complete(&mut bus, begin);
        bus.run_for(Duration::from_millis(300));
    }
    kills.sort_unstable();
    println!("links back after a listener is killed: {kills:?}");
    account(&mut bus);

    for machine in (0..times(1, 5)).map(|n| n % 3) {
        for millis in [1_200, 6_000, 10_000] {
            bus.net.cable(machine, false);
            bus.run_for(Duration::from_millis(millis));
            bus.net.cable(machine, true);
            let complete = until_complete(&mut bus, begin);
            println!("complete {complete:?} after a cut of {millis} ms");
            bus.run_for(Duration::from_secs(1));
        }
        let other = (machine + 1) % 3;
        bus.net.drops(&[Net::one_direction(machine, other)]);
        bus.run_for(Duration::from_secs(4));
        bus.net.drops(&[]);
        println!(
            "complete {:?} after one direction was dropped for 4 s",
            until_complete(&mut bus, begin)
        );
    }

    account(&mut bus);

    bus.net.drops(&[Net::loss(2)]);
    bus.run_for(Duration::from_secs(times(3, 20) as u64));
    bus.net.forwarder.delay(Duration::from_millis(50));
    bus.run_for(Duration::from_secs(times(3, 20) as u64));
    let mut kills: Vec<_> = (0..times(3, 36))
        .map(|n| n % 3)
        .map(|machine| bus.kill_listener(machine, Tally::default()))
        .collect();
    kills.sort_unstable();
    println!("with 2 % loss, 50 ms delay and another order: links back after {kills:?}");
    until_complete(&mut bus, begin);
    bus.net.drops(&[]);
    bus.net.forwarder.delay(Duration::ZERO);

    account(&mut bus);
    bus.stop();
}

/// Stops the messages until all are acknowledged, and counts what became of those to the members that are alive. After each
/// kind of fault: the kills of the next one leave no member of before.
fn account(bus: &mut Bus) {
    bus.is_quiet = true;
    bus.until("all is acknowledged", |bus| {
        bus.alive()
            .all(|one| one.member.delivered == one.member.sent.len())
    });
    bus.run_for(Duration::from_millis(500));
    let all: Vec<_> = bus
        .all
        .iter()
        .map(|one| (one.id.as_str(), &one.member, one.is_alive))
        .collect();
    let sum = sum(&all);
    println!(
        "{} messages to members that stayed: {} arrived, {} named, {} sent as their receiver left, {} told as missed, {} unaccounted",
        sum.messages,
        sum.arrived,
        sum.named,
        sum.late,
        sum.told,
        sum.unaccounted.len()
    );
    let errors: Vec<_> = bus.alive().flat_map(|one| &one.member.errors).collect();
    println!("errors: {errors:?}");
    assert!(
        sum.unaccounted.is_empty() && sum.out_of_order.is_empty(),
        "{sum:?}"
    );
    bus.is_quiet = false;
}
