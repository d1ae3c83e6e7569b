//! Random schedules: whatever the order of events is, no sender and no future waits for ever while the
//! kernel has room.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Helpers stand beside the tests.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, Ready, poll_fn, ready},
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, BoxError, Channel, ConnectionInfo, DisconnectReason, Inbound, Message, Run,
    WireVersion,
};
use kyneta_uds_queue::{Handle, Overflow, QueueConfig, SendError, WeakHandle, queue};
use tokio::{runtime::Builder, time::advance};
use tokio_test::task::{self, Spawn};
use tower::{Service, ServiceExt, service_fn};

/// A small generator, so that a seed is all that a failure needs.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Msg {
    ask: bool,
    sender: usize,
    number: u32,
    size: usize,
}

impl Message for Msg {
    fn size(&self) -> usize {
        self.size
    }
}

/// One direction between two ends.
#[derive(Debug, Default)]
struct Kernel {
    held: VecDeque<Msg>,
    most: usize,
    /// All that was ever taken.
    taken: Vec<Msg>,
    ended: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Kernel {
    fn wake(waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
struct Link {
    out: Arc<Mutex<Kernel>>,
    into: Arc<Mutex<Kernel>>,
    buffer: VecDeque<Msg>,
    worked: u64,
}

/// Messages in the write buffer of a link.
const BUFFER: usize = 2;

impl Link {
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut out = self.out.lock().unwrap();
        if out.broken {
            return Poll::Ready(Err("broken".into()));
        }
        while out.held.len() < out.most
            && let Some(msg) = self.buffer.pop_front()
        {
            out.held.push_back(msg);
            out.taken.push(msg);
            Kernel::wake(&mut out.reader);
        }
        if self.buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        out.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Service<Msg> for Link {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.buffer.len() < BUFFER {
            return Poll::Ready(Ok(()));
        }
        self.flush(cx)
    }

    fn call(&mut self, msg: Msg) -> Self::Future {
        self.buffer.push_back(msg);
        ready(Ok(()))
    }
}

impl Stream for Link {
    type Item = Result<Inbound<Msg>, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let into = self.into.clone();
        let mut into = into.lock().unwrap();
        if let Some(msg) = into.held.pop_front() {
            Kernel::wake(&mut into.writer);
            self.worked += msg.size as u64;
            return Poll::Ready(Some(Ok(Inbound::Message(msg))));
        }
        if into.broken {
            return Poll::Ready(Some(Err("broken".into())));
        }
        if into.ended {
            return Poll::Ready(None);
        }
        into.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Channel<Msg> for Link {
    type In = Msg;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        std::task::ready!(self.flush(cx))?;
        let mut out = self.out.lock().unwrap();
        out.ended = true;
        Kernel::wake(&mut out.reader);
        Poll::Ready(Ok(()))
    }

    fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn worked(&self) -> u64 {
        self.worked
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo::default()
    }

    fn begin_with(&mut self, _: WireVersion) -> bool {
        false
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        None
    }

    fn interrupt(&mut self, _: DisconnectReason) -> bool {
        false
    }

    /// How many it takes differs with what it has in its buffer and in hand, and may be none.
    fn call_many<R: Run<Msg>>(&mut self, run: &mut R) -> Result<(), BoxError> {
        let most = (self.worked as usize + self.buffer.len()) % (BUFFER + 1);
        for _ in 0..most {
            if self.buffer.len() < BUFFER
                && let Some(msg) = run.front()
            {
                self.buffer.push_back(*msg);
                run.called();
            }
        }
        Ok(())
    }
}

/// Wakes itself so many times before it is ready.
async fn pauses(mut times: u64) {
    poll_fn(|cx| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What has come of a schedule so far.
#[derive(Debug, Default)]
struct Seen {
    /// Of each end and sender, the number that is due.
    due: HashMap<(usize, bool, usize), u32>,
    messages: usize,
    out_of_order: Vec<Msg>,
}

type Jobs = Arc<Mutex<(VecDeque<Msg>, Option<Waker>)>>;

/// Sends `msg` in one of the ways that there are. Until it is in the queue.
async fn send(handle: &mut Handle<Msg>, msg: Msg, way: u64, random: &mut Random) {
    match way {
        0 => handle.queue(msg).await.unwrap(),
        1 => handle.ready().await.unwrap().call(msg).await.unwrap(),
        2 => {
            handle.queue(msg).await.unwrap();
            handle.flushed().await.unwrap();
        }
        // It tries again and again.
        3 => loop {
            match handle.try_queue(msg) {
                Ok(()) => break,
                Err(error) => assert!(matches!(error.error, SendError::Full { .. }), "{error:?}"),
            }
            pauses(1 + random.below(2)).await;
        },
        // It holds its permit for a while.
        4 => {
            handle.ready().await.unwrap();
            let after = Duration::from_millis(random.below(150));
            tokio::time::sleep(after).await;
            drop(handle.call(msg));
        }
        // It gives up its place a few times.
        _ => {
            for _ in 0..random.below(3) {
                let mut enqueue = std::pin::pin!(handle.queue(msg));
                let done = poll_fn(|cx| Poll::Ready(enqueue.as_mut().poll(cx).is_ready())).await;
                if done {
                    return;
                }
                pauses(1).await;
            }
            handle.queue(msg).await.unwrap();
        }
    }
}

/// As `send`, where the policy is to fail: again until it is let in.
async fn send_or_try(handle: &mut Handle<Msg>, msg: Msg, random: &mut Random) {
    loop {
        let queued = match random.below(3) {
            0 => handle.try_queue(msg).map_err(|error| error.error),
            1 => handle.queue(msg).await,
            _ => handle.ready().await.unwrap().call(msg).await,
        };
        match queued {
            Ok(()) => return,
            Err(error) => assert!(matches!(error, SendError::Full { .. }), "{error:?}"),
        }
        pauses(1).await;
    }
}

type Task = Spawn<Pin<Box<dyn Future<Output = ()>>>>;

struct End {
    handle: Handle<Msg>,
    tasks: Vec<Task>,
}

fn end(
    me: usize,
    link: Link,
    config: QueueConfig,
    seen: &Arc<Mutex<Seen>>,
    random: &mut Random,
) -> End {
    let mut tasks: Vec<Task> = Vec::new();
    let fails = config.overflows() == Overflow::Fail;
    let (handle, driver) = queue(config);
    let jobs = Jobs::default();
    let how = random.below(4);
    let handler = {
        let (weak, seen, jobs): (WeakHandle<Msg>, _, _) =
            (handle.downgrade(), seen.clone(), jobs.clone());
        let random = random.clone();
        service_fn(move |msg: Msg| {
            {
                let mut seen = seen.lock().unwrap();
                seen.messages += 1;
                let due = seen.due.entry((me, msg.ask, msg.sender)).or_default();
                let in_order = *due == msg.number;
                *due += 1;
                if !in_order {
                    seen.out_of_order.push(msg);
                }
            }
            let (handle, jobs) = (weak.upgrade(), jobs.clone());
            let mut random = random.clone();
            random.below(u64::from(msg.number) + 1);
            async move {
                if !msg.ask {
                    return Ok::<(), BoxError>(());
                }
                let answer = Msg { ask: false, ..msg };
                if how == 3 {
                    // Another task answers; only one job waits for it.
                    poll_fn(|cx| {
                        let mut jobs = jobs.lock().unwrap();
                        if jobs.0.is_empty() {
                            jobs.0.push_back(answer);
                            Kernel::wake(&mut jobs.1);
                            return Poll::Ready(());
                        }
                        jobs.1 = Some(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                    return Ok(());
                }
                let mut handle = handle.unwrap();
                pauses(random.below(2)).await;
                if fails {
                    send_or_try(&mut handle, answer, &mut random).await;
                } else {
                    send(&mut handle, answer, how, &mut random).await;
                }
                Ok(())
            }
        })
    };
    let drive = driver.drive(link, handler);
    tasks.push(task::spawn(Box::pin(async move {
        drive.await;
    })));
    if how == 3 {
        let way = random.below(4);
        let mut random = random.clone();
        let weak = handle.downgrade();
        tasks.push(task::spawn(Box::pin(async move {
            loop {
                let job = poll_fn(|cx| {
                    let mut jobs = jobs.lock().unwrap();
                    match jobs.0.front().copied() {
                        Some(job) => Poll::Ready(job),
                        None => {
                            jobs.1 = Some(cx.waker().clone());
                            Poll::Pending
                        }
                    }
                })
                .await;
                let Some(mut handle) = weak.upgrade() else {
                    return;
                };
                if fails {
                    send_or_try(&mut handle, job, &mut random).await;
                } else {
                    send(&mut handle, job, way, &mut random).await;
                }
                let mut jobs = jobs.lock().unwrap();
                jobs.0.pop_front();
                Kernel::wake(&mut jobs.1);
            }
        })));
    }
    End { handle, tasks }
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..5 {
        random.below(2);
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let kernel = |random: &mut Random| {
        let most = 1 + random.below(4) as usize;
        Arc::new(Mutex::new(Kernel {
            most,
            ..Kernel::default()
        }))
    };
    let (one, other) = (kernel(&mut random), kernel(&mut random));
    let mut expected = 0;
    let mut tasks = Vec::new();
    let mut handles = Vec::new();
    for (me, out, into) in [(0, &one, &other), (1, &other, &one)] {
        let config = QueueConfig::default()
            .max_messages(1 + random.below(4) as usize)
            .max_bytes(1 + random.below(400) as usize)
            .overflow(match random.below(3) {
                0 => Overflow::Wait,
                1 => Overflow::Fail,
                _ => Overflow::Disconnect {
                    after: Duration::from_secs(20),
                },
            });
        let fails = config.overflows() == Overflow::Fail;
        let link = Link {
            out: out.clone(),
            into: into.clone(),
            buffer: VecDeque::new(),
            worked: 0,
        };
        let mut end = end(me, link, config, &seen, &mut random);
        for sender in 0..random.below(4) as usize {
            let count = random.below(12) as u32;
            let asks = random.below(3) > 0;
            expected += count as usize * if asks { 2 } else { 1 };
            let mut handle = end.handle.clone();
            let way = random.below(6);
            let mut random = Random(random.0 ^ (sender as u64 + 1));
            end.tasks.push(task::spawn(Box::pin(async move {
                for number in 0..count {
                    // Answers bear the sender's number: those that do not ask have others.
                    let size = 1 + random.below(200) as usize;
                    let sender = if asks { sender } else { sender + 100 };
                    let msg = Msg {
                        ask: asks,
                        sender,
                        number,
                        size,
                    };
                    if fails {
                        send_or_try(&mut handle, msg, &mut random).await;
                    } else {
                        send(&mut handle, msg, way, &mut random).await;
                    }
                }
            })));
        }
        tasks.extend(end.tasks);
        handles.push(end.handle);
    }
    let mut tasks: Vec<(Task, bool, bool)> =
        tasks.into_iter().map(|task| (task, false, false)).collect();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut quiet = 0;
    let mut steps = 0;
    loop {
        let _entered = runtime.enter();
        let woken: Vec<usize> = tasks
            .iter()
            .enumerate()
            .filter(|(_, (task, started, done))| !done && (!started || task.is_woken()))
            .map(|(at, _)| at)
            .collect();
        let before = seen.lock().unwrap().messages;
        steps += 1;
        if woken.is_empty() || steps % 50 == 0 {
            drop(_entered);
            runtime.block_on(advance(Duration::from_millis(10)));
            quiet += 1;
        } else {
            let at = woken[random.below(woken.len() as u64) as usize];
            let (task, started, done) = &mut tasks[at];
            *started = true;
            *done = task.poll().is_ready();
        }
        let now = seen.lock().unwrap().messages;
        if now > before {
            quiet = 0;
        }
        if now == expected {
            break;
        }
        assert!(now < expected, "seed {seed}");
        assert!(quiet < 200, "seed {seed}: {now} of {expected}, {handles:?}");
    }
    let seen = seen.lock().unwrap();
    assert!(seen.out_of_order.is_empty(), "seed {seed}: {seen:?}");
}

fn seeds() -> Range<u64> {
    std::env::var("SEEDS").map_or(0..300, |seeds| {
        let (from, to) = seeds.split_once("..").unwrap();
        from.parse().unwrap()..to.parse().unwrap()
    })
}

#[test]
fn whatever_the_schedule_is_all_that_is_sent_arrives_and_is_answered() {
    for seed in seeds() {
        run(seed);
    }
}

/// What became of each message: whether it was sent, or may have been.
type Outcomes = Arc<Mutex<Vec<(Msg, Result<(), bool>)>>>;

async fn send_and_tell(handle: &mut Handle<Msg>, msg: Msg, outcomes: Outcomes) {
    let sent = match handle.ready().await {
        Ok(handle) => handle.call(msg).await,
        Err(error) => Err(error),
    };
    let outcome = sent.map_err(|error| error.may_have_been_sent());
    outcomes.lock().unwrap().push((msg, outcome));
}

/// Drives one connection, with this function as its peer: takes some messages, sends some, and then ends the
/// connection in a random way.
fn run_to_the_end(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    random.below(2);
    let (out, into) = (
        Arc::<Mutex<Kernel>>::default(),
        Arc::<Mutex<Kernel>>::default(),
    );
    out.lock().unwrap().most = random.below(3) as usize;
    let link = Link {
        out: out.clone(),
        into: into.clone(),
        buffer: VecDeque::new(),
        worked: 0,
    };
    let config = QueueConfig::default()
        .max_messages(1 + random.below(4) as usize)
        .drain_timeout(Duration::from_millis(500));
    let (handle, driver) = queue(config);
    let outcomes = Outcomes::default();
    let message = |sender, number| Msg {
        ask: false,
        sender,
        number,
        size: 10,
    };
    let answers = {
        let (weak, outcomes) = (handle.downgrade(), outcomes.clone());
        service_fn(move |msg: Msg| {
            let (handle, outcomes) = (weak.upgrade(), outcomes.clone());
            async move {
                if let Some(mut handle) = handle {
                    send_and_tell(&mut handle, msg, outcomes).await;
                }
                Ok::<(), BoxError>(())
            }
        })
    };
    let mut drive = Some((task::spawn(Box::pin(driver.drive(link, answers))), false));
    let mut tasks: Vec<(Task, bool)> = Vec::new();
    let (senders, count) = (3, 8);
    for sender in 0..senders {
        let (mut handle, outcomes) = (handle.clone(), outcomes.clone());
        let task: Task = task::spawn(Box::pin(async move {
            for number in 0..count {
                send_and_tell(&mut handle, message(sender, number), outcomes.clone()).await;
            }
        }));
        tasks.push((task, false));
    }
    for flushes in [true, false] {
        let handle = handle.clone();
        let task: Task = task::spawn(Box::pin(async move {
            if flushes {
                let _ = handle.flushed().await;
            } else {
                handle.closed().await;
            }
        }));
        tasks.push((task, false));
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ends_at = random.below(60);
    for step in 0..ends_at + 400 {
        let entered = runtime.enter();
        if step == ends_at {
            let (mut out, mut into) = (out.lock().unwrap(), into.lock().unwrap());
            match random.below(6) {
                0 => out.broken = true,
                1 => into.broken = true,
                2 => into.ended = true,
                3 => {
                    drop((out, into));
                    handle.close();
                    continue;
                }
                4 => {
                    drop((out, into));
                    handle.abort();
                    continue;
                }
                _ => {
                    drop((out, into));
                    drive = None;
                    continue;
                }
            }
            Kernel::wake(&mut out.writer);
            Kernel::wake(&mut into.reader);
        }
        match random.below(4) {
            0 if step < ends_at => {
                let mut into = into.lock().unwrap();
                let number = into.taken.len() as u32;
                into.held.push_back(message(100, number));
                into.taken.push(message(100, number));
                Kernel::wake(&mut into.reader);
            }
            1 => {
                let mut out = out.lock().unwrap();
                out.held.pop_front();
                out.most = out.most.max(1);
                Kernel::wake(&mut out.writer);
            }
            2 => {
                if let Some((driven, started)) = &mut drive
                    && (driven.is_woken() || !std::mem::replace(started, true))
                    && driven.poll().is_ready()
                {
                    drive = None;
                }
            }
            _ => {
                let at = random.below(tasks.len().max(1) as u64) as usize;
                if let Some((task, started)) = tasks.get_mut(at)
                    && (task.is_woken() || !std::mem::replace(started, true))
                    && task.poll().is_ready()
                {
                    drop(tasks.swap_remove(at));
                }
            }
        }
        if step > ends_at {
            drop(entered);
            runtime.block_on(advance(Duration::from_millis(10)));
        }
    }
    assert!(drive.is_none(), "seed {seed}: not ended");
    assert!(tasks.is_empty(), "seed {seed}: {} wait", tasks.len());
    let taken = &out.lock().unwrap().taken;
    for (msg, outcome) in outcomes.lock().unwrap().iter() {
        let was_taken = taken.contains(msg);
        match outcome {
            Ok(()) => assert!(was_taken, "seed {seed}: {msg:?} was not sent"),
            Err(false) => assert!(!was_taken, "seed {seed}: {msg:?} was sent"),
            Err(true) => {}
        }
    }
    for sender in (0..senders).chain([100]) {
        let numbers = taken.iter().filter(|msg| msg.sender == sender);
        let numbers: Vec<u32> = numbers.map(|msg| msg.number).collect();
        assert!(numbers.is_sorted(), "seed {seed}: {numbers:?}");
    }
}

#[test]
fn whatever_ends_a_connection_each_sender_learns_what_became_of_its_message() {
    for seed in seeds() {
        run_to_the_end(seed);
    }
}
