//! Running the user's code: what panics there costs one message.
//!
//! In: a turn of reading. Out: what it came to, or what a panic of the handler said. May touch: the
//! thread's mark of the queue whose handler runs.

use std::{
    any::Any,
    ops::ControlFlow::{Break, Continue},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Message, panic_text};
use tower_service::Service;

use super::{Drive, state::Step};
use crate::{config::QueueEvent, current_handler::Answering, error::HandlerPanicked};

/// Whose code runs in a turn of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// Code of the channel.
    Channel,
    /// The handler's `poll_ready`.
    Readiness,
    /// The handler's future for a message.
    Message,
}

impl<C, H, M, S> Drive<C, H, M, S>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    /// Runs `turn`, again after each panic of the handler on a message. What the handler has touched
    /// then is its own: its future is dropped, and it is asked for readiness anew.
    #[inline]
    pub(super) fn guarded<R>(
        mut self: Pin<&mut Self>,
        mut turn: impl FnMut(Pin<&mut Self>) -> Step<R>,
    ) -> Step<R> {
        let _answering = Answering::on(&self.shared);
        loop {
            match catch_unwind(AssertUnwindSafe(|| turn(self.as_mut()))) {
                Ok(step) => return step,
                Err(panic) => self.as_mut().panicked(panic)?,
            }
        }
    }

    #[cold]
    fn panicked(self: Pin<&mut Self>, panic: Box<dyn Any + Send>) -> Step {
        let mut this = self.project();
        match std::mem::replace(this.running, Running::Channel) {
            // A panic of the channel ends the connection's task.
            Running::Channel => resume_unwind(panic),
            Running::Readiness => Break(DisconnectReason::error(said(&*panic))),
            Running::Message => {
                this.handling.set(None);
                this.shared
                    .tell(&QueueEvent::HandlerPanicked(said(&*panic)));
                Continue(())
            }
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> HandlerPanicked {
    let message = panic_text(panic).unwrap_or("no text").to_owned();
    HandlerPanicked { message }
}
