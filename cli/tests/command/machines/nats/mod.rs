//! A bus of three machines over a NATS server that is killed and started again. Where there is no `nats-server`, each test
//! says that it is skipped, and does nothing.

#[path = "../../../../../layers/nats/tests/support/mod.rs"]
mod server;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use self::server::Server;
use super::{
    buses::until_complete,
    link,
    tally::{Sum, Tally, sum},
    three::{MACHINES, Machines, Place},
};
use crate::process::{Process, command, start};

/// How many members a machine has.
const MEMBERS: usize = 2;

/// Between two messages of each member.
const PACE: Duration = Duration::from_millis(50);

type Bus = Machines<Tally, Server>;

/// The options of a machine, with those of the others.
fn options(server: &Server, me: &str, others: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = vec!["--nats".into(), server.url()];
    args.extend(["--machine-name".into(), me.into()]);
    for other in others {
        args.extend(["--nats-machine".into(), (*other).into()]);
    }
    args
}

impl Place for Server {
    fn command(&self, machine: usize, mut args: Vec<String>, _: &[(PathBuf, String)]) -> Command {
        let me = MACHINES[machine];
        let others = MACHINES.into_iter().filter(|other| *other != me);
        args.extend(options(self, me, &others.collect::<Vec<_>>()));
        command(args)
    }
}

/// How many messages have come to the members of each machine from the other members of the same machine.
fn local(bus: &Bus) -> Vec<usize> {
    let of = |machine| {
        let here: Vec<_> = bus.alive().filter(|one| one.machine == machine).collect();
        let last = |one: &&super::three::Running<Tally>| {
            let last = one.member.last_of_each();
            let theirs = here.iter().filter(|other| other.id != one.id);
            theirs
                .map(|other| last.get(other.id.as_str()).copied().unwrap_or(0))
                .sum::<usize>()
        };
        here.iter().map(last).sum()
    };
    (0..MACHINES.len()).map(of).collect()
}

/// The server is gone for this time, and then there again with what it has stored.
fn outage(bus: &mut Bus, time: Duration) {
    let before = local(bus);
    bus.net.kill();
    bus.run_for(time);
    let passed = local(bus)
        .into_iter()
        .zip(before)
        .map(|(now, then)| now - then);
    let passed: Vec<_> = passed.collect();
    bus.net.again();
    println!("without a server for {time:?}: {passed:?} messages between members of each machine");
    // Each of two members publishes each 50 ms.
    let least = time.as_millis() as usize / 50 / 2;
    assert!(passed.iter().all(|passed| *passed >= least), "{passed:?}");
}

fn end(mut bus: Bus) -> Sum {
    bus.is_quiet = true;
    bus.until("all is acknowledged", |bus| {
        bus.alive()
            .all(|one| one.member.delivered == one.member.sent.len())
    });
    bus.run_for(Duration::from_millis(500));
    let all = bus
        .all
        .iter()
        .map(|one| (one.id.as_str(), &one.member, one.is_alive));
    let sum = sum(&all.collect::<Vec<_>>());
    println!(
        "{} messages to members that stayed: {} arrived, {} named, {} sent as their receiver left, {} unaccounted",
        sum.messages,
        sum.arrived,
        sum.named,
        sum.late,
        sum.unaccounted.len()
    );
    bus.stop();
    sum
}

fn started(server: Server) -> (Bus, Instant) {
    let begin = Instant::now();
    let mut bus = Bus::new(server, PACE);
    bus.is_quiet = true;
    for machine in (0..3).flat_map(|machine| [machine; MEMBERS]) {
        bus.start(machine, Tally::default());
    }
    until_complete(&mut bus, begin);
    bus.is_quiet = false;
    (bus, begin)
}

#[test]
fn each_message_arrives_once_and_in_order_although_the_server_and_hubs_are_killed() {
    let Some(server) = Server::start() else {
        return;
    };
    let (mut bus, begin) = started(server);
    bus.run_for(Duration::from_secs(1));
    for millis in [300, 1_500] {
        let start = Instant::now();
        outage(&mut bus, Duration::from_millis(millis));
        bus.run_for(Duration::from_secs(1));
        // No link and no member has noticed.
        assert!(bus.is_unchanged_since(start));
    }
    let mut kills = Vec::new();
    for machine in 0..3 {
        kills.push(bus.kill_listener(machine, Tally::default()));
        until_complete(&mut bus, begin);
        bus.run_for(Duration::from_millis(300));
    }
    println!("links back after a listener is killed: {kills:?}");
    // Both at once.
    bus.net.kill();
    bus.kill(1);
    bus.start(1, Tally::default());
    bus.run_for(Duration::from_millis(500));
    bus.net.again();
    until_complete(&mut bus, begin);
    bus.run_for(Duration::from_millis(300));
    let sum = end(bus);
    assert!(
        sum.unaccounted.is_empty() && sum.out_of_order.is_empty() && sum.named == 0,
        "{sum:?}"
    );
}

#[test]
fn after_a_server_that_is_gone_for_long_what_did_not_arrive_is_named() {
    let Some(server) = Server::start() else {
        return;
    };
    let (mut bus, begin) = started(server);
    bus.run_for(Duration::from_secs(1));
    // Longer than the idle timeout and the grace time.
    outage(&mut bus, Duration::from_secs(10));
    let took = until_complete(&mut bus, begin);
    println!("complete after {took:?}");
    bus.run_for(Duration::from_secs(1));
    let sum = end(bus);
    assert!(
        sum.unaccounted.is_empty() && sum.out_of_order.is_empty(),
        "{sum:?}"
    );
}

fn member(server: &Server, dir: &std::path::Path, me: &str, other: &str) -> Process {
    let path = dir.join(format!("{me}.sock"));
    let mut args = vec!["bus".to_owned(), path.to_str().unwrap().into()];
    args.extend(["--json".into(), "--id".into(), format!("of-{me}")]);
    args.extend(options(server, me, &[other]));
    start(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_an_event_and_found_later() {
    let Some(mut server) = Server::start() else {
        return;
    };
    server.kill();
    let dir = tempfile::tempdir().unwrap();
    let mut ann = member(&server, dir.path(), "oslo", "rome");
    let failed = ann.until(&json!({"event": "error", "code": "machines-failed"}));
    assert!(
        failed["message"].as_str().unwrap().contains("NATS"),
        "{failed}"
    );
    server.again();
    let mut bob = member(&server, dir.path(), "rome", "oslo");
    link(&mut ann, "rome", "up");
    link(&mut bob, "oslo", "up");
    ann.until(&json!({"event": "member", "change": "joined", "id": "of-rome@rome"}));
    ann.write_line(json!({"request": 6, "to": "of-rome@rome", "id": 1}));
    let asked = bob.until(&json!({"event": "request", "from": "of-oslo@oslo", "msg": 6}));
    bob.write_line(json!({"answer": 42, "id": asked["id"]}));
    ann.until(&json!({"event": "answer", "id": 1, "msg": 42}));
}
