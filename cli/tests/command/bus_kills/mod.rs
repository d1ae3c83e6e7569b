//! A bus whose listeners are killed in turn, each of which comes back: no message is lost, repeated or out of order, and
//! no other member is reported as left.
//!
//! `KYNETA_CHAOS=long` has 8 members, 1,000 messages a second in all and 200 kills. Beside a slow reader, a member that is
//! stopped now and then, and members that come and go, it has 60.

mod account;
mod member;

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use self::member::{Member, Pace};
use crate::support::common::Bus;

/// How long a process may take until all others list it.
const MEETING: Duration = Duration::from_millis(1500);

/// How long the last messages may take.
const END: Duration = Duration::from_secs(60);

/// How long a member is stopped.
const STOP: Duration = Duration::from_secs(2);

struct Plan {
    members: usize,
    kills: usize,
    pace: Pace,
}

impl Plan {
    fn chosen(kills: usize) -> Self {
        let (members, kills, publish) = match std::env::var("KYNETA_CHAOS").as_deref() {
            Ok("long") => (8, kills, 8),
            _ => (4, 6, 10),
        };
        let pace = Pace {
            publish: Duration::from_millis(publish),
            read: Duration::ZERO,
        };
        Self {
            members,
            kills,
            pace,
        }
    }
}

/// All processes, and what was done to them.
struct Run {
    bus: Bus,
    pace: Pace,
    members: Vec<Member>,
    gone: Vec<Member>,
    killed: Vec<Instant>,
    /// How often members ended, by id.
    ends: HashMap<String, usize>,
    started: usize,
}

impl Run {
    fn start(plan: &Plan) -> Self {
        let mut run = Self {
            bus: Bus::new(),
            pace: plan.pace,
            members: Vec::new(),
            gone: Vec::new(),
            killed: Vec::new(),
            ends: HashMap::new(),
            started: 0,
        };
        for number in 0..plan.members {
            run.join(&format!("m{number}"), plan.pace);
        }
        thread::sleep(MEETING);
        run
    }

    fn join(&mut self, id: &str, pace: Pace) {
        let member = Member::start(&self.bus, self.started, id, pace);
        self.started += 1;
        self.members.push(member);
    }

    fn take(&mut self, is_wanted: impl Fn(&Member) -> bool) -> Option<Member> {
        let at = self.members.iter().position(is_wanted)?;
        let member = self.members.remove(at);
        *self.ends.entry(member.id.clone()).or_default() += 1;
        Some(member)
    }

    /// Kills the listener, which comes back.
    fn kill(&mut self) {
        let start = Instant::now();
        let mut listener = loop {
            if let Some(listener) = self.take(Member::is_listener) {
                break listener;
            }
            let kills = self.killed.len();
            assert!(start.elapsed() < END, "no listener after {kills} kills");
            thread::sleep(Duration::from_millis(1));
        };
        self.killed.push(Instant::now());
        listener.kill();
        thread::sleep(Duration::from_millis(200));
        self.join(&listener.id, self.pace);
        self.gone.push(listener);
        thread::sleep(Duration::from_millis(300));
    }

    /// Waits until all is delivered, and holds what each has against what it is owed.
    fn end(mut self) {
        thread::sleep(MEETING);
        self.members.iter().for_each(Member::rest);
        let start = Instant::now();
        while !self.members.iter().all(Member::is_delivered) {
            assert!(start.elapsed() < END, "not all messages are delivered");
            thread::sleep(Duration::from_millis(10));
        }
        let drained = start.elapsed();
        // What is delivered may wait in the stdout of a process that is read slowly.
        let checked = loop {
            match account::check(&self.members, &self.ends) {
                Ok(checked) => break checked,
                Err(lost) => assert!(start.elapsed() < END, "{lost}"),
            }
            thread::sleep(Duration::from_millis(10));
        };
        let memory = self.members.iter().map(Member::memory).max();
        let kills = self.killed.len();
        self.members.append(&mut self.gone);
        let pauses = account::pauses(&self.killed, &self.members);
        println!(
            "{kills} kills, {checked} messages checked; pauses {pauses}; all is delivered after {drained:?}; \
             {} MB at most in a process",
            memory.unwrap_or_default()
        );
    }
}

#[test]
fn no_listener_that_is_killed_takes_a_message_with_it() {
    let plan = Plan::chosen(200);
    let mut run = Run::start(&plan);
    for _ in 0..plan.kills {
        run.kill();
    }
    run.end();
}

/// None of these is the listener: a process that is stopped is alive, and is not replaced.
#[test]
fn nor_beside_members_that_read_slowly_are_stopped_or_come_and_go() {
    let plan = Plan::chosen(60);
    let mut run = Run::start(&plan);
    // All that come in the time between two messages are read a little slower than they come.
    let slow = Pace {
        publish: Duration::from_millis(50),
        read: plan.pace.publish / u32::try_from(plan.members).unwrap(),
    };
    run.join("slow", slow);
    let mut stopped: Option<(usize, Instant)> = None;
    for kill in 0..plan.kills {
        let number_of = |run: &Run, is: &dyn Fn(&Member) -> bool| {
            let found = run.members.iter().find(|member| is(member));
            found.map(|member| member.number)
        };
        if kill % 8 == 1 {
            let is_fit = |member: &Member| !member.is_listener() && member.id.starts_with('m');
            let number = number_of(&run, &is_fit).unwrap();
            signal(&mut run, number, Signal::STOP);
            stopped = Some((number, Instant::now()));
        }
        run.kill();
        if let Some((number, at)) = stopped.take_if(|(_, at)| at.elapsed() > STOP) {
            println!("process {number} was stopped for {:?}", at.elapsed());
            signal(&mut run, number, Signal::CONT);
        }
        if let Some(mut guest) = run.take(|member| member.id == "guest" && !member.is_listener()) {
            guest.leave();
            run.gone.push(guest);
        }
        if number_of(&run, &|member| member.id == "guest").is_none() {
            run.join("guest", plan.pace);
        }
    }
    if let Some((number, at)) = stopped {
        thread::sleep(STOP.saturating_sub(at.elapsed()));
        signal(&mut run, number, Signal::CONT);
    }
    run.end();
}

fn signal(run: &mut Run, number: usize, signal: Signal) {
    let mut members = run.members.iter_mut();
    let member = members.find(|member| member.number == number).unwrap();
    member.is_held_up = true;
    member.signal(signal);
}
