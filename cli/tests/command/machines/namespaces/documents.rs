//! A document of three machines with three replicas each, all of which edit: all replicas become equal, and no edit of a
//! process that stayed is lost.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    super::three::{Machines, Member},
    net::Net,
    times,
};
use crate::process::Process;

/// The document: of a kind that is edited everywhere at once.
const DOC: &str = "counts";

/// Between two edits of each process.
const PACE: Duration = Duration::from_millis(200);

/// A replica. It counts up under its own name.
#[derive(Default)]
struct Replica {
    opening: String,
    name: String,
    count: u32,
    value: Value,
    errors: Vec<Value>,
}

impl Replica {
    fn new(machines: &Machines<Self, Net>) -> Self {
        Self {
            opening: format!("{DOC}=loro:{}", schema(machines.dir.path()).display()),
            name: format!("n{}", machines.all.len()),
            ..Self::default()
        }
    }
}

fn schema(dir: &Path) -> PathBuf {
    dir.join("schema.json")
}

impl Member for Replica {
    fn command(&self) -> Vec<String> {
        ["exchange", "--open", &self.opening]
            .map(str::to_owned)
            .into()
    }

    fn heard(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("doc") => self.value = event["value"].clone(),
            // Listeners are killed.
            Some("error") if event["code"] == "connection-failed" => {}
            Some("error") => self.errors.push(event.clone()),
            _ => {}
        }
    }

    fn shown(&self) -> String {
        format!("counts {}", self.count)
    }

    fn turn(&mut self, process: &mut Process) {
        self.count += 1;
        let path = format!("all.{}", self.name);
        process.write_line(json!({"doc": DOC, "set": [path, self.count]}));
    }
}

/// All show the same, with the last edit of each.
fn are_equal(machines: &Machines<Replica, Net>) -> bool {
    let mut alive = machines.alive();
    let first = &machines.alive().next().unwrap().member.value;
    alive.all(|one| {
        let member = &one.member;
        first["all"][&member.name] == member.count && member.value == *first
    })
}

/// Stops the edits until all are equal. How long that took.
fn until_equal(machines: &mut Machines<Replica, Net>) -> Duration {
    machines.is_quiet = true;
    let took = machines.until("all replicas are equal", are_equal);
    machines.is_quiet = false;
    took
}

#[test]
fn replicas_of_three_machines_become_equal_soon_whatever_happened_between_them() {
    let Some(net) = Net::new() else { return };
    let mut machines = Machines::new(net, PACE);
    let all = json!({"k": "record", "item": {"k": "number"}});
    let text = json!({"k": "struct", "fields": [["all", all]]}).to_string();
    fs::write(schema(machines.dir.path()), text).unwrap();
    machines.is_quiet = true;
    let begin = Instant::now();
    for machine in (0..3).flat_map(|machine| [machine; 3]) {
        let replica = Replica::new(&machines);
        machines.start(machine, replica);
    }
    machines.until_linked(begin);
    machines.is_quiet = false;
    machines.run_for(Duration::from_secs(1));
    let mut kills = Vec::new();
    for machine in (0..times(1, 20)).flat_map(|_| 0..3) {
        let replica = Replica::new(&machines);
        kills.push(machines.kill_listener(machine, replica));
        machines.run_for(Duration::from_millis(500));
    }
    kills.sort_unstable();
    println!("links back after a listener is killed: {kills:?}");
    println!("all are equal after {:?}", until_equal(&mut machines));

    let mut healed = Vec::new();
    for machine in (0..times(1, 5)).map(|n| n % 3) {
        for millis in [1_200, 6_000] {
            machines.net.cable(machine, false);
            machines.run_for(Duration::from_millis(millis));
            machines.net.cable(machine, true);
            let up = machines.until_linked(begin);
            let equal = until_equal(&mut machines);
            println!("after a cut of {millis} ms: links up after {up:?}, equal {equal:?} later");
            healed.push(equal);
        }
    }
    machines.net.drops(&[Net::one_direction(0, 1)]);
    machines.run_for(Duration::from_secs(4));
    machines.net.drops(&[Net::loss(2)]);
    machines.net.forwarder.delay(Duration::from_millis(50));
    machines.run_for(Duration::from_secs(3));
    machines.until_linked(begin);
    let equal = until_equal(&mut machines);
    println!("with 2 % loss, 50 ms delay and another order: equal after {equal:?}");
    healed.push(equal);
    // Within 2 s on a machine that does nothing else.
    let limit = Duration::from_secs(5);
    assert!(healed.iter().all(|time| *time < limit), "{healed:?}");
    let errors: Vec<_> = machines
        .alive()
        .flat_map(|one| &one.member.errors)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    machines.stop();
}
