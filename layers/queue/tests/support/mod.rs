//! A channel whose kernel is a number: how many messages it takes.

#![allow(dead_code)] // Each test uses its part.
#![allow(clippy::unwrap_used)] // No test function stands here, but only tests call.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use kyneta_uds_core::{Channel, ConnectionInfo, DisconnectReason, Inbound, Message, WireVersion};
use tower::Service;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Num(pub(crate) u32);

impl Message for Num {
    fn size(&self) -> usize {
        100
    }
}

/// As many are encoded before the kernel must take some.
pub(crate) const BUFFER: usize = 4;

/// A message that no encoder takes.
pub(crate) const REFUSED: Num = Num(u32::MAX);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) buffer: VecDeque<Num>,
    pub(crate) taken: Vec<u32>,
    pub(crate) room: usize,
    pub(crate) broken: bool,
    pub(crate) closed: bool,
    /// It is one that comes back; what it has lost and not told of yet.
    pub(crate) comes_back: bool,
    pub(crate) interrupted: Option<DisconnectReason>,
    lost: Option<DisconnectReason>,
    inbound: VecDeque<Inbound<Num>>,
    eof: bool,
    pub(crate) reads: usize,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pipe(pub(crate) Arc<Mutex<State>>);

impl Pipe {
    pub(crate) fn with_room(room: usize) -> Self {
        let pipe = Self::default();
        pipe.0.lock().unwrap().room = room;
        pipe
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap();
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn make_room(&self, room: usize) {
        self.change(|state| state.room += room);
    }

    pub(crate) fn break_it(&self) {
        self.change(|state| state.broken = true);
    }

    /// The connection below ends, with what is in the buffer; another takes its place.
    pub(crate) fn lose(&self) {
        self.change(|state| {
            state.buffer.clear();
            state.lost = Some(DisconnectReason::Closed);
        });
    }

    pub(crate) fn deliver(&self, inbound: Inbound<Num>) {
        self.change(|state| state.inbound.push_back(inbound));
    }

    pub(crate) fn end(&self) {
        self.change(|state| state.eof = true);
    }

    pub(crate) fn taken(&self) -> Vec<u32> {
        self.0.lock().unwrap().taken.clone()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

impl State {
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.broken {
            return Poll::Ready(Err(Broken));
        }
        if self.lost.is_some() {
            return Poll::Pending;
        }
        while self.room > 0 {
            let Some(num) = self.buffer.pop_front() else {
                break;
            };
            self.room -= 1;
            self.taken.push(num.0);
        }
        if self.buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Service<Num> for Pipe {
    type Response = ();
    type Error = Broken;
    type Future = Ready<Result<(), Broken>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut state = self.0.lock().unwrap();
        if state.lost.is_none() && state.buffer.len() < BUFFER {
            return Poll::Ready(Ok(()));
        }
        state.flush(cx)
    }

    fn call(&mut self, num: Num) -> Self::Future {
        if num == REFUSED {
            return ready(Err(Broken));
        }
        self.0.lock().unwrap().buffer.push_back(num);
        ready(Ok(()))
    }
}

impl Stream for Pipe {
    type Item = Result<Inbound<Num>, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock().unwrap();
        if let Some(inbound) = state.inbound.pop_front() {
            state.reads += 1;
            return Poll::Ready(Some(Ok(inbound)));
        }
        if state.broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        if state.eof {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Channel<Num> for Pipe {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.lock().unwrap().flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut state = self.0.lock().unwrap();
        let flushed = state.flush(cx);
        state.closed = flushed.is_ready();
        flushed
    }

    fn buffered(&self) -> usize {
        self.0.lock().unwrap().buffer.len()
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo::default()
    }

    fn begin_with(&mut self, _wire: WireVersion) -> bool {
        false
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.0.lock().unwrap().lost.take()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        let mut state = self.0.lock().unwrap();
        if state.comes_back {
            state.buffer.clear();
            state.lost = Some(reason.clone());
            state.interrupted = Some(reason);
        }
        state.comes_back
    }
}
