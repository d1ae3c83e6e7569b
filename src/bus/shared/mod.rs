//! The state of a bus in this process: its member, the hub while it listens, and what goes between them and the
//! connections.
//!
//! In: connections that come and end, their payloads, messages of the user's. Out: frames in the outboxes of
//! connections, deliveries in the inbox, futures that are resolved. May touch: one lock, tokio's timers. No code of a
//! user runs under the lock: each [`Turn`](turn::Turn) does what may run such code after it.

mod admit;
mod connections;
mod core;
#[cfg(feature = "machines")]
mod links;
mod observe;
mod own;
mod runs;
mod saved;
mod timers;
mod turn;
mod windows;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use kyneta_uds_bus::{
    HubEvent, Member, MemberConfig, MemberEffect, MemberEvent, MemberId, NotAccepted, SeqNo,
    SlowPolicy, UpFrame,
};
use kyneta_uds_core::{PeerId, ignore_poison};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::saved::Aside;
#[cfg(target_os = "linux")]
pub(crate) use self::saved::{Resumed, whose};
use self::{
    core::{Core, OWN},
    turn::Turn,
};
use super::{
    encode::Encoder,
    event::{BusCounts, BusEvents},
    inbox::Inbox,
    info::MemberInfo,
    outbox::{Up, UpBox},
    receipts::Receipt,
    refusal::NotAdmittedToBus,
    request::Asker,
    trace::TraceParent,
    wire::{Body, Kind},
};

/// While a member keeps fewer messages than this, it asks for acknowledgements at once.
const FEW: usize = 16;

/// What does not change.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) me: MemberInfo,
    pub(crate) protocols: Vec<String>,
    pub(crate) member: MemberConfig,
    pub(crate) slow: SlowPolicy,
    /// How many messages may wait for acknowledgements.
    pub(crate) window: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_message: usize,
    pub(crate) regroup: Duration,
    pub(crate) stall: Duration,
    pub(crate) fast: bool,
}

/// Shared by the handles, the connections and the task that delivers.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Settings,
    core: Mutex<Core>,
    pub(crate) window: Arc<Semaphore>,
    /// Something that was kept is resolved.
    pub(crate) room: Arc<Notify>,
    /// The bytes that are kept.
    pub(crate) kept_bytes: AtomicUsize,
    pub(crate) inbox: Inbox,
    /// For answers.
    pub(crate) encoder: Mutex<Encoder>,
    pub(crate) events: BusEvents,
    pub(crate) present: watch::Sender<Present>,
    /// Why this member is not admitted.
    pub(crate) refused: watch::Sender<Option<NotAdmittedToBus>>,
    /// Cancelled when it has ended.
    pub(crate) ended: CancellationToken,
    /// It is being handed over.
    frozen: AtomicBool,
    /// It was to leave while it was frozen.
    leaves_later: AtomicBool,
    /// The process that goes on.
    pub(crate) handed_over: OnceLock<u32>,
}

/// The members that are listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Present {
    /// How often the list had changed.
    version: u64,
    members: Arc<BTreeMap<PeerId, Arc<MemberInfo>>>,
}

impl Present {
    /// By id.
    pub(crate) fn infos(&self) -> Vec<Arc<MemberInfo>> {
        self.members.values().cloned().collect()
    }
}

/// A message that is accepted.
pub(crate) struct Accepted {
    pub(crate) seq: SeqNo,
    pub(crate) receipt: Receipt,
}

impl Shared {
    pub(crate) fn new(settings: Settings, events: BusEvents) -> Arc<Self> {
        let me = settings.me.clone();
        let member = Member::new(me.member_id(), settings.member.clone());
        Arc::new(Self {
            window: Arc::new(Semaphore::new(settings.window)),
            inbox: Inbox::new(settings.slow),
            settings,
            core: Mutex::new(Core::new(member, me)),
            room: Arc::default(),
            kept_bytes: AtomicUsize::new(0),
            encoder: Mutex::default(),
            events,
            present: watch::Sender::default(),
            refused: watch::Sender::default(),
            ended: CancellationToken::new(),
            frozen: AtomicBool::new(false),
            leaves_later: AtomicBool::new(false),
            handed_over: OnceLock::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        ignore_poison(self.core.lock())
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn me(&self) -> &MemberInfo {
        &self.settings.me
    }

    pub(crate) fn protocols(&self) -> &[String] {
        &self.settings.protocols
    }

    pub(crate) fn counts(&self) -> BusCounts {
        self.events.counts()
    }

    /// What is kept until it is acknowledged: messages and bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let counts = self.lock().member.counts();
        (counts.kept, counts.kept_bytes)
    }

    /// The last number that was given to a message.
    pub(crate) fn last(&self) -> SeqNo {
        self.lock().member.last()
    }

    /// The member of an id that is listed.
    pub(crate) fn find(&self, id: &PeerId) -> Option<MemberId> {
        let core = self.lock();
        let mut listed = core.member.listed();
        listed.find(|of| of.id.peer == *id).map(|of| of.id.clone())
    }

    /// The members that are listed, by id. Not what is watched: that is told once the lock is released.
    pub(crate) fn listed(&self) -> Vec<Arc<MemberInfo>> {
        let listed = self.lock().listed.clone();
        listed.infos()
    }

    /// True when each member that was there when the hub welcomed this one is listed, or has left.
    pub(crate) fn has_met_all(&self) -> bool {
        let core = self.lock();
        core.hub.is_some() || core.meeting.is_over()
    }

    /// Accepts a message to all, whose slot in the window, if it has one, is taken already.
    pub(crate) fn publish(
        self: &Arc<Self>,
        data: Bytes,
        trace: Option<TraceParent>,
        has_slot: bool,
    ) -> Result<Accepted, NotAccepted> {
        let mut core = self.lock();
        let accepted = core.accept(None, Kind::Plain, data, trace, has_slot);
        self.carry_out_accepted(core);
        accepted
    }

    /// The same for a message to one.
    pub(crate) fn send(
        self: &Arc<Self>,
        to: MemberId,
        kind: Kind,
        data: Bytes,
        trace: Option<TraceParent>,
        request: Option<Asker>,
        has_slot: bool,
    ) -> Result<Accepted, NotAccepted> {
        let mut core = self.lock();
        let accepted = core.accept(Some(to.clone()), kind, data, trace, has_slot);
        // At the end those that wait were told already.
        let request = request.filter(|_| !core.receipts.have_ended());
        if let (Ok(accepted), Some(request)) = (&accepted, request) {
            core.requests.asked(accepted.seq, to, request);
        }
        self.carry_out_accepted(core);
        accepted
    }

    /// What follows when a message was accepted. Mostly there is a frame for the hub and nothing else, or not even that.
    #[inline]
    fn carry_out_accepted(self: &Arc<Self>, mut core: MutexGuard<'_, Core>) {
        let waker = core.send_up();
        if core.member_out.is_empty() {
            // Nothing is resolved, so there is no more room.
            let _ = self.store_kept(&core);
            drop(core);
            if let Some(waker) = waker {
                waker.wake();
            }
        } else {
            self.carry_out_effects(core, waker);
        }
    }

    fn carry_out_effects(
        self: &Arc<Self>,
        core: MutexGuard<'_, Core>,
        up: Option<Arc<AtomicWaker>>,
    ) {
        self.turn_with(core, |core, turn| {
            turn.after.up = up;
            let mut out = std::mem::take(&mut core.member_out);
            core.member_effects(&mut out, turn);
            core.member_out = out;
            self.acknowledge_own(core, turn);
        });
    }

    /// What handles see without the lock. True when there is room again for those that wait for it.
    fn store_kept(&self, core: &Core) -> bool {
        let (bytes, max) = (core.member.counts().kept_bytes, self.settings.max_bytes);
        // The lock of the bus is held wherever it is stored.
        let before = self.kept_bytes.load(Ordering::Relaxed);
        self.kept_bytes.store(bytes, Ordering::Release);
        before >= max && bytes < max
    }

    /// Answers a request of a member.
    pub(crate) fn answer(self: &Arc<Self>, to: &MemberId, seq: SeqNo, kind: Kind, data: Bytes) {
        self.turn(|core, turn| {
            let request = core.requests.cancelled(to, seq);
            if request.is_some() {
                core.send_beyond(to, kind, data, turn);
                self.acknowledge_own(core, turn);
            }
            request
        });
    }

    /// A request's answer is not waited for any more.
    pub(crate) fn give_up(self: &Arc<Self>, seq: SeqNo) {
        self.turn(|core, turn| {
            let request = core.requests.gave_up(seq);
            if let Some((of, _)) = &request {
                core.send_beyond(of, Kind::Cancel(seq.0), Bytes::new(), turn);
            }
            request
        });
    }

    /// Messages were handed to the user: their senders are told.
    pub(crate) fn acknowledge(self: &Arc<Self>) {
        self.turn(|core, turn| {
            self.tell_got(&mut core.member);
            core.own_member_goes_on(turn);
            turn.member(MemberEvent::Acknowledge);
        });
    }

    /// The same for a connection that is writing anyway: what it is to write is added to `into`.
    pub(crate) fn acknowledge_with(&self, number: u64, into: &mut VecDeque<Up>) {
        let mut core = self.lock();
        let Core {
            member,
            up,
            member_out,
            ..
        } = &mut *core;
        let Some(outbox) = up.as_mut().filter(|up| up.number == number) else {
            return;
        };
        self.tell_got(member);
        member.handle(MemberEvent::Acknowledge, member_out);
        for effect in member_out.drain(..) {
            if let MemberEffect::Send(frame) = effect {
                outbox.push(Up::Frame(frame));
            }
        }
        outbox.take(into);
    }

    /// The same for what this process's own member, while it listens, sends anyway.
    fn acknowledge_own(&self, core: &mut Core, turn: &mut Turn<'_>) {
        if self.inbox.has_ripe() && core.own_member_owes() {
            self.tell_got(&mut core.member);
            turn.member(MemberEvent::Acknowledge);
        }
    }

    /// What the handler has got may be acknowledged.
    fn tell_got(&self, member: &mut Member<Body>) {
        self.inbox.owe_nothing_lazily();
        self.inbox
            .tell_got(|from, n| member.got(&from.member_id(), n));
    }

    /// The member leaves for good.
    pub(crate) fn bye(self: &Arc<Self>) {
        if self.is_frozen() {
            return self.leaves_later.store(true, Ordering::Release);
        }
        self.turn(|core, turn| {
            // What it has is not missed by it.
            self.tell_got(&mut core.member);
            turn.member(MemberEvent::Acknowledge);
            core.run(turn);
            if let Some(outbox) = &mut core.up {
                turn.up(outbox, Up::Frame(UpFrame::Bye));
            }
            turn.hub(HubEvent::Frame {
                from: OWN,
                frame: UpFrame::Bye,
            });
        });
    }

    /// All is over: what waits is told.
    pub(crate) fn over(&self) {
        let mut core = self.lock();
        // What was accepted after the state was taken goes on in no process.
        let sent = core.frozen_at.unwrap_or(SeqNo(u64::MAX));
        let waiting = core.receipts.end(sent);
        let requests = std::mem::take(&mut core.requests);
        drop(core);
        self.ended.cancel();
        self.window.close();
        self.inbox.close();
        self.room.notify_waiters();
        waiting.into_iter().for_each(Waker::wake);
        drop(requests);
    }
}

impl Core {
    /// Accepts a message. What it brings about is in `member_out`.
    // To all or to one: each has its own code.
    #[inline(always)]
    fn accept(
        &mut self,
        to: Option<MemberId>,
        kind: Kind,
        data: Bytes,
        trace: Option<TraceParent>,
        has_slot: bool,
    ) -> Result<Accepted, NotAccepted> {
        let Self { member, up, .. } = self;
        let size = data.len();
        let body = Body {
            kind,
            // The acknowledgement of a request goes with its answer.
            at_once: kind == Kind::Plain && member.counts().kept < FEW,
            data,
            trace: trace.map(Arc::new),
        };
        let takes = |to: &_, message: &_| match up {
            Some(outbox) => outbox.takes(to, message),
            None => false,
        };
        let seq = member.accept_showing(to, body, size, takes, &mut self.member_out)?;
        let receipt = self.receipts.give(seq, has_slot);
        Ok(Accepted { seq, receipt })
    }

    /// If the only effect is a frame for the hub, sends it. The waker of a connection that is to be woken.
    #[inline]
    fn send_up(&mut self) -> Option<Arc<AtomicWaker>> {
        let outbox = self.up.as_mut()?;
        if !matches!(*self.member_out, [MemberEffect::Send(_)]) {
            return None;
        }
        let Some(MemberEffect::Send(frame)) = self.member_out.pop() else {
            return None;
        };
        let is_to_be_woken = outbox.push(Up::Frame(frame));
        is_to_be_woken.then(|| outbox.waker().clone())
    }

    fn is_up(&self, number: u64) -> bool {
        self.up.as_ref().is_some_and(|up| up.number == number)
    }

    /// What waits for this connection, if it is still used.
    fn up_of(&mut self, number: u64) -> Option<&mut UpBox> {
        self.up.as_mut().filter(|up| up.number == number)
    }

    /// Sends beyond the window, to a member that may have left: there are at most as many of these as requests.
    fn send_beyond(&mut self, to: &MemberId, kind: Kind, data: Bytes, turn: &mut Turn<'_>) {
        let size = data.len();
        let body = Body {
            kind,
            at_once: false,
            data,
            trace: None,
        };
        let mut out = std::mem::take(&mut self.member_out);
        let accepted = self.member.accept(Some(to.clone()), body, size, &mut out);
        if let Ok(seq) = accepted {
            self.receipts.give(seq, false);
            self.member_effects(&mut out, turn);
        }
        self.member_out = out;
    }
}
