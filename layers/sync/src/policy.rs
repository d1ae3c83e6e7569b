//! Policies: which peer may do what with which document.
//!
//! In: rules, and questions about a peer and a document. Out: the answers, of all policies together. Touches nothing but
//! the user's functions.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use kyneta_uds_core::{DocEntry, DocId, Identity, SchemaHash};

use crate::program::Gates;

/// What a policy says to one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Yes, unless another policy says no.
    Yes,
    /// No, whatever other policies say.
    No,
    /// This policy does not decide it.
    NoOpinion,
}

impl Answer {
    /// One answer for two: a no counts most, then a yes.
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            _ => Self::NoOpinion,
        }
    }

    /// True unless it is a no.
    pub const fn allows(self) -> bool {
        !matches!(self, Self::No)
    }
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl From<Option<bool>> for Answer {
    fn from(answer: Option<bool>) -> Self {
        answer.map_or(Self::NoOpinion, Self::from)
    }
}

/// What becomes of a document that a peer presents and that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolve {
    /// It is opened with this schema, which the shell knows.
    Interpret(SchemaHash),
    /// It is kept and passed on, without its schema.
    Replicate,
    /// It is known, and waits for its schema.
    Defer,
    /// It is not taken, and the peer is told so.
    Reject,
}

type PeerRule = Arc<dyn Fn(&Identity) -> Answer + Send + Sync>;
type DocRule = Arc<dyn Fn(&DocId, &Identity) -> Answer + Send + Sync>;
type ResolveRule = Arc<dyn Fn(&DocEntry, &Identity) -> Option<Resolve> + Send + Sync>;

/// Rules for some of the questions. It has no opinion on the others. A rule must answer at once. One that panics says no,
/// and one of [`resolve`](Self::resolve) puts the document off: the exchange goes on.
///
/// ```
/// use kyneta_uds_sync::{Answer, Policy, Resolve};
///
/// let policy = Policy::new()
///     .can_share(|doc, peer| !doc.as_str().starts_with("private/") || peer.peer_id.as_str() == "backup")
///     .can_reset(|doc, _| match doc.as_str() {
///         "config" => Answer::No,
///         _ => Answer::NoOpinion,
///     })
///     .resolve(|_, _| Some(Resolve::Replicate));
/// # let _ = policy;
/// ```
#[derive(Clone, Default)]
pub struct Policy {
    name: Option<String>,
    connect: Option<PeerRule>,
    share: Option<DocRule>,
    accept: Option<DocRule>,
    reset: Option<DocRule>,
    resolve: Option<ResolveRule>,
}

impl Policy {
    /// Without a name and without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a name: it replaces the policy that had this name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// May the peer take part? If not, its messages have no effect.
    pub fn can_connect<A: Into<Answer>>(
        mut self,
        rule: impl Fn(&Identity) -> A + Send + Sync + 'static,
    ) -> Self {
        self.connect = Some(Arc::new(move |peer| rule(peer).into()));
        self
    }

    /// Is the peer told of the document and of its changes? This keeps no secret: a peer that asks for the
    /// document by its id is answered.
    pub fn can_share<A: Into<Answer>>(
        mut self,
        rule: impl Fn(&DocId, &Identity) -> A + Send + Sync + 'static,
    ) -> Self {
        self.share = Some(doc_rule(rule));
        self
    }

    /// Are the peer's offers of the document imported?
    pub fn can_accept<A: Into<Answer>>(
        mut self,
        rule: impl Fn(&DocId, &Identity) -> A + Send + Sync + 'static,
    ) -> Self {
        self.accept = Some(doc_rule(rule));
        self
    }

    /// May the peer's history of a serialized document take the place of an unrelated one here? Without an
    /// opinion, the versions decide, on both sides in the same way ([`Relation::Unrelated`]).
    ///
    /// [`Relation::Unrelated`]: crate::Relation::Unrelated
    pub fn can_reset<A: Into<Answer>>(
        mut self,
        rule: impl Fn(&DocId, &Identity) -> A + Send + Sync + 'static,
    ) -> Self {
        self.reset = Some(doc_rule(rule));
        self
    }

    /// What becomes of a document that a peer presents, that is not here, and that has no registered schema? The
    /// first policy that answers decides.
    pub fn resolve(
        mut self,
        rule: impl Fn(&DocEntry, &Identity) -> Option<Resolve> + Send + Sync + 'static,
    ) -> Self {
        self.resolve = Some(Arc::new(rule));
        self
    }
}

fn doc_rule<A: Into<Answer>>(
    rule: impl Fn(&DocId, &Identity) -> A + Send + Sync + 'static,
) -> DocRule {
    Arc::new(move |doc, peer| rule(doc, peer).into())
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All policies. Each is asked; one no is a no.
#[derive(Debug, Clone, Default)]
pub struct Policies(Vec<Policy>);

impl Policies {
    /// Adds one. One with the same name leaves.
    pub fn add(&mut self, policy: Policy) {
        if let Some(name) = &policy.name {
            self.remove(name);
        }
        self.0.push(policy);
    }

    /// Removes the one with this name; false when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|policy| policy.name.as_deref() != Some(name));
        self.0.len() < before
    }

    pub(crate) fn can_connect(&self, peer: &Identity) -> Answer {
        let rules = self.0.iter().filter_map(|policy| policy.connect.as_ref());
        all(rules.map(|rule| asked(|| rule(peer), Answer::No)))
    }

    pub(crate) fn can_reset(&self, doc: &DocId, peer: &Identity) -> Answer {
        let rules = self.0.iter().filter_map(|policy| policy.reset.as_ref());
        all(rules.map(|rule| asked(|| rule(doc, peer), Answer::No)))
    }

    pub(crate) fn resolve(&self, entry: &DocEntry, peer: &Identity) -> Option<Resolve> {
        let mut rules = self.0.iter().filter_map(|policy| policy.resolve.as_ref());
        rules.find_map(|rule| asked(|| rule(entry, peer), Some(Resolve::Defer)))
    }
}

impl Gates for Policies {
    fn can_share(&self, doc: &DocId, peer: &Identity) -> bool {
        let rules = self.0.iter().filter_map(|policy| policy.share.as_ref());
        all(rules.map(|rule| asked(|| rule(doc, peer), Answer::No))).allows()
    }

    fn can_accept(&self, doc: &DocId, peer: &Identity) -> bool {
        let rules = self.0.iter().filter_map(|policy| policy.accept.as_ref());
        all(rules.map(|rule| asked(|| rule(doc, peer), Answer::No))).allows()
    }
}

/// What a rule answers. The panic of a rule would end the one task that asks them.
fn asked<A>(rule: impl FnOnce() -> A, after_a_panic: A) -> A {
    catch_unwind(AssertUnwindSafe(rule)).unwrap_or(after_a_panic)
}

fn all(answers: impl Iterator<Item = Answer>) -> Answer {
    answers.fold(Answer::NoOpinion, Answer::and)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_no_is_a_no_and_no_opinion_allows() {
        use Answer::{No, NoOpinion, Yes};
        for (a, b, both) in [
            (NoOpinion, NoOpinion, NoOpinion),
            (NoOpinion, Yes, Yes),
            (Yes, Yes, Yes),
            (Yes, No, No),
            (NoOpinion, No, No),
            (No, No, No),
        ] {
            assert_eq!((a.and(b), b.and(a)), (both, both));
            assert_eq!(both.allows(), both != No);
        }
    }

    #[test]
    fn a_rule_that_panics_says_no() {
        let panics = Policy::new()
            .can_connect(|_| -> Answer { panic!("as the test wants it") })
            .can_share(|_, _| -> Answer { panic!("as the test wants it") })
            .resolve(|_, _| panic!("as the test wants it"));
        let (doc, peer) = (DocId::new("d").unwrap(), Identity::user("p").unwrap());
        let mut policies = Policies::default();
        policies.add(panics);
        assert_eq!(policies.can_connect(&peer), Answer::No);
        assert!(!policies.can_share(&doc, &peer) && policies.can_accept(&doc, &peer));
        let replica = kyneta_uds_core::ReplicaType::new("loro", 1.0, 0.0).unwrap();
        let entry = DocEntry::new(doc, replica, SchemaHash::new("02").unwrap());
        assert_eq!(policies.resolve(&entry, &peer), Some(Resolve::Defer));
    }

    #[test]
    fn a_named_policy_replaces_the_one_of_its_name() {
        let (doc, peer) = (DocId::new("d").unwrap(), Identity::user("p").unwrap());
        let mut policies = Policies::default();
        assert!(policies.can_share(&doc, &peer));
        policies.add(Policy::new().named("a").can_share(|_, _| false));
        policies.add(Policy::new().can_share(|_, _| Answer::NoOpinion));
        assert!(!policies.can_share(&doc, &peer));
        policies.add(Policy::new().named("a").can_share(|_, _| Some(true)));
        assert!(policies.can_share(&doc, &peer));
        assert!(policies.remove("a") && !policies.remove("a"));
    }

    #[test]
    fn the_first_policy_with_an_answer_resolves() {
        let peer = Identity::user("p").unwrap();
        let replica = kyneta_uds_core::ReplicaType::new("loro", 1.0, 0.0).unwrap();
        let entry = DocEntry::new(
            DocId::new("d").unwrap(),
            replica,
            SchemaHash::new("02").unwrap(),
        );
        let mut policies = Policies::default();
        assert_eq!(policies.resolve(&entry, &peer), None);
        for answer in [None, Some(Resolve::Defer), Some(Resolve::Reject)] {
            policies.add(Policy::new().resolve(move |_, _| answer.clone()));
        }
        assert_eq!(policies.resolve(&entry, &peer), Some(Resolve::Defer));
    }
}
