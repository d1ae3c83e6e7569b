//! Two documents of three machines with three replicas each. One is edited by all: all replicas become equal, and no edit of
//! a process that stayed is lost. The other is authoritative, and one process at a time edits it: all become equal to its
//! last edit.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
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

/// The authoritative document.
const STEPS: &str = "steps";

/// Between two edits of each process.
const PACE: Duration = Duration::from_millis(200);

/// For how long the process that edits the authoritative document has been silent when another one takes its place.
const SILENT: Duration = Duration::from_secs(2);

/// A replica. It counts up under its own name, and the steps if no other process does.
#[derive(Default)]
struct Replica {
    openings: [String; 2],
    name: String,
    count: u32,
    value: Value,
    steps: Option<u64>,
    writer: Rc<Cell<Option<Writer>>>,
    errors: Vec<Value>,
}

/// Which process edits the authoritative document.
#[derive(Clone, Copy)]
struct Writer {
    number: usize,
    step: u64,
    at: Instant,
}

impl Replica {
    fn new(machines: &Machines<Self, Net>) -> Self {
        let [all, steps] = schemas(machines.dir.path());
        let first = machines.all.first();
        Self {
            openings: [
                format!("{DOC}=loro:{}", all.display()),
                format!("{STEPS}=json:{}", steps.display()),
            ],
            name: format!("n{}", machines.all.len()),
            writer: first
                .map(|one| one.member.writer.clone())
                .unwrap_or_default(),
            ..Self::default()
        }
    }

    fn number(&self) -> usize {
        self.name[1..].parse().unwrap()
    }

    /// The next step, if this is the process that edits, or takes its place.
    fn step(&mut self) -> Option<u64> {
        let number = self.number();
        let step = match (self.writer.get(), self.steps) {
            (None, _) if number == 0 => 1,
            (Some(writer), _) if writer.number == number => writer.step + 1,
            (Some(writer), Some(steps)) if writer.at.elapsed() > SILENT => steps + 1,
            _ => return None,
        };
        let at = Instant::now();
        self.writer.set(Some(Writer { number, step, at }));
        Some(step)
    }
}

fn schemas(dir: &Path) -> [PathBuf; 2] {
    ["all.json", "steps.json"].map(|file| dir.join(file))
}

impl Member for Replica {
    fn command(&self) -> Vec<String> {
        let [all, steps] = &self.openings;
        ["exchange", "--open", all, "--open", steps]
            .map(str::to_owned)
            .into()
    }

    fn heard(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("doc") if event["doc"] == STEPS => self.steps = event["value"]["n"].as_u64(),
            Some("doc") => self.value = event["value"].clone(),
            // Listeners are killed.
            Some("error") if event["code"] == "connection-failed" => {}
            Some("error") => self.errors.push(event.clone()),
            _ => {}
        }
    }

    fn shown(&self) -> String {
        format!("counts {}, sees step {:?}", self.count, self.steps)
    }

    fn turn(&mut self, process: &mut Process) {
        self.count += 1;
        let path = format!("all.{}", self.name);
        process.write_line(json!({"doc": DOC, "set": [path, self.count]}));
        if let Some(step) = self.step() {
            process.write_line(json!({"doc": STEPS, "set": ["n", step]}));
        }
    }
}

/// All show the same, with the last edit of each, and the last step, unless its process was killed meanwhile.
fn are_equal(machines: &Machines<Replica, Net>) -> bool {
    let mut alive = machines.alive();
    let first = &machines.alive().next().unwrap().member;
    let writer = first.writer.get();
    let writes = |one: &Replica| writer.filter(|of| of.number == one.number());
    let last = machines.alive().find_map(|one| writes(&one.member));
    alive.all(|one| {
        let member = &one.member;
        first.value["all"][&member.name] == member.count
            && member.value == first.value
            && member.steps == first.steps
            && last.is_none_or(|last| member.steps == Some(last.step))
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
    let number = json!({"k": "number"});
    let all = json!({"k": "record", "item": number.clone()});
    let fields: [[Value; 2]; 2] = [["all".into(), all], ["n".into(), number]];
    for (file, field) in schemas(machines.dir.path()).iter().zip(fields) {
        let text = json!({"k": "struct", "fields": [field]}).to_string();
        fs::write(file, text).unwrap();
    }
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
