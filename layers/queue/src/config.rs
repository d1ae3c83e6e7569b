//! How much may wait, and what happens when that much does.
//!
//! In: the user's choices. Out: bounds, and the events that a queue reports. Touches nothing.

use std::{fmt, sync::Arc, time::Duration};

use kyneta_uds_core::{Notice, Rejection, SharedError};

use crate::{budget::Budget, error::HandlerPanicked};

/// What happens to senders when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// They wait for room.
    #[default]
    Wait,
    /// Their message fails at once with [`SendError::Full`](crate::SendError::Full).
    Fail,
    /// They wait; if there is no room for this long, the connection ends: a peer that does not read
    /// delays the others once.
    Disconnect {
        /// How long the queue may stay full.
        after: Duration,
    },
}

/// The bounds of a queue.
///
/// ```
/// use std::time::Duration;
/// use kyneta_uds_queue::{Overflow, QueueConfig};
///
/// let config = QueueConfig::default()
///     .max_messages(256)
///     .max_bytes(1 << 20)
///     .overflow(Overflow::Disconnect { after: Duration::from_secs(5) });
/// ```
#[derive(Clone)]
pub struct QueueConfig {
    pub(crate) max_messages: usize,
    pub(crate) max_bytes: usize,
    pub(crate) overflow: Overflow,
    pub(crate) budget: Option<Budget>,
    pub(crate) write_stall: Duration,
    pub(crate) max_errors: u32,
    pub(crate) drain_timeout: Duration,
    pub(crate) spin: Duration,
    pub(crate) on_event: Option<OnEvent>,
}

type OnEvent = Arc<dyn Fn(&QueueEvent) + Send + Sync>;

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_messages: 1024,
            max_bytes: 16 << 20,
            overflow: Overflow::Wait,
            budget: None,
            write_stall: Duration::from_secs(30),
            max_errors: 1000,
            drain_timeout: Duration::from_secs(5),
            spin: Duration::ZERO,
            on_event: None,
        }
    }
}

impl QueueConfig {
    /// How many messages may wait. 1,024 by default, at least 1.
    pub fn max_messages(mut self, messages: usize) -> Self {
        self.max_messages = messages.max(1);
        self
    }

    /// How many bytes may wait, by [`Message::size`](kyneta_uds_core::Message::size). A message is
    /// accepted while fewer wait, so the last one of each sender may exceed it. What a process before this one had
    /// encoded and not written counts, too. 16 MiB by default, at least 1.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes.max(1);
        self
    }

    /// What happens when either bound is met. [`Overflow::Wait`] by default.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// What happens when either bound is met.
    pub fn overflows(&self) -> Overflow {
        self.overflow
    }

    /// Room that this queue shares with others, on top of its own bounds. None by default. Every clone
    /// of the configuration shares the same one.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The room that is shared, if any.
    pub fn shared_budget(&self) -> Option<&Budget> {
        self.budget.as_ref()
    }

    /// How long the kernel may take no byte of what was written before the connection ends with
    /// [`Stalled`](crate::Stalled), whether or not the queue is full: its peer does not read. A
    /// channel that comes back takes another connection. 30 s by default; `Duration::MAX` is for ever.
    pub fn write_stall(mut self, limit: Duration) -> Self {
        self.write_stall = limit;
        self
    }

    /// How many frames and messages of a minute may be rejected before the connection ends with
    /// [`TooManyErrors`](crate::TooManyErrors). 1,000 by default.
    pub fn max_errors_per_minute(mut self, errors: u32) -> Self {
        self.max_errors = errors;
        self
    }

    /// How long the end of a closed connection may take: sending what waits, then the peer's own
    /// end. 5 s by default.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// How long the connection's task goes on looking for more after it has read or written
    /// something, before it sleeps. Zero by default: it sleeps at once, and no clock is read.
    ///
    /// It helps a round trip where each end has a core to itself and there are one or few
    /// connections: the answer finds the core awake, so the time that waking it takes is saved. Other
    /// tasks of the runtime have their turn in between, and it stays as quick to end.
    ///
    /// It hurts everywhere else, as it burns a core for that long after every message: where both
    /// ends share one core (the one that spins keeps the other from answering), with many
    /// connections, on a battery. On a runtime of many threads it helps less: another thread may be
    /// the one that waits for the socket.
    ///
    /// Any length is taken. Below the time that an answer takes it gains nothing; 20 to 200 µs is
    /// the range to try. Measured by the computer's clock, also where tokio's is paused.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kyneta_uds_queue::QueueConfig;
    ///
    /// let config = QueueConfig::default().spin(Duration::from_micros(50));
    /// ```
    pub fn spin(mut self, length: Duration) -> Self {
        self.spin = length;
        self
    }

    /// Called on every [`QueueEvent`], in their order, by the task that drives the connection: be quick.
    /// It may look at the queue. A panic in it costs nothing else. Without it, faults are logged as warnings, ten a minute at most.
    pub fn on_event(mut self, on_event: impl Fn(&QueueEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(on_event));
        self
    }

    /// As [`on_event`](Self::on_event), after whatever is called already.
    pub fn and_on_event(self, on_event: impl Fn(&QueueEvent) + Send + Sync + 'static) -> Self {
        match self.on_event.clone() {
            None => self.on_event(on_event),
            Some(first) => self.on_event(move |event| {
                first(event);
                on_event(event);
            }),
        }
    }
}

impl fmt::Debug for QueueConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueConfig")
            .field("max_messages", &self.max_messages)
            .field("max_bytes", &self.max_bytes)
            .field("overflow", &self.overflow)
            .field("budget", &self.budget)
            .field("write_stall", &self.write_stall)
            .field("max_errors_per_minute", &self.max_errors)
            .field("drain_timeout", &self.drain_timeout)
            .field("spin", &self.spin)
            .finish_non_exhaustive()
    }
}

/// What a queue reports beside its messages. The connection goes on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum QueueEvent {
    /// The queue has become full.
    HighWater {
        /// How many messages wait.
        messages: usize,
        /// How many bytes they hold.
        bytes: usize,
    },
    /// A queue that was full is empty again.
    Drained,
    /// Something came in that is no message.
    Rejected(Rejection),
    /// The numbers of the peer's frames show that something was lost or came twice.
    Noticed(Notice),
    /// A message could not be encoded and was not sent.
    Refused(SharedError),
    /// The user's service failed on a message.
    HandlerFailed(SharedError),
    /// The user's service panicked on a message, which is lost; the next one goes to it all the same.
    HandlerPanicked(HandlerPanicked),
}

impl QueueEvent {
    /// True when something went wrong, false where the queue only filled or emptied.
    pub(crate) const fn is_fault(&self) -> bool {
        !matches!(self, Self::HighWater { .. } | Self::Drained)
    }
}
