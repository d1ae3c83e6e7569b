//! What one machine of many pays: frames on its links, and what its hub and its members hold. Without sockets.
//!
//! All machines are linked with one another, and what comes over a link goes to members of one machine alone. So a machine
//! is simulated as it is when only its own links exist: the others differ by nothing that it could see.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Helpers stand beside the tests.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    time::Duration,
};

use kyneta_uds_bus::{
    ConnectionKey, DownFrame, Hub, HubEffect, HubEvent, Incarnation, LinkFrame, MachineId, Member,
    MemberConfig, MemberEffect, MemberEvent, MemberId, UpFrame,
};
use kyneta_uds_core::PeerId;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Which member: the machine, and its number there.
type At = (usize, usize);

/// What is on its way, in one line: that keeps the order of each connection.
#[derive(Clone)]
enum Step {
    Up(At, UpFrame<()>),
    Down(At, DownFrame<()>),
    Link {
        from: usize,
        to: usize,
        frame: LinkFrame<()>,
    },
}

/// Machine 0 and all that it is linked with.
#[derive(Clone)]
struct World {
    hubs: Vec<Hub>,
    members: Vec<Vec<Member<()>>>,
    /// A hub gives each connection a new key.
    keys: BTreeMap<(usize, ConnectionKey), At>,
    key_of: BTreeMap<At, ConnectionKey>,
    next_key: u64,
    steps: VecDeque<Step>,
    /// Frames on links: to machine 0, and from it.
    on_links: [usize; 2],
    /// All frames that the hub of machine 0 was given.
    at_hub: usize,
    delivered: usize,
}

fn id(machine: usize, number: usize) -> MemberId {
    MemberId {
        machine: MachineId(machine as u64),
        ..MemberId::new(
            PeerId::new(format!("member-{number}")).unwrap(),
            Incarnation(1),
        )
    }
}

fn hub(machine: usize) -> Hub {
    Hub::new(id(machine, 0)).max_members(usize::MAX)
}

impl World {
    fn new(machines: usize, members: usize) -> Self {
        let config = MemberConfig::default().max_members(usize::MAX);
        let member = |machine, number| Member::new(id(machine, number), config.clone());
        let of = |machine| {
            let all = (0..members).map(|number| member(machine, number));
            all.collect()
        };
        let mut world = Self {
            hubs: (0..machines).map(hub).collect(),
            members: (0..machines).map(of).collect(),
            keys: BTreeMap::new(),
            key_of: BTreeMap::new(),
            next_key: 0,
            steps: VecDeque::new(),
            on_links: [0; 2],
            at_hub: 0,
            delivered: 0,
        };
        for machine in 0..machines {
            world.connect_all(machine);
        }
        world
    }

    /// All members of a machine connect to its hub.
    fn connect_all(&mut self, machine: usize) {
        for number in 0..self.members[machine].len() {
            let at = (machine, number);
            self.next_key += 1;
            let key = ConnectionKey(self.next_key);
            self.keys.insert((machine, key), at);
            self.key_of.insert(at, key);
            self.member(at, MemberEvent::Connected);
            self.run();
        }
    }

    fn link(&mut self, other: usize) {
        self.hub(0, HubEvent::LinkUp(MachineId(other as u64)));
        self.hub(other, HubEvent::LinkUp(MachineId(0)));
    }

    fn member(&mut self, at: At, event: MemberEvent<()>) {
        let mut out = Vec::new();
        self.members[at.0][at.1].handle(event, &mut out);
        self.effects(at, out);
    }

    fn effects(&mut self, at: At, out: Vec<MemberEffect<()>>) {
        for effect in out {
            match effect {
                MemberEffect::Send(frame) => self.steps.push_back(Step::Up(at, frame)),
                MemberEffect::SendCopies(mut copies) => {
                    while let Some(frame) = self.members[at.0][at.1].next_copy(&mut copies) {
                        self.steps.push_back(Step::Up(at, frame));
                    }
                }
                MemberEffect::Deliver { .. } => self.delivered += 1,
                _ => {}
            }
        }
    }

    fn hub(&mut self, machine: usize, event: HubEvent<()>) {
        let mut out = Vec::new();
        self.hubs[machine].handle(event, &mut out);
        self.at_hub += usize::from(machine == 0);
        for effect in out {
            match effect {
                HubEffect::Send { to, frame } => {
                    let at = self.keys[&(machine, to)];
                    self.steps.push_back(Step::Down(at, frame));
                }
                HubEffect::SendLink { to, frame } => {
                    let to = to.0 as usize;
                    self.on_links[usize::from(machine == 0)] += 1;
                    let from = machine;
                    self.steps.push_back(Step::Link { from, to, frame });
                }
                _ => {}
            }
        }
    }

    /// Until nothing is on its way.
    fn run(&mut self) {
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Up(at, frame) => {
                    let from = self.key_of[&at];
                    self.hub(at.0, HubEvent::Frame { from, frame });
                }
                Step::Down(at, frame) => self.member(at, MemberEvent::Frame(frame)),
                Step::Link { from, to, frame } => {
                    let from = MachineId(from as u64);
                    self.hub(to, HubEvent::LinkFrame { from, frame });
                }
            }
        }
    }

    /// Each member of machine 0 publishes a message, and all say what they have.
    fn publish(&mut self) {
        for number in 0..self.members[0].len() {
            let mut out = Vec::new();
            self.members[0][number]
                .accept(None, (), 64, &mut out)
                .unwrap();
            self.effects((0, number), out);
        }
        self.run();
        for machine in 0..self.members.len() {
            for number in 0..self.members[machine].len() {
                self.member((machine, number), MemberEvent::Acknowledge);
            }
        }
        self.run();
    }

    /// The process that listens on machine 0 dies, and another one has its members and its links anew.
    fn restart(&mut self) {
        for number in 0..self.members[0].len() {
            self.member((0, number), MemberEvent::Disconnected);
        }
        for other in 1..self.hubs.len() {
            self.hub(other, HubEvent::LinkDown(MachineId(0)));
        }
        self.run();
        self.hubs[0] = hub(0);
        (self.at_hub, self.on_links) = (0, [0; 2]);
        self.connect_all(0);
        for other in 1..self.hubs.len() {
            self.link(other);
        }
        self.run();
    }

    /// Counts of the links since they were last taken.
    fn taken(&mut self) -> usize {
        std::mem::take(&mut self.on_links).iter().sum()
    }
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// The heap of a copy.
fn heap<T: Clone>(of: &T) -> usize {
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().curr_bytes;
    let copy = of.clone();
    let held = dhat::HeapStats::get().curr_bytes - before;
    drop(copy);
    held
}

/// What is said over each further link is the same: members times members for a new link, once and an acknowledgement of
/// each receiver for a message.
#[test]
fn what_passes_on_a_link_does_not_grow_with_the_number_of_machines() {
    let (machines, members) = (6, 7);
    let mut world = World::new(machines, members);
    for other in 1..machines {
        world.link(other);
        world.run();
        // Each side announces its members; of each pair, in both directions: the place, and the start.
        let pairs = members * members;
        assert_eq!(world.taken(), 2 * members + 4 * pairs);
    }
    world.publish();
    let links = machines - 1;
    // A message once, and an acknowledgement of each receiver.
    assert_eq!(world.taken(), links * (members + members * members));
    assert_eq!(world.delivered, members * (machines * members - 1));
    world.restart();
    let delivered = world.delivered;
    world.publish();
    assert_eq!(
        world.delivered - delivered,
        members * (machines * members - 1)
    );
}

#[test]
#[ignore = "a table: a minute in a release build"]
fn a_machine_of_a_hundred_with_fifty_members_each() {
    let (machines, members) = (100, 50);
    let mut world = World::new(machines, members);
    println!(
        "| machines | members | a new link: frames | a message: frames a link | hub: heap, of it a link | member: heap | the next listener: frames at the hub, processor time |"
    );
    println!("|---|---|---|---|---|---|---|");
    let rows = [2, 5, 10, 20, 50, 100];
    for other in 1..machines {
        world.link(other);
        world.run();
        let opened = world.taken();
        if !rows.contains(&(other + 1)) {
            continue;
        }
        world.publish();
        let published = world.taken() as f64 / (other * members) as f64;
        let (hub, member) = (heap(&world.hubs[0]), heap(&world.members[0][1]));
        let mut next = world.clone();
        next.hubs.truncate(other + 1);
        next.members.truncate(other + 1);
        let start = processor_time();
        next.restart();
        let took = processor_time() - start;
        println!(
            "| {} | {} | {opened} | {published} | {} KiB, {} KiB | {} KiB | {}, {:.2?} |",
            other + 1,
            (other + 1) * members,
            hub >> 10,
            (hub / other) >> 10,
            member >> 10,
            next.at_hub,
            took,
        );
    }
}
