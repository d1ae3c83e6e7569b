//! The one task of all links: feeds the machines, carries their effects out.
//!
//! In: what the engine and timers say. Out: events. May touch: tasks of its own for what waits, tokio's clock.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use kyneta_uds_core::{BoxError, Chain, panicked};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_service::Service;

use super::{
    CLOSE,
    event::{LinkEvent, LinkWatch},
    io::LinkIo,
    open::{Heard, answer, hear, say},
};
use crate::{
    admission::Admission,
    engine::{Accept, Accepted, Remote},
    link::{Conn, DownReason, Effect, Hello, Incarnation, Input, Link, Reason, Refusal},
    name::{Machine, MachineKey, MachineName},
    preface::Opening,
    settings::LinkSettings,
};

/// How many arrivals may say what they want at a time.
const ARRIVALS: usize = 64;

/// How many unknown keys are reported and logged, each once; more are refused, and logged as details.
const UNKNOWN_KEYS: usize = 64;

/// What this side is, for all tasks.
#[derive(Debug)]
pub(super) struct Us {
    pub(super) name: MachineName,
    pub(super) me: Incarnation,
    pub(super) admission: Admission,
    pub(super) open_timeout: Duration,
}

/// What tasks tell.
enum Word<Io> {
    /// A dial was welcomed.
    Dialed {
        attempt: u64,
        other: Incarnation,
        io: Io,
        took: Duration,
    },
    /// A dial has arrived.
    Arrived { hello: Hello, io: Io },
    /// An arrival has been answered.
    Welcomed { conn: Conn, io: Io },
    /// An arrival was refused before it counted.
    Refused { refusal: Refusal },
    /// Of no stream.
    Plain(Input),
}

/// One other machine.
struct Other<A, Io> {
    name: MachineName,
    address: A,
    link: Link,
    timer: Option<Instant>,
    /// The link that was told as up.
    told: Option<Conn>,
    /// Connections that are not closed.
    conns: BTreeMap<Conn, Held<Io>>,
}

struct Held<Io> {
    cut: CancellationToken,
    /// Until it is yielded or being answered.
    io: Option<Io>,
}

pub(super) struct Shell<C, A, Io> {
    us: Arc<Us>,
    connector: C,
    others: BTreeMap<MachineKey, Other<A, Io>>,
    events: mpsc::Sender<LinkEvent<Io>>,
    board: LinkWatch,
    to_me: mpsc::UnboundedSender<(MachineKey, Word<Io>)>,
    words: mpsc::UnboundedReceiver<(MachineKey, Word<Io>)>,
    tasks: JoinSet<()>,
    arrivals: Arc<Semaphore>,
    last_conn: u64,
    unknown: Vec<MachineKey>,
}

impl<C, A, Io> Shell<C, A, Io>
where
    A: Clone + Send + 'static,
    C: Service<Remote<A>, Response = Io, Error: Into<BoxError>, Future: Send>,
    C: Clone + Send + 'static,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) fn new(
        us: Arc<Us>,
        connector: C,
        machines: Vec<Machine<A>>,
        settings: LinkSettings,
        events: mpsc::Sender<LinkEvent<Io>>,
        board: LinkWatch,
    ) -> Self {
        let (to_me, words) = mpsc::unbounded_channel();
        let others = machines.into_iter().filter_map(|machine| {
            let role = us.admission.role(machine.key).ok()?;
            let other = Other {
                name: machine.name,
                address: machine.address,
                link: Link::new(role, us.me, settings),
                timer: None,
                told: None,
                conns: BTreeMap::new(),
            };
            Some((machine.key, other))
        });
        let others = others.collect();
        Self {
            us,
            connector,
            others,
            events,
            board,
            to_me,
            words,
            tasks: JoinSet::new(),
            arrivals: Arc::new(Semaphore::new(ARRIVALS)),
            last_conn: 0,
            unknown: Vec::new(),
        }
    }

    /// Until `stop`, or until it is dropped.
    pub(super) async fn run(mut self, mut acceptor: impl Accept<Io = Io>, stop: CancellationToken) {
        let keys: Vec<_> = self.others.keys().copied().collect();
        for key in keys {
            self.step(key, Input::Start).await;
        }
        let mut accepts = true;
        loop {
            let next_timer = self.others.values().filter_map(|other| other.timer).min();
            let arrivals = self.arrivals.clone();
            let arrival = async {
                let permit = arrivals.acquire_owned().await;
                // A panic is the engine's.
                let accepted = AssertUnwindSafe(acceptor.accept()).catch_unwind().await;
                (accepted, permit)
            };
            tokio::select! {
                Some((key, word)) = self.words.recv() => self.word(key, word).await,
                (accepted, permit) = arrival, if accepts => match (accepted, permit) {
                    (Ok(Some(accepted)), Ok(permit)) => self.arrival(accepted, permit),
                    (accepted, _) => {
                        accepts = false;
                        let why = match accepted {
                            Ok(_) => "the engine has ended".to_owned(),
                            Err(panic) => panicked("its acceptor", &*panic),
                        };
                        tracing::warn!(%why, "the engine accepts no more links; those that stand go on");
                        self.tell(LinkEvent::AcceptsNoMore { why }).await;
                    }
                },
                () = sleep_until(next_timer.unwrap_or_else(Instant::now)), if next_timer.is_some() => {
                    self.fire_timers().await;
                }
                Some(_) = self.tasks.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        self.end().await;
        if timeout(CLOSE, acceptor.close()).await.is_err() {
            tracing::warn!("the engine of the links has not closed within {CLOSE:?}");
        }
    }

    /// No link stands any more.
    async fn end(&mut self) {
        self.tasks.shutdown().await;
        for other in self.others.values_mut() {
            for held in std::mem::take(&mut other.conns).into_values() {
                held.cut.cancel();
            }
            self.board.change(&other.name, |status| status.up = false);
        }
    }

    async fn fire_timers(&mut self) {
        let now = Instant::now();
        let is_due = |other: &&mut Other<A, Io>| other.timer.is_some_and(|timer| timer <= now);
        let mut due = Vec::new();
        for (key, other) in self.others.iter_mut() {
            if is_due(&other) {
                other.timer = None;
                due.push(*key);
            }
        }
        for key in due {
            self.step(key, Input::TimerFired).await;
        }
    }

    fn arrival(&mut self, accepted: Accepted<Io>, permit: tokio::sync::OwnedSemaphorePermit) {
        let (us, to_me, key) = (self.us.clone(), self.to_me.clone(), accepted.key);
        self.tasks.spawn(async move {
            let _permit = permit;
            let heard = timeout(us.open_timeout, async {
                let mut io = accepted.open.await?;
                let word = match hear(&us, &mut io, key).await? {
                    Heard::Refused(refusal) => Word::Refused { refusal },
                    Heard::Opening(Opening::Link(hello)) => Word::Arrived { hello, io },
                    Heard::Opening(Opening::Knock { knock, .. }) => {
                        answer(&us, &mut io, Ok(us.me)).await?;
                        io.shutdown().await?;
                        Word::Plain(Input::Knocked { knock })
                    }
                };
                Ok::<_, std::io::Error>(word)
            });
            match heard.await {
                Ok(Ok(word)) => drop(to_me.send((key, word))),
                Ok(Err(error)) => {
                    tracing::debug!(%key, %error, "an arrival said nothing that counts");
                }
                Err(_) => tracing::debug!(%key, "an arrival said nothing in time"),
            }
        });
    }

    async fn word(&mut self, key: MachineKey, word: Word<Io>) {
        let input = match word {
            Word::Dialed {
                attempt,
                other,
                io,
                took,
            } => {
                if let Some(machine) = self.others.get(&key) {
                    self.board
                        .change(&machine.name, |status| status.opened_in = Some(took));
                }
                let conn = self.hold(key, io);
                Input::Dialed {
                    attempt,
                    conn,
                    other,
                }
            }
            Word::Arrived { hello, io } => {
                let conn = self.hold(key, io);
                Input::Accepted { conn, hello }
            }
            Word::Welcomed { conn, io } => return self.welcomed(key, conn, io).await,
            Word::Refused { refusal } => return self.refused(key, refusal, true).await,
            Word::Plain(input) => input,
        };
        self.step(key, input).await;
    }

    fn hold(&mut self, key: MachineKey, io: Io) -> Conn {
        self.last_conn += 1;
        let conn = Conn(self.last_conn);
        if let Some(other) = self.others.get_mut(&key) {
            let held = Held {
                cut: CancellationToken::new(),
                io: Some(io),
            };
            other.conns.insert(conn, held);
        }
        conn
    }

    async fn step(&mut self, key: MachineKey, input: Input) {
        let mut effects = Vec::new();
        if let Some(other) = self.others.get_mut(&key) {
            if let Input::Ended { conn, .. } = &input {
                other.conns.remove(conn);
            }
            other.link.step(input, fastrand::u64(..), &mut effects);
        }
        for effect in effects {
            self.carry_out(key, effect).await;
        }
    }

    async fn carry_out(&mut self, key: MachineKey, effect: Effect) {
        let Some(other) = self.others.get_mut(&key) else {
            return;
        };
        let machine = other.name.clone();
        match effect {
            Effect::Dial { attempt } => {
                let by = self.us.me;
                self.open(key, attempt, Opening::Link(Hello { by, attempt }));
            }
            Effect::Knock { attempt, knock } => {
                self.open(key, attempt, Opening::Knock { attempt, knock });
            }
            Effect::Welcome { conn } => {
                if let Some(io) = take_io(other, conn) {
                    self.welcome(key, conn, io);
                }
            }
            Effect::Refuse { conn, refusal } => {
                if let Some(mut io) = take_io(other, conn) {
                    let us = self.us.clone();
                    self.tasks.spawn(async move {
                        let refuse = async {
                            answer(&us, &mut io, Err(refusal)).await?;
                            io.shutdown().await
                        };
                        let _ = timeout(us.open_timeout, refuse).await;
                    });
                }
                other.conns.remove(&conn);
                // A dial that comes late, of a process that has a newer link, leaves none without a link.
                if refusal != Refusal::Outdated {
                    self.refused(key, refusal, true).await;
                }
            }
            Effect::Close { conn } => {
                if let Some(held) = other.conns.remove(&conn) {
                    held.cut.cancel();
                }
            }
            Effect::Timer { after } => other.timer = Some(Instant::now() + after),
            Effect::Up { conn } => {
                // The answerer's is up when its answer is written.
                if let Some(io) = take_io(other, conn) {
                    self.welcomed(key, conn, io).await;
                }
            }
            Effect::Down { conn, reason } => {
                if self.is_down(key, conn, &reason) {
                    self.tell(LinkEvent::Down { machine, reason }).await;
                }
            }
            Effect::Replaced { conn } => {
                if self.is_down(key, conn, &DownReason::Replaced) {
                    self.tell(LinkEvent::Replaced { machine }).await;
                }
            }
            Effect::Refused { refusal } => self.refused(key, refusal, true).await,
            Effect::Absent { reason } => {
                self.board
                    .change(&machine, |status| status.reason = Some(reason.clone()));
                match reason {
                    Reason::Refused(refusal) => self.refused(key, refusal, false).await,
                    reason => self.tell(LinkEvent::Absent { machine, reason }).await,
                }
            }
        }
    }

    /// Whether it was told as up: of a link whose answer could not be written nothing was told.
    fn is_down(&mut self, key: MachineKey, conn: Conn, reason: &DownReason) -> bool {
        let Some(other) = self.others.get_mut(&key) else {
            return false;
        };
        let was_told = other.told.take_if(|told| *told == conn).is_some();
        if was_told {
            self.board.change(&other.name, |status| {
                status.up = false;
                status.last_down = Some(reason.clone());
            });
        }
        was_told
    }

    /// Dials or knocks, in a task of its own.
    fn open(&mut self, key: MachineKey, attempt: u64, opening: Opening) {
        let Some(other) = self.others.get(&key) else {
            return;
        };
        let remote = Remote::new(key, other.address.clone());
        let (us, to_me, connector) = (self.us.clone(), self.to_me.clone(), self.connector.clone());
        self.tasks.spawn(async move {
            let opened = timeout(us.open_timeout, async {
                let mut io = connector.oneshot(remote).await.map_err(|error| {
                    let error: BoxError = error.into();
                    Reason::Unreachable(Chain(&*error).to_string())
                })?;
                let start = Instant::now();
                let other = say(&us, &mut io, key, opening).await?;
                Ok((other, io, start.elapsed()))
            });
            // A panic is the connector's.
            let opened = AssertUnwindSafe(opened).catch_unwind().await;
            let opened = opened.unwrap_or_else(|_| {
                let panicked = "the connector panicked".to_owned();
                Ok(Err(Reason::Unreachable(panicked)))
            });
            let word = match (opened, opening) {
                (Ok(Ok((other, io, took))), Opening::Link(_)) => Word::Dialed {
                    attempt,
                    other,
                    io,
                    took,
                },
                (Ok(Ok(_)), Opening::Knock { .. }) => Word::Plain(Input::KnockHeard { attempt }),
                (Ok(Err(reason)), _) => Word::Plain(Input::Failed { attempt, reason }),
                (Err(_), _) => {
                    let reason = Reason::Timeout;
                    Word::Plain(Input::Failed { attempt, reason })
                }
            };
            drop(to_me.send((key, word)));
        });
    }

    /// Answers a dial, in a task of its own.
    fn welcome(&mut self, key: MachineKey, conn: Conn, mut io: Io) {
        let (us, to_me) = (self.us.clone(), self.to_me.clone());
        self.tasks.spawn(async move {
            let answered = timeout(us.open_timeout, answer(&us, &mut io, Ok(us.me)));
            let failed = |error: String| {
                let reason = DownReason::Failed(error);
                Word::Plain(Input::Ended { conn, reason })
            };
            let word = match answered.await {
                Ok(Ok(())) => Word::Welcomed { conn, io },
                Ok(Err(error)) => failed(error.to_string()),
                Err(late) => failed(late.to_string()),
            };
            drop(to_me.send((key, word)));
        });
    }

    /// Both sides have said who they are: the link is yielded, if no newer one has taken its place.
    async fn welcomed(&mut self, key: MachineKey, conn: Conn, io: Io) {
        let Some(other) = self.others.get_mut(&key) else {
            return;
        };
        let Some(held) = other.conns.get(&conn) else {
            return;
        };
        other.told = Some(conn);
        let role = other.link.role();
        let machine = other.name.clone();
        let (to_me, cut) = (self.to_me.clone(), held.cut.clone());
        let io = LinkIo::new(io, cut, move |reason| {
            let ended = Input::Ended { conn, reason };
            drop(to_me.send((key, Word::Plain(ended))));
        });
        self.board.change(&machine, |status| {
            status.up = true;
            status.reason = None;
            status.opened += 1;
        });
        self.tell(LinkEvent::Up { machine, role, io }).await;
    }

    async fn refused(&mut self, key: MachineKey, refusal: Refusal, here: bool) {
        let machine = self.others.get(&key).map(|other| other.name.clone());
        if machine.is_none() {
            // It dials again and again, and must not fill the log.
            if self.unknown.contains(&key) || self.unknown.len() == UNKNOWN_KEYS {
                return tracing::debug!(%key, %refusal, "a link is refused again");
            }
            self.unknown.push(key);
        }
        let known_as = machine.as_ref().map(tracing::field::display);
        tracing::warn!(%key, machine = known_as, %refusal, here, "a link is refused");
        let event = LinkEvent::Refused {
            key,
            machine,
            refusal,
            here,
        };
        self.tell(event).await;
    }

    /// Waits while many events are not taken. Without a receiver its task is being ended.
    async fn tell(&mut self, event: LinkEvent<Io>) {
        tracing::debug!(?event, "link");
        let _ = self.events.send(event).await;
    }
}

fn take_io<A, Io>(other: &mut Other<A, Io>, conn: Conn) -> Option<Io> {
    other.conns.get_mut(&conn)?.io.take()
}
