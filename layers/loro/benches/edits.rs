//! How many small edits a second go through two exchanges of one path, in one process with two worker threads: each is
//! one commit of a Loro document, and the other has the last.
//!
//! `cargo bench -p kyneta-uds-loro --bench edits`

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use kyneta_uds::{
    DocId, Identity,
    documents::{Edit, Exchange, Schema, Substrate},
};
use kyneta_uds_loro::LoroKind;
use tokio::{runtime::Builder, task::yield_now, time::sleep};

const EDITS: u32 = 100_000;

fn schema() -> Schema {
    Schema::structure([
        ("hits", Schema::counter()),
        ("mode", Schema::string()),
        ("notes", Schema::text()),
    ])
    .unwrap()
}

async fn edits(what: &str, edit: impl Fn(u32) -> Edit) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut docs = Vec::new();
    for name in ["a", "b"] {
        let builder = Exchange::builder(Identity::service(name).unwrap()).kind(LoroKind);
        let exchange = builder.join(&path).await.unwrap();
        let id = DocId::new("document").unwrap();
        let doc = exchange.open(id, Substrate::Loro, &schema()).unwrap();
        docs.push((exchange, doc));
    }
    let [(_, here), (_, there)] = docs.as_slice() else {
        return;
    };
    there.synced().await.unwrap();
    let began = Instant::now();
    for number in 0..EDITS {
        here.edit(&[edit(number)]).unwrap();
        if number % 64 == 0 {
            yield_now().await;
        }
    }
    let edited = began.elapsed();
    while here.version() != there.version() {
        sleep(Duration::from_millis(1)).await;
    }
    let each = |took: Duration| f64::from(EDITS) / took.as_secs_f64();
    println!(
        "{EDITS} edits, {what}: {:.0} a second; {:.0} a second were made here",
        each(began.elapsed()),
        each(edited)
    );
}

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // A task of its own, as a program has.
        let all = async {
            edits("a counter", |_| Edit::increment("hits", 1.0)).await;
            edits("a value", |number| Edit::set("mode", mode(number))).await;
            edits("a character at the end of a text", |number| {
                Edit::insert("notes", number as usize, "x")
            })
            .await;
        };
        tokio::spawn(all).await.unwrap();
    });
}

fn mode(number: u32) -> String {
    format!("mode {number}")
}
