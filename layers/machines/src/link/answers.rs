//! The side that answers: which link counts, and what a knock has done.
//!
//! In: as [`Link::step`]. Out: effects. Touches nothing.

use super::{
    Link, Live,
    event::{Conn, Effect, Hello, Reason, Refusal, Role},
};

impl Link {
    /// The other machine dials. The newest link of the newest process counts.
    pub(super) fn accepted(&mut self, conn: Conn, hello: Hello, out: &mut Vec<Effect>) {
        if let Some(refusal) = self.refusal(hello) {
            out.push(Effect::Refuse { conn, refusal });
            return;
        }
        self.seen = Some(hello);
        out.push(Effect::Welcome { conn });
        if let Some(old) = self.up.take() {
            let conn = old.conn;
            out.extend([Effect::Close { conn }, Effect::Replaced { conn }]);
            if old.other != hello.by {
                self.add_former(old.other);
            }
        }
        let live = Live {
            conn,
            attempt: hello.attempt,
            other: hello.by,
        };
        self.rises(live, out);
    }

    fn refusal(&self, hello: Hello) -> Option<Refusal> {
        let is_outdated = self
            .seen
            .is_some_and(|seen| seen.by == hello.by && seen.attempt >= hello.attempt);
        if self.role != Role::Answers {
            Some(Refusal::WrongDirection)
        } else if self.is_former(hello.by) {
            Some(Refusal::KeyUsedTwice)
        } else {
            is_outdated.then_some(Refusal::Outdated)
        }
    }

    /// The other machine has heard that it is to dial.
    pub(super) fn knock_heard(&mut self, attempt: u64, random: u64, out: &mut Vec<Effect>) {
        if !self.ends_opening(attempt) || self.up.is_some() {
            return;
        }
        if self.failures > 1 {
            self.report(Reason::NotDialed, out);
        }
        // A dial takes several round trips: a second knock would only make the other machine dial anew.
        self.retry(self.settings.answer_time(), random, out);
    }
}
