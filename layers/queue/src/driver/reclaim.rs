//! Reclaim: frees memory that a burst has grown, once the connection is idle.
//!
//! Not at once: the next burst would allocate it again, and each page of it would be faulted in again,
//! which costs a stream a quarter of its speed.
//!
//! The same timer has the channel free what it has kept, and looks again for room of the budget that is shared: others give it back without a word.

use std::{future::Future, pin::Pin, task::Context, time::Duration};

use kyneta_uds_core::Channel;
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::Drive;

/// Memory is given back when it has not been needed for one to two times this long. As short as
/// possible: while any timer is pending, a runtime sets the kernel's timer each time it rests, some 4 % of a
/// round trip.
const AT_REST: Duration = Duration::from_millis(20);

impl<C: Channel<M>, H: Service<C::In>, M, R> Drive<C, H, M, R> {
    /// Looks at the clock when the timer fires, at most fifty times a second, and not per message.
    /// `found`: there is reclaim; `again`: another turn is due in any case.
    pub(super) fn reclaim(self: Pin<&mut Self>, cx: &mut Context<'_>, found: bool, again: bool) {
        let this = self.project();
        let mut kept = this.channel.keep();
        let timer = match this.reclaim {
            Some(timer) => timer,
            None if found || again || kept => this.reclaim.insert(Box::pin(sleep(AT_REST))),
            None => return,
        };
        while timer.as_mut().poll(cx).is_ready() {
            if kept {
                this.channel.free_kept();
                kept = this.channel.keep();
            }
            if this.shared.lock().shrink(this.batch) && !again && !kept {
                *this.reclaim = None;
                return;
            }
            timer.as_mut().reset(Instant::now() + AT_REST);
        }
    }
}
