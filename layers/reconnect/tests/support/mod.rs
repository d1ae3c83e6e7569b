//! A make service that counts what it makes, and channels whose other end is the test.
//!
//! In: a plan of which attempts fail. Out: the connections, to be read, ended and broken by the test.

#![allow(clippy::unwrap_used)] // No test function stands here, but only tests call.

use std::{
    collections::VecDeque,
    future::{Future, Ready, ready},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, Channel, ConnectionInfo, DisconnectReason, Inbound, Redial, WireVersion,
};
use tokio::time::Instant;
use tower::Service;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Connect,
    Accepted,
}

impl Redial for Target {
    fn redial(&self) -> Option<Self> {
        (*self == Self::Connect).then_some(Self::Connect)
    }
}

/// The result of an attempt; without a plan it succeeds.
pub(crate) enum Plan {
    Refused,
    Hangs,
}

#[derive(Default)]
struct Made {
    plans: VecDeque<Plan>,
    attempts: Vec<Instant>,
    pipes: Vec<Pipe>,
}

#[derive(Clone, Default)]
pub(crate) struct MakePipe(Arc<Mutex<Made>>);

impl MakePipe {
    pub(crate) fn plan(&self, plans: impl IntoIterator<Item = Plan>) {
        self.0.lock().unwrap().plans.extend(plans);
    }

    pub(crate) fn refuse(&self, times: usize) {
        self.plan((0..times).map(|_| Plan::Refused));
    }

    /// Seconds from the first attempt to each.
    pub(crate) fn attempts(&self) -> Vec<f64> {
        let made = self.0.lock().unwrap();
        let first = made.attempts.first().copied();
        made.attempts
            .iter()
            .map(|at| (*at - first.unwrap()).as_secs_f64())
            .collect()
    }

    pub(crate) fn instances(&self) -> usize {
        self.0.lock().unwrap().pipes.len()
    }

    /// The last pipe made.
    pub(crate) fn pipe(&self) -> Pipe {
        self.0.lock().unwrap().pipes.last().unwrap().clone()
    }
}

impl Service<Target> for MakePipe {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Target) -> Self::Future {
        let mut made = self.0.lock().unwrap();
        made.attempts.push(Instant::now());
        match made.plans.pop_front() {
            Some(Plan::Refused) => Box::pin(ready(Err(io::ErrorKind::ConnectionRefused.into()))),
            Some(Plan::Hangs) => Box::pin(std::future::pending()),
            None => {
                let pipe = Pipe::default();
                made.pipes.push(pipe.clone());
                Box::pin(ready(Ok(pipe)))
            }
        }
    }
}

#[derive(Default)]
struct State {
    buffer: Vec<u32>,
    taken: Vec<u32>,
    stuck: bool,
    breaks: Option<io::ErrorKind>,
    writes_fail: bool,
    inbound: VecDeque<u32>,
    eof: bool,
    closed: bool,
    waker: Option<Waker>,
}

/// One connection. `breaks` is an error in both directions, `writes_fail` one of writing.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Arc<Mutex<State>>);

impl Pipe {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap();
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn deliver(&self, msg: u32) {
        self.change(|state| state.inbound.push_back(msg));
    }

    pub(crate) fn end(&self) {
        self.change(|state| state.eof = true);
    }

    pub(crate) fn break_it(&self) {
        self.change(|state| state.breaks = Some(io::ErrorKind::ConnectionReset));
    }

    /// Takes no more; what was sent can still be read.
    pub(crate) fn fail_writes(&self) {
        self.change(|state| state.writes_fail = true);
    }

    pub(crate) fn stick(&self, stuck: bool) {
        self.change(|state| state.stuck = stuck);
    }

    pub(crate) fn taken(&self) -> Vec<u32> {
        self.0.lock().unwrap().taken.clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().unwrap().closed
    }

    /// True when the channel has dropped it: the make service holds one, the test the other.
    pub(crate) fn is_released(&self) -> bool {
        Arc::strong_count(&self.0) == 2
    }
}

impl State {
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.breaks {
            return Poll::Ready(Err(kind.into()));
        }
        if self.writes_fail {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.stuck && !self.buffer.is_empty() {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.taken.append(&mut self.buffer);
        Poll::Ready(Ok(()))
    }
}

impl Service<u32> for Pipe {
    type Response = ();
    type Error = io::Error;
    type Future = Ready<io::Result<()>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, msg: u32) -> Self::Future {
        self.0.lock().unwrap().buffer.push(msg);
        ready(Ok(()))
    }
}

impl Stream for Pipe {
    type Item = io::Result<Inbound<u32>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock().unwrap();
        if let Some(msg) = state.inbound.pop_front() {
            return Poll::Ready(Some(Ok(Inbound::Message(msg))));
        }
        if let Some(kind) = state.breaks {
            return Poll::Ready(Some(Err(kind.into())));
        }
        if state.eof {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Channel<u32> for Pipe {
    type In = u32;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        let flushed = state.flush(cx);
        state.closed = flushed.is_ready();
        flushed
    }

    fn buffered(&self) -> usize {
        self.0.lock().unwrap().buffer.len()
    }

    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn worked(&self) -> u64 {
        0
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo {
            wire: Some(WireVersion::V3),
            ..ConnectionInfo::default()
        }
    }

    fn begin_with(&mut self, _wire: WireVersion) -> bool {
        true
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        None
    }

    fn interrupt(&mut self, _: DisconnectReason) -> bool {
        false
    }
}
