//! The side that dials: what an answer and a knock do.
//!
//! In: as [`Link::step`]. Out: effects. Touches nothing.

use super::{
    Knocked, Link, Live,
    event::{Conn, DownReason, Effect, Incarnation, Knock, Refusal, Role},
};

impl Link {
    /// The other machine has welcomed a dial.
    pub(super) fn dialed(
        &mut self,
        attempt: u64,
        conn: Conn,
        other: Incarnation,
        out: &mut Vec<Effect>,
    ) {
        if self.role != Role::Dials || !self.ends_opening(attempt) {
            out.push(Effect::Close { conn });
            return;
        }
        if let Some(knocked) = self.knocked.filter(|knocked| knocked.by != other) {
            if attempt < knocked.reached_by {
                // It may have reached the process before the one that knocks.
                out.push(Effect::Close { conn });
                self.open(out);
                return;
            }
            // Another process has the address: it would knock, and end this link, for ever.
            self.add_former(knocked.by);
            let refusal = Refusal::KeyUsedTwice;
            out.push(Effect::Refused { refusal });
        }
        self.knocked = None;
        let live = Live {
            conn,
            attempt,
            other,
        };
        self.rises(live, out);
    }

    /// A process of the other machine has no link and asks to be dialed.
    pub(super) fn knocked(&mut self, knock: Knock, out: &mut Vec<Effect>) {
        if self.role != Role::Dials || self.is_former(knock.by) {
            return;
        }
        match self.up {
            // It was sent before this link was accepted.
            Some(live) if live.other == knock.by && !self.has_seen(knock, live.attempt) => {}
            Some(live) => {
                self.up = None;
                let conn = live.conn;
                let reason = DownReason::Knocked;
                out.extend([Effect::Close { conn }, Effect::Down { conn, reason }]);
                self.dial_for(knock, out);
            }
            None => self.dial_for(knock, out),
        }
    }

    fn dial_for(&mut self, knock: Knock, out: &mut Vec<Effect>) {
        // The dial that is under way may wait for a process that is gone. The first knock may only have crossed it.
        let knocks_again = self
            .knocked
            .is_some_and(|known| known.by == knock.by && self.attempt < known.reached_by);
        self.is_opening &= !knocks_again;
        let reached_by = self.attempt + 1;
        let by = knock.by;
        self.knocked = Some(Knocked { by, reached_by });
        self.open(out);
    }

    /// Whether the process that knocks has had this link, and so has lost it.
    fn has_seen(&self, knock: Knock, attempt: u64) -> bool {
        let seen = knock.seen.filter(|seen| seen.by == self.me);
        seen.is_some_and(|seen| seen.attempt >= attempt)
    }
}
