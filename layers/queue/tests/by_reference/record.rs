//! A channel of protocol messages that records what it takes, and how.
//!
//! In: messages and runs of them. Out: a list of what came, and by which method. It takes as many as it has room for.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, Channel, ChannelMsg, ConnectionInfo, DisconnectReason, Inbound, Run, WireVersion,
};
use tower::Service;

use super::support::{BUFFER, Broken};

/// How the channel was given a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Called,
    InPlace,
    ByReference,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) how: Vec<Taken>,
    taken: Vec<ChannelMsg>,
    buffer: VecDeque<ChannelMsg>,
    room: usize,
    /// 0: messages by reference and runs; 1: runs; 2: neither.
    pub(crate) knows: u8,
    pub(crate) broken: bool,
    pub(crate) refuses: Option<ChannelMsg>,
    lost: Option<DisconnectReason>,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Record(pub(crate) Arc<Mutex<State>>);

impl Record {
    pub(crate) fn with_room(room: usize) -> Self {
        let record = Self::default();
        record.0.lock().unwrap().room = room;
        record
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap();
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn make_room(&self, room: usize) {
        self.change(|state| state.room = state.room.saturating_add(room));
    }

    /// The connection below ends, with what is in the buffer; another takes its place.
    pub(crate) fn lose(&self) {
        self.change(|state| {
            state.buffer.clear();
            state.lost = Some(DisconnectReason::Closed);
        });
    }

    pub(crate) fn messages(&self) -> Vec<ChannelMsg> {
        self.0.lock().unwrap().taken.clone()
    }
}

impl State {
    fn put(&mut self, msg: ChannelMsg, how: Taken) -> Result<(), Broken> {
        self.how.push(how);
        if self.refuses.as_ref() == Some(&msg) {
            return Err(Broken);
        }
        self.buffer.push_back(msg);
        Ok(())
    }

    fn flush(&mut self, cx: &Context<'_>) -> Poll<Result<(), Broken>> {
        if self.broken {
            return Poll::Ready(Err(Broken));
        }
        if self.lost.is_none() {
            while self.room > 0
                && let Some(msg) = self.buffer.pop_front()
            {
                self.room -= 1;
                self.taken.push(msg);
            }
            if self.buffer.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Service<ChannelMsg> for Record {
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

    fn call(&mut self, msg: ChannelMsg) -> Self::Future {
        ready(self.0.lock().unwrap().put(msg, Taken::Called))
    }
}

impl Stream for Record {
    type Item = Result<Inbound<ChannelMsg>, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock().unwrap();
        if state.broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Channel<ChannelMsg> for Record {
    type In = ChannelMsg;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.lock().unwrap().flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.lock().unwrap().flush(cx)
    }

    fn buffered(&self) -> usize {
        self.0.lock().unwrap().buffer.len()
    }

    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn worked(&self) -> u64 {
        0
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo::default()
    }

    fn begin_with(&mut self, _: WireVersion) -> bool {
        false
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.0.lock().unwrap().lost.take()
    }

    fn interrupt(&mut self, _: DisconnectReason) -> bool {
        false
    }

    fn call_many<R: Run<ChannelMsg>>(&mut self, run: &mut R) -> Result<(), Broken> {
        let mut state = self.0.lock().unwrap();
        while state.knows < 2 && state.lost.is_none() && state.buffer.len() < BUFFER {
            let (msg, how) = if let Some(msg) = run.front() {
                (msg.clone(), Taken::InPlace)
            } else if state.knows == 0
                && let Some(offer) = run.front_offer()
            {
                (offer.to_offer().into(), Taken::ByReference)
            } else {
                break;
            };
            run.called();
            state.put(msg, how)?;
        }
        Ok(())
    }
}
