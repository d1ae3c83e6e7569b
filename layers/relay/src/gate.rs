//! Which member may see and write which document.
//!
//! In: predicates of the user over members and documents. Out: the strictest answer. The predicates are called while
//! the hub routes, so they should not wait. Pure, if they are.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use kyneta_uds_core::DocId;

use crate::member::MemberFacts;

/// What a member may do with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nothing: the document is not there for it.
    None,
    /// It is told of the document and gets it. Its own offers are dropped, and it is not asked for any.
    Read,
    /// All of it.
    Write,
}

/// A predicate over members and documents. The strictest of several counts.
///
/// ```
/// use kyneta_uds_relay::{Access, Gate};
///
/// let gate = Gate::everything()
///     .and(|member, doc| match doc.as_str().starts_with("audit/") {
///         true if member.peer_id() == Some("auditor") => Access::Write,
///         true => Access::None,
///         false => Access::Write,
///     })
///     .and(|member, _| match member.credentials {
///         Some(of) if of.uid == 0 => Access::Write,
///         _ => Access::Read,
///     });
/// # let _ = gate;
/// ```
#[derive(Clone, Default)]
pub struct Gate {
    rules: Vec<Arc<Rule>>,
}

type Rule = dyn Fn(&MemberFacts, &DocId) -> Access + Send + Sync;

impl Gate {
    /// Each member may write each document.
    pub fn everything() -> Self {
        Self::default()
    }

    /// With one more rule. It is asked when a member and a document first meet, and again when they meet after
    /// one of them was gone; it must answer at once, and the same each time. One that panics says
    /// [`Access::None`].
    pub fn and(
        mut self,
        rule: impl Fn(&MemberFacts, &DocId) -> Access + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Arc::new(rule));
        self
    }

    pub(crate) fn access(&self, member: &MemberFacts, doc: &DocId) -> Access {
        // A panic would end the hub's turn, and with it the connection of each member.
        let ask = |rule: &Arc<Rule>| {
            catch_unwind(AssertUnwindSafe(|| rule(member, doc))).unwrap_or(Access::None)
        };
        let each = self.rules.iter().map(ask);
        each.min().unwrap_or(Access::Write)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("rules", &self.rules.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_core::WireVersion;

    use super::*;

    #[test]
    fn a_rule_that_panics_gives_no_access_to_what_it_was_asked_about() {
        let gate = Gate::everything().and(|_, doc| {
            assert_ne!(doc.as_str(), "trap", "as the test wants it");
            Access::Read
        });
        let member = MemberFacts::local(WireVersion::V3);
        let access = |doc| gate.access(&member, &DocId::new(doc).unwrap());
        assert_eq!(
            [access("trap"), access("doc")],
            [Access::None, Access::Read]
        );
    }
}
