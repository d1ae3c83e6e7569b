//! Slack: memory that a burst has grown, given back when the connection has come to rest.
//!
//! Not at once: the next burst would allocate it again, and each page of it would be faulted in again,
//! which costs a stream a tenth of its speed.

use std::{future::Future, pin::Pin, task::Context, time::Duration};

use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use super::Drive;

/// How long a connection rests before it gives memory back: once to twice as long.
const AT_REST: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Slack {
    timer: Pin<Box<Sleep>>,
    /// Something has been sent since the timer was set.
    used: bool,
}

impl<C: Service<M>, H: Service<M>, M> Drive<C, H, M> {
    /// Looks at the clock when the timer fires, at most ten times a second, and not per message.
    pub(super) fn keep_slack(self: Pin<&mut Self>, cx: &mut Context<'_>, used: bool, found: bool) {
        let this = self.project();
        let slack = match this.slack {
            Some(slack) => {
                slack.used |= used;
                slack
            }
            None if found => this.slack.insert(Slack {
                timer: Box::pin(sleep(AT_REST)),
                used: false,
            }),
            None => return,
        };
        while slack.timer.as_mut().poll(cx).is_ready() {
            if !std::mem::take(&mut slack.used) {
                this.shared.lock().shrink(this.batch);
                *this.slack = None;
                return;
            }
            slack.timer.as_mut().reset(Instant::now() + AT_REST);
        }
    }
}
