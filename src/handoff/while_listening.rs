//! The handoffs of a role that comes and goes: it offers while it listens.
//!
//! In: the role; the offer of the predecessor, if there was one. Out: what the role itself does at each step. May touch:
//! the offer, a task of tokio's.

use kyneta_uds_handoff::Asking;
use kyneta_uds_negotiate::{Role, RoleWatch};

use super::{HandoffPolicy, Offering};

/// What a role does itself.
pub(crate) trait WhileListening: Send + Sync + 'static {
    fn roles(&self) -> &RoleWatch;

    /// It listens from now on: its offer, which may be the one of its predecessor. What fails is an event.
    fn offer(&self, resumed: Option<Offering>, policy: HandoffPolicy) -> Option<Offering>;

    /// True when the successor goes on; else this process listens on.
    fn hand_over(&self, asking: Asking, offering: &Offering) -> impl Future<Output = bool> + Send;

    /// Offers, while the role listens, in a task of its own.
    fn start(self, policy: Option<HandoffPolicy>, resumed: Option<Offering>)
    where
        Self: Sized,
    {
        if let Some(policy) = policy {
            tokio::spawn(run(self, policy, resumed));
        }
    }
}

async fn run(of: impl WhileListening, policy: HandoffPolicy, mut resumed: Option<Offering>) {
    loop {
        let role = of.roles().wait_for(|role| role == Role::Listener).await;
        if role == Role::Disposed {
            return;
        }
        let offering = of.offer(resumed.take(), policy);
        let is_over = of.roles().wait_for(|role| role != Role::Listener);
        tokio::pin!(is_over);
        let Some(offering) = offering else {
            is_over.await;
            continue;
        };
        loop {
            tokio::select! {
                biased;
                _ = &mut is_over => break,
                asking = offering.asked() => {
                    if of.hand_over(asking, &offering).await {
                        return;
                    }
                }
            }
        }
        offering.close();
    }
}
