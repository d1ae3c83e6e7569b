//! Two documents of one id, with schemas that nothing makes equal: the switch keeps them apart.
//!
//! A failure shows which member was told or asked of which of the two.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;

use kyneta_uds_core::{
    ByteString, ChannelMsg, DocEntry, DocId, Identity, Interest, Offer, ReplicaType, SchemaHash,
    SyncMode, Version, WireVersion,
};
use kyneta_uds_relay::{Effect, Holdings, MemberFacts, MemberKey, Switch, SwitchConfig};

fn id() -> DocId {
    DocId::new("d").unwrap()
}

fn entry(schema: &'static str) -> DocEntry {
    let replica = ReplicaType::new(ByteString::from_static("plain"), 1.0, 0.0).unwrap();
    let schema = SchemaHash::new(schema).unwrap();
    let mut entry = DocEntry::new(id(), replica, schema);
    entry.mode = SyncMode::Authoritative;
    entry
}

/// What one member is sent.
fn sent_to(key: u64, effects: &[Effect]) -> Vec<ChannelMsg> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { to, msg, .. } if *to == MemberKey(key) => Some(msg.clone()),
        _ => None,
    });
    sent.collect()
}

fn establish(switch: &mut Switch, keys: &[u64], effects: &mut Vec<Effect>) {
    for key in keys {
        let facts = MemberFacts::local(WireVersion::V3);
        switch.established(MemberKey(*key), facts, effects);
    }
}

/// It answers no `present` of the other document, so it is sent one of its own.
#[test]
fn a_holder_that_was_told_of_the_other_document_alone_is_asked_for_its_version() {
    let mut switch = Switch::new(SwitchConfig::default());
    let mut effects = Vec::new();
    for (key, schema) in [(1, "02ab"), (2, "01cd"), (3, "01cd")] {
        let key = MemberKey(key);
        switch.established(key, MemberFacts::local(WireVersion::V3), &mut effects);
        let present = ChannelMsg::Present(vec![entry(schema)]);
        switch.received(key, present, &mut effects);
    }
    let told = [ChannelMsg::Present(vec![entry("02ab")])];
    assert_eq!(sent_to(2, &effects), told);

    // The third member was told of the second one's document, and answers.
    effects.clear();
    let interest = Interest::new(id()).since(Version::new("2").unwrap());
    switch.received(MemberKey(3), interest.into(), &mut effects);
    assert_eq!(sent_to(2, &effects), []);
    assert!(switch.is_unsettled());

    effects.clear();
    switch.reconcile(&mut effects);
    let fence = [ChannelMsg::Present(vec![entry("01cd")])];
    assert_eq!(sent_to(2, &effects), fence);
}

/// A replica that answers as the reference's do: an interest with what is newer, a `present` with an interest.
struct Holder {
    schema: &'static str,
    version: u32,
}

impl Holder {
    fn interest(&self) -> ChannelMsg {
        let version = Version::new(self.version.to_string()).unwrap();
        Interest::new(id()).since(version).into()
    }

    fn receive(&mut self, msg: &ChannelMsg) -> Vec<ChannelMsg> {
        match msg {
            ChannelMsg::Present(entries) => {
                let own = entry(self.schema).schema;
                let of_own = entries.iter().filter(|entry| entry.schema == own);
                of_own.map(|_| self.interest()).collect()
            }
            ChannelMsg::Interest(interest) => {
                let theirs = interest.version.as_ref().unwrap().as_str();
                let version = Version::new(self.version.to_string()).unwrap();
                let offer = Offer::json(id(), version, "[]").delta().reciprocate(false);
                let is_newer = self.version > theirs.parse().unwrap();
                is_newer.then(|| offer.into()).into_iter().collect()
            }
            ChannelMsg::Offer(offer) => {
                self.version = offer.version.as_str().parse().unwrap();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

/// It takes either document, which does not make one of them.
#[test]
fn a_member_without_the_document_does_not_join_two_of_one_id() {
    let mut switch = Switch::new(SwitchConfig::default());
    let facts = || MemberFacts::local(WireVersion::V3);
    let mut effects = Vec::new();
    switch.established(MemberKey(0), facts(), &mut effects);
    let replicas = [("02ab", 5), ("02ab", 4), ("01cd", 2), ("01cd", 1)];
    let mut holders = replicas.map(|(schema, version)| Holder { schema, version });
    let mut said = VecDeque::new();
    for (key, holder) in (1..).zip(&holders) {
        switch.established(MemberKey(key), facts(), &mut effects);
        said.push_back((key, ChannelMsg::Present(vec![entry(holder.schema)])));
    }
    for _ in 0..4 {
        loop {
            for effect in effects.drain(..) {
                let Effect::Send { to, msg, .. } = effect else {
                    continue;
                };
                let Some(holder) = to.0.checked_sub(1) else {
                    continue;
                };
                let answers = holders[usize::try_from(holder).unwrap()].receive(&msg);
                said.extend(answers.into_iter().map(|answer| (to.0, answer)));
            }
            let Some((from, msg)) = said.pop_front() else {
                break;
            };
            switch.received(MemberKey(from), msg, &mut effects);
        }
        switch.reconcile(&mut effects);
    }
    assert_eq!(holders.map(|holder| holder.version), [5, 5, 2, 2]);
    assert!(!switch.is_unsettled());
}

/// It was asked, which makes it push, and then told that the document is not here, which ends that.
#[test]
fn a_holder_that_was_asked_when_it_was_alone_is_asked_again_once_it_is_not() {
    let mut switch = Switch::new(SwitchConfig::default());
    let mut effects = Vec::new();
    // The first one holds nothing, the last one another document of this id.
    establish(&mut switch, &[1, 2, 3, 4], &mut effects);
    let present = || ChannelMsg::Present(vec![entry("02ab")]);
    let interest = || ChannelMsg::from(Interest::new(id()).since(Version::new("0").unwrap()));
    let other = ChannelMsg::Present(vec![entry("01cd")]);
    switch.received(MemberKey(4), other, &mut effects);
    switch.received(MemberKey(4), interest(), &mut effects);
    switch.received(MemberKey(2), present(), &mut effects);
    effects.clear();
    switch.received(MemberKey(2), interest(), &mut effects);
    let asked = interest_of_the_switch();
    assert_eq!(
        sent_to(2, &effects),
        [asked.clone(), ChannelMsg::Vacant(id())]
    );

    while switch.is_unsettled() {
        switch.reconcile(&mut effects);
    }
    switch.received(MemberKey(3), present(), &mut effects);
    effects.clear();
    switch.received(MemberKey(3), interest(), &mut effects);
    assert_eq!(sent_to(2, &effects), []);
    switch.reconcile(&mut effects);
    // Twice: it was told of the other document, and may answer that, too.
    assert_eq!(sent_to(2, &effects), [present(), present()], "a fence");

    effects.clear();
    for _ in 0..2 {
        switch.received(MemberKey(2), interest(), &mut effects);
    }
    assert!(sent_to(2, &effects).contains(&asked));
}

fn interest_of_the_switch() -> ChannelMsg {
    let interest = Interest::new(id()).since(Version::new("0").unwrap());
    interest.reciprocate(false).into()
}

/// It edits before it is asked, with the version of the other document, and so has no answer: the version that it has
/// named is not where its next push starts from.
#[test]
fn a_holder_that_is_first_asked_for_the_other_document_is_asked_where_its_pushes_start() {
    let mut switch = Switch::new(SwitchConfig::default());
    let mut effects = Vec::new();
    // The second one opens the third one's document in the end. The other two hold another of this id.
    establish(&mut switch, &[1, 2, 3, 4], &mut effects);
    let present = |schema| ChannelMsg::Present(vec![entry(schema)]);
    let since = |version| Interest::new(id()).since(Version::new(version).unwrap());
    let ask = |version| ChannelMsg::from(since(version).reciprocate(false));
    let push = |version| Offer::json(id(), Version::new(version).unwrap(), "[]").delta();
    let answer = |version| ChannelMsg::from(push(version).reciprocate(false));
    let (other, own) = ("02ab", "01cd");
    for (from, said) in [
        (1, present(other)),
        (1, since("1").into()),
        (4, present(other)),
        (4, since("1").into()),
        (3, present(own)),
    ] {
        switch.received(MemberKey(from), said, &mut effects);
    }
    effects.clear();
    switch.received(MemberKey(3), since("0").into(), &mut effects);
    assert_eq!(sent_to(3, &effects), [ChannelMsg::Vacant(id())]);
    effects.clear();
    switch.left(MemberKey(1), &mut effects);
    assert_eq!(sent_to(3, &effects), [ask("1")]);

    switch.received(MemberKey(2), present(own), &mut effects);
    switch.received(MemberKey(2), since("0").into(), &mut effects);
    effects.clear();
    switch.received(MemberKey(3), push("2").into(), &mut effects);
    assert_eq!(sent_to(2, &effects), [], "it may start from 1");

    // It is asked once more, and says from where.
    effects.clear();
    switch.reconcile(&mut effects);
    assert_eq!(sent_to(3, &effects), [present(own), present(own)]);
    effects.clear();
    for _ in 0..2 {
        switch.received(MemberKey(3), since("2").into(), &mut effects);
    }
    assert!(sent_to(3, &effects).contains(&ask("0")));
    effects.clear();
    switch.received(MemberKey(3), answer("2"), &mut effects);
    assert_eq!(sent_to(2, &effects), [answer("2")]);
}

/// It was asked when it had no other holder to be presented with, and said nothing, which the switch cannot see.
#[test]
fn a_holder_that_was_silent_when_it_was_alone_is_asked_for_what_a_newcomer_lacks() {
    let mut switch = Switch::new(SwitchConfig::default());
    let mut effects = Vec::new();
    establish(&mut switch, &[1, 2, 3], &mut effects);
    let present = |schema| ChannelMsg::Present(vec![entry(schema)]);
    let since = |version| Interest::new(id()).since(Version::new(version).unwrap());
    let ask = |version| ChannelMsg::from(since(version).reciprocate(false));
    let (own, other) = ("02ab", "01cd");
    effects.clear();
    for (from, said) in [
        (2, present(own)),
        (2, since("3").into()),
        (3, present(other)),
    ] {
        switch.received(MemberKey(from), said, &mut effects);
    }
    assert!(sent_to(2, &effects).contains(&ask("3")));
    while switch.is_unsettled() {
        switch.reconcile(&mut effects);
    }

    // The first one opens the document, and says nothing when it is asked for what it lacks itself.
    switch.received(MemberKey(1), present(own), &mut effects);
    effects.clear();
    for _ in 0..4 {
        switch.received(MemberKey(1), since("0").into(), &mut effects);
    }
    assert_eq!(sent_to(2, &effects), []);
    switch.reconcile(&mut effects);
    assert!(sent_to(2, &effects).contains(&present(own)), "a fence");
}

#[test]
fn what_each_member_holds_is_what_it_has_presented_and_not_dismissed() {
    let mut switch = Switch::new(SwitchConfig::default());
    let mut effects = Vec::new();
    for (key, schema) in [(1, "02ab"), (2, "01cd"), (3, "02ab"), (4, "02ab")] {
        let mut facts = MemberFacts::local(WireVersion::V3);
        // One without an id is not named.
        if key != 4 {
            facts = facts.identity(Identity::service(format!("m{key}")).unwrap());
        }
        switch.established(MemberKey(key), facts, &mut effects);
        let present = ChannelMsg::Present(vec![entry(schema)]);
        switch.received(MemberKey(key), present, &mut effects);
    }
    switch.received(MemberKey(3), ChannelMsg::Dismiss(id()), &mut effects);
    let held = |switch: &Switch| {
        let holdings = switch.holdings().into_iter();
        let named = |of: Holdings| (of.holder.to_string(), of.entries[0].schema.to_string());
        holdings.map(named).collect::<Vec<_>>()
    };
    let of = |holder: &str, schema: &str| (holder.to_owned(), schema.to_owned());
    assert_eq!(held(&switch), [of("m1", "02ab"), of("m2", "01cd")]);
    switch.left(MemberKey(1), &mut effects);
    assert_eq!(held(&switch), [of("m2", "01cd")]);
}
