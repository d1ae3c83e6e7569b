//! Members that come and go beside an exchange that stays: what is held does not grow, and nothing is counted as a fault.
//!
//! `KYNETA_CHURN=10000` sets how many members come and go.

// Helpers stand beside the tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "documents/support.rs"]
#[allow(dead_code)] // Some are for the tests of `documents`.
mod support;

use std::time::Duration;

use kyneta_uds::{
    Peer,
    documents::{
        Document, Edit, Exchange, ExchangeBuilder, Policy, Resolve, Substrate, SyncLimits,
    },
};
use support::{Path, id, schema, service, soon, text};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// How many members come and go before what is held is looked at, and after.
const BEFORE: usize = 48;
const AFTER: usize = 64;

/// How many ids they have, more than peers are remembered.
const IDS: usize = 32;

/// By how many bytes what is held may differ: buffers that are in use, or not.
const DIFFERENCE: usize = 64 << 10;

fn after() -> usize {
    let number = std::env::var("KYNETA_CHURN").ok();
    number.map_or(AFTER, |number| number.parse().unwrap())
}

/// Remembers few peers and documents that are gone.
fn limited(name: &str) -> ExchangeBuilder {
    let limits = SyncLimits::default()
        .max_away(16)
        .max_destroyed(16)
        .max_opened_by_peer(32);
    Exchange::builder(service(name)).limits(limits)
}

fn presence(exchange: &Exchange) -> Document {
    let opened = exchange.open(id("presence"), Substrate::Ephemeral, &schema());
    opened.unwrap()
}

/// Two exchanges that stay, and one edit of them.
struct Steady {
    path: Path,
    hub: Exchange,
    other: Exchange,
    docs: [Document; 2],
}

impl Steady {
    async fn new() -> Self {
        let path = Path::new();
        let hub = limited("hub")
            .replicate()
            .join(path.socket())
            .await
            .unwrap();
        // What it does not want it does not wait for the schema of, either: that would be one document more each time.
        let nothing = Policy::new().resolve(|_, _| Some(Resolve::Reject));
        let other = limited("other").policy(nothing);
        let other = other.join(path.socket()).await.unwrap();
        let docs = [&hub, &other].map(presence);
        Self {
            path,
            hub,
            other,
            docs,
        }
    }

    async fn exchange(&self, turn: usize) {
        let [ours, theirs] = &self.docs;
        let said = format!("{turn:08}");
        theirs.edit(&[Edit::set("mode", said.as_str())]).unwrap();
        soon(|| (text(ours, "mode") == said).then_some(())).await;
    }

    /// A member comes, and goes when it has done what it does.
    async fn member(&self, turn: usize, with_documents: bool) {
        // The ids of those that have left are remembered, with their users.
        let builder = Exchange::builder(service(&format!("member-{}", turn % IDS)));
        let role = Peer::builder(self.path.socket()).departure_timeout(Duration::ZERO);
        let member = builder.join_with(role).await.unwrap();
        if with_documents {
            let shared = presence(&member);
            shared.synced().await.unwrap();
            let own = id(&format!("own-{}", turn % IDS));
            let opened = member.open(own.clone(), Substrate::Plain, &schema());
            opened.unwrap().edit(&[Edit::set("mode", "mine")]).unwrap();
            let kept = soon(|| self.hub.get(&own)).await;
            soon(|| kept.value().get("mode").map(drop)).await;
            member.dispose().await;
            kept.destroy();
        } else {
            member.dispose().await;
        }
        let hub = self.hub.peer().unwrap();
        soon(|| (hub.connection_count() == 1).then_some(())).await;
    }

    async fn turns(&self, turns: std::ops::Range<usize>, with_documents: bool) -> usize {
        for turn in turns {
            self.member(turn, with_documents).await;
            self.exchange(turn).await;
        }
        dhat::HeapStats::get().curr_bytes
    }
}

async fn nothing_grows(with_documents: bool) {
    let _profiler = dhat::Profiler::builder().testing().build();
    let steady = Steady::new().await;
    let count = after();
    let before = steady.turns(0..BEFORE, with_documents).await;
    let now = steady.turns(BEFORE..BEFORE + count, with_documents).await;
    println!("{count} members: {before} bytes are held before, {now} after");
    assert!(now <= before + DIFFERENCE, "{before} before, {now} after");
    for exchange in [&steady.hub, &steady.other] {
        let counts = exchange.counts();
        let faults = counts.diagnostics + counts.changes_refused + counts.too_slow;
        assert_eq!(faults, 0, "{counts:?}");
        assert_eq!(exchange.documents().len(), 1);
    }
}

#[tokio::test]
async fn members_without_documents_that_come_and_go_leave_nothing_behind() {
    nothing_grows(false).await;
}

#[tokio::test]
async fn members_with_documents_that_come_and_go_leave_nothing_behind() {
    nothing_grows(true).await;
}
