//! The world of the model: three processes, their channels as the kernel has them, and clients that count what was
//! acknowledged to them.

use std::collections::VecDeque;

use kyneta_uds_handoff::{
    Formats, Limits, Predecessor, PredecessorEffect as Old, PredecessorInput as OldInput, Refusal,
    Successor, SuccessorEffect as New, SuccessorInput as NewInput, Word,
};

use super::Case;

/// Descriptors of listener and lock.
const SHARED: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    old: OldProcess,
    new: Vec<NewProcess>,
    channels: Vec<Channel>,
    connections: u32,
    /// What clients know to be taken by the service.
    acknowledged: u8,
    acknowledgements: u8,
    losses: u8,
    crashes: u8,
    timeouts: u8,
}

/// A control channel as the kernel has it: what is in it is neither lost with its sender nor taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Channel {
    to_old: VecDeque<Word>,
    to_new: VecDeque<Word>,
    /// The predecessor has shut down its reading half: nothing can be sent to it.
    shut: bool,
    old_closed: bool,
    new_closed: bool,
    /// The state that the sealed file holds.
    state: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OldProcess {
    is_alive: bool,
    /// The handoff that it is in: the successor's number and its machine.
    with: Option<(usize, Predecessor)>,
    /// How many successors it has heard.
    heard: usize,
    effects: VecDeque<Old>,
    is_frozen: bool,
    has_left: bool,
    count: u8,
    waits: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NewProcess {
    is_alive: bool,
    machine: Successor,
    effects: VecDeque<New>,
    serves: Serves,
    count: u8,
    waits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Serves {
    NotYet,
    All,
    Listener,
    /// It binds the path as always.
    Binds,
    GaveUp,
}

impl World {
    pub(super) fn new(case: Case) -> Self {
        let new = |_| {
            let mut effects = Vec::new();
            let machine = Successor::new(Formats::OURS, Limits::default(), 5000, &mut effects);
            NewProcess {
                is_alive: true,
                machine,
                effects: effects.into(),
                serves: Serves::NotYet,
                count: 0,
                waits: false,
            }
        };
        Self {
            old: OldProcess {
                is_alive: true,
                with: None,
                heard: 0,
                effects: VecDeque::new(),
                is_frozen: false,
                has_left: false,
                count: 0,
                waits: false,
            },
            new: (0..case.successors).map(new).collect(),
            channels: (0..case.successors).map(|_| Channel::default()).collect(),
            connections: case.connections,
            acknowledged: 0,
            acknowledgements: case.acknowledged,
            losses: case.losses,
            crashes: case.crashes,
            timeouts: case.timeouts,
        }
    }

    fn old_serves(&self) -> bool {
        self.old.is_alive && !self.old.is_frozen && !self.old.has_left
    }

    /// What must hold always.
    pub(super) fn check(&self) {
        let serving = |new: &&NewProcess| new.is_alive && new.serves == Serves::All;
        let holders = self.new.iter().filter(serving).count() + usize::from(self.old_serves());
        assert!(holders <= 1, "two serve: {self:#?}");
        if self.old_serves() {
            assert_eq!(self.old.count, self.acknowledged, "lost: {self:#?}");
        }
        for new in &self.new {
            if new.serves == Serves::All {
                let gone = !self.old.is_alive || self.old.is_frozen || self.old.has_left;
                assert!(gone, "taken from one that serves: {self:#?}");
                // A later server may have acknowledged more once this one has crashed.
                assert!(
                    !new.is_alive || new.count == self.acknowledged,
                    "lost: {self:#?}"
                );
            }
            if matches!(new.serves, Serves::Listener | Serves::Binds) {
                assert!(!self.old.is_alive, "the predecessor lives: {self:#?}");
            }
        }
    }

    /// What must hold when nothing can happen any more.
    pub(super) fn check_end(&self) {
        let serves = |new: &NewProcess| {
            new.is_alive && matches!(new.serves, Serves::All | Serves::Listener | Serves::Binds)
        };
        let all = self.new.iter().filter(|new| serves(new)).count();
        if self.old.is_alive && !self.old.has_left {
            assert!(self.old_serves() && all == 0, "nothing serves: {self:#?}");
        } else if self.old.has_left {
            // Taken was said: the one that said it serves, unless it has crashed since.
            let taken = self
                .new
                .iter()
                .any(|new| !new.is_alive || new.serves == Serves::All);
            assert!(taken, "left without a successor: {self:#?}");
        }
        for new in self.new.iter().filter(|new| new.is_alive) {
            assert!(new.machine.has_ended(), "waits for ever: {self:#?}");
        }
    }

    pub(super) fn taken(&self) -> bool {
        self.new
            .iter()
            .any(|new| new.is_alive && new.serves == Serves::All)
    }

    pub(super) fn listener_alone(&self) -> bool {
        self.new
            .iter()
            .any(|new| new.is_alive && new.serves == Serves::Listener)
    }

    pub(super) fn stayed(&self) -> bool {
        self.old_serves()
    }

    /// Every world that a crash leads to.
    pub(super) fn crashes(&self) -> Vec<Self> {
        let mut next = Vec::new();
        self.step(Self::old_crashes, &mut next);
        for index in 0..self.new.len() {
            self.step(|world| world.new_crashes(index), &mut next);
        }
        next
    }

    fn step(&self, change: impl Fn(&mut Self) -> bool, next: &mut Vec<Self>) {
        let mut world = self.clone();
        if change(&mut world) {
            next.push(world);
        }
    }

    /// Every world that another step leads to.
    pub(super) fn steps(&self) -> Vec<Self> {
        let mut next = Vec::new();
        let mut step = |change: &dyn Fn(&mut Self) -> bool| self.step(change, &mut next);
        step(&Self::old_acknowledges);
        step(&Self::old_works);
        step(&Self::old_sends_nothing_ahead);
        step(&Self::old_fails_to_freeze);
        step(&Self::old_hears);
        step(&Self::old_waits_too_long);
        for index in 0..self.new.len() {
            step(&|world| world.new_acknowledges(index));
            step(&|world| world.new_works(index));
            step(&|world| world.new_cannot_prepare(index));
            step(&|world| world.new_hears(index));
            step(&|world| world.new_waits_too_long(index));
            step(&|world| world.lose(index, true));
            step(&|world| world.lose(index, false));
        }
        next
    }

    fn old_acknowledges(&mut self) -> bool {
        let may = self.old_serves() && self.acknowledgements > 0;
        if may {
            self.acknowledgements -= 1;
            self.acknowledged += 1;
            self.old.count += 1;
        }
        may
    }

    fn old_input(&mut self, input: OldInput) {
        if let Some((_, machine)) = &mut self.old.with {
            let mut effects = Vec::new();
            machine.input(input, &mut effects);
            self.old.effects.extend(effects);
        }
    }

    /// The next effect, or the next successor.
    fn old_works(&mut self) -> bool {
        if !self.old.is_alive || self.old.has_left {
            return false;
        }
        let Some(effect) = self.old.effects.pop_front() else {
            return self.old_accepts();
        };
        let Some((index, _)) = self.old.with else {
            return false;
        };
        let channel = &mut self.channels[index];
        match effect {
            Old::Say(word) => channel.to_new.push_back(word),
            Old::Wait(_) => self.old.waits = true,
            Old::Share => channel.to_new.push_back(Word::Shared {
                descriptors: SHARED,
            }),
            Old::SendAhead { .. } => {
                channel.to_new.push_back(Word::Ahead { descriptors: 1 });
                self.old_input(OldInput::SentAhead { connections: 1 });
            }
            Old::Freeze => {
                self.old.is_frozen = true;
                let connections = self.connections;
                self.old_input(OldInput::Frozen { connections });
            }
            Old::Send { count, .. } => {
                channel.to_new.push_back(Word::Batch { descriptors: count });
            }
            Old::SendState => {
                channel.state = Some(self.old.count);
                let connections = self.connections;
                channel.to_new.push_back(Word::State {
                    size: 1,
                    connections,
                });
            }
            // Two steps, so that `Taken` may be said before, between and after them.
            Old::Revoke if !channel.shut => {
                channel.shut = true;
                self.old.effects.push_front(Old::Revoke);
            }
            Old::Revoke => {
                let taken = channel.to_old.contains(&Word::Taken);
                channel.to_old.clear();
                self.old_input(OldInput::ShutDown { taken });
            }
            Old::Thaw => self.old.is_frozen = false,
            Old::Leave => {
                channel.old_closed = true;
                self.old.has_left = true;
            }
            Old::Stay(_) => {
                channel.old_closed = true;
                self.old.with = None;
                self.old.waits = false;
            }
            other => panic!("{other:?}"),
        }
        true
    }

    fn old_accepts(&mut self) -> bool {
        if self.old.with.is_some() || self.old.heard == self.new.len() {
            return false;
        }
        let mut effects = Vec::new();
        let (formats, limits) = (Formats::OURS, Limits::default());
        let machine = Predecessor::new(formats, limits, SHARED, self.connections, &mut effects);
        self.old.effects.extend(effects);
        self.old.with = Some((self.old.heard, machine));
        self.old.heard += 1;
        true
    }

    fn old_sends_nothing_ahead(&mut self) -> bool {
        let next = self.old.effects.front();
        let may = self.old.is_alive && matches!(next, Some(Old::SendAhead { .. }));
        if may {
            self.old.effects.pop_front();
            self.old_input(OldInput::SentAhead { connections: 0 });
        }
        may
    }

    fn old_fails_to_freeze(&mut self) -> bool {
        let may = self.old.is_alive && self.old.effects.front() == Some(&Old::Freeze);
        if may {
            self.old.effects.pop_front();
            self.old.is_frozen = true;
            self.old_input(OldInput::NotFrozen(Refusal::Other("a layer".into())));
        }
        may
    }

    fn old_hears(&mut self) -> bool {
        if !self.old.is_alive || self.old.has_left || !self.old.effects.is_empty() {
            return false;
        }
        let Some((index, _)) = self.old.with else {
            return false;
        };
        let channel = &mut self.channels[index];
        match channel.to_old.pop_front() {
            Some(word) => self.old_input(OldInput::Heard(word)),
            None if channel.new_closed => self.old_input(OldInput::Closed),
            None => return false,
        }
        true
    }

    fn old_waits_too_long(&mut self) -> bool {
        let may = self.old.is_alive && self.old.waits && self.old.effects.is_empty();
        // Where nothing else can happen, time passes without being counted.
        if may && (self.timeouts > 0 || self.is_silent_for_old()) {
            self.timeouts = self.timeouts.saturating_sub(1);
            self.old.waits = false;
            self.old_input(OldInput::Timeout);
            return true;
        }
        false
    }

    fn is_silent_for_old(&self) -> bool {
        self.old.with.as_ref().is_some_and(|(index, _)| {
            self.channels[*index].to_old.is_empty() && !self.channels[*index].new_closed
        })
    }

    fn old_crashes(&mut self) -> bool {
        if !self.old.is_alive || self.old.has_left || self.crashes == 0 {
            return false;
        }
        self.crashes -= 1;
        self.old.is_alive = false;
        self.old.effects.clear();
        self.channels
            .iter_mut()
            .for_each(|channel| channel.old_closed = true);
        true
    }

    fn new_acknowledges(&mut self, index: usize) -> bool {
        let new = &mut self.new[index];
        let may = new.is_alive && new.serves == Serves::All && self.acknowledgements > 0;
        if may {
            self.acknowledgements -= 1;
            self.acknowledged += 1;
            new.count += 1;
        }
        may
    }

    fn new_input(&mut self, index: usize, input: NewInput) {
        let mut effects = Vec::new();
        self.new[index].machine.input(input, &mut effects);
        self.new[index].effects.extend(effects);
    }

    fn new_works(&mut self, index: usize) -> bool {
        let new = &mut self.new[index];
        if !new.is_alive {
            return false;
        }
        let Some(effect) = new.effects.pop_front() else {
            return false;
        };
        let channel = &mut self.channels[index];
        let open = !channel.shut && !channel.old_closed;
        match effect {
            New::Say(word) if open => channel.to_old.push_back(word),
            New::Say(_) => {}
            New::Wait(_) => new.waits = true,
            New::Prepare => {
                new.count = channel.state.expect("the file came with the word");
                self.new_input(index, NewInput::Prepared);
            }
            New::Commit if open => {
                channel.to_old.push_back(Word::Taken);
                self.new_input(index, NewInput::Committed);
            }
            New::Commit => self.new_input(index, NewInput::NotCommitted),
            New::ServeAll => new.serves = Serves::All,
            New::ServeListener => new.serves = Serves::Listener,
            New::Bind => new.serves = Serves::Binds,
            New::GiveUp(_) => {
                new.serves = Serves::GaveUp;
                channel.new_closed = true;
            }
            other => panic!("{other:?}"),
        }
        true
    }

    fn new_cannot_prepare(&mut self, index: usize) -> bool {
        let new = &mut self.new[index];
        let may = new.is_alive && new.effects.front() == Some(&New::Prepare);
        if may {
            new.effects.pop_front();
            self.new_input(
                index,
                NewInput::NotPrepared(Refusal::Other("unknown".into())),
            );
        }
        may
    }

    fn new_hears(&mut self, index: usize) -> bool {
        let new = &self.new[index];
        if !new.is_alive || !new.effects.is_empty() || new.machine.has_ended() {
            return false;
        }
        let channel = &mut self.channels[index];
        match channel.to_new.pop_front() {
            Some(word) => self.new_input(index, NewInput::Heard(word)),
            None if channel.old_closed => self.new_input(index, NewInput::Closed),
            None => return false,
        }
        true
    }

    fn new_waits_too_long(&mut self, index: usize) -> bool {
        let new = &self.new[index];
        let may = new.is_alive && new.waits && new.effects.is_empty() && !new.machine.has_ended();
        let channel = &self.channels[index];
        let silent = channel.to_new.is_empty() && !channel.old_closed;
        if may && (self.timeouts > 0 || silent) {
            self.timeouts = self.timeouts.saturating_sub(1);
            self.new[index].waits = false;
            self.new_input(index, NewInput::Timeout);
            return true;
        }
        false
    }

    fn new_crashes(&mut self, index: usize) -> bool {
        let new = &mut self.new[index];
        if !new.is_alive || self.crashes == 0 || new.serves == Serves::GaveUp {
            return false;
        }
        self.crashes -= 1;
        new.is_alive = false;
        new.effects.clear();
        self.channels[index].new_closed = true;
        true
    }

    /// The kernel loses no word; a process that is stopped, or a fault of a shell, may. The two words that decide
    /// must arrive.
    fn lose(&mut self, index: usize, to_new: bool) -> bool {
        let channel = &mut self.channels[index];
        let queue = if to_new {
            &mut channel.to_new
        } else {
            &mut channel.to_old
        };
        let may = self.losses > 0
            && queue.front().is_some_and(|word| {
                !matches!(word, Word::Taken | Word::Revoked | Word::Refused(_))
            });
        if may {
            queue.pop_front();
            self.losses -= 1;
        }
        may
    }
}
